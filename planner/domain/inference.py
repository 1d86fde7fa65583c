"""How a variant computes where that differs from its model's own code: sparse attention and a quantized KV cache.

Neither changes a weight, so `config.json` says it, in an object `inference`; being part of a file, it is part of what the
variant is. For example `{"attention": {"name": "topk", "k": 32}, "kv_cache": {"format": "int8", "group_size": 32}}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from planner.domain.scheme import NumberFormat, Precision, Scheme
from planner.errors import InvalidInput

MAX_K: Final = 65_536
GROUP_SIZES: Final = (16, 32, 64, 128, 256)

CacheFormat = Literal["int8", "int4", "fp8"]


class TopKAttention(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="name", tag="topk"
):
    """Every query attends only to the `k` keys that it scores highest among those it may see."""

    k: int = 32

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_K:
            raise InvalidInput("inference.attention.k", f"{self.k} is out of range", allowed=f"1 to {MAX_K}")

    @property
    def label(self) -> str:
        """The name in a scheme: "topk-32"."""
        return f"topk-{self.k}"


class QuantizedCache(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keys and values kept in `format`; `group_size` neighbouring elements of one token's head share a 16-bit scale."""

    format: CacheFormat = "int8"
    group_size: int = 32

    def __post_init__(self) -> None:
        if self.group_size not in GROUP_SIZES:
            raise InvalidInput(
                "inference.kv_cache.group_size",
                f"{self.group_size} is not allowed",
                allowed=", ".join(map(str, GROUP_SIZES)),
            )

    @property
    def precision(self) -> Precision:
        """The precision of one cached element, its share of the scale included."""
        return Precision(format=NumberFormat(self.format), group_size=self.group_size)


class InferenceSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The object `inference` of a `config.json`. None means: as the model's own code does it."""

    attention: TopKAttention | None = None
    kv_cache: QuantizedCache | None = None

    def over(self, other: InferenceSettings) -> InferenceSettings:
        """Return these settings, with those of `other` where these say nothing."""
        return InferenceSettings(
            attention=self.attention or other.attention, kv_cache=self.kv_cache or other.kv_cache
        )

    def applied_to(self, scheme: Scheme) -> Scheme:
        """Return the scheme of weights of `scheme` that are run with these settings."""
        return msgspec.structs.replace(
            scheme,
            kv=self.kv_cache.precision if self.kv_cache else scheme.kv,
            attention=self.attention.label if self.attention else scheme.attention,
        )


def inference_settings(config: Mapping[str, Any]) -> InferenceSettings:
    """Return the settings that a `config.json` names, all None when it has no object `inference`.

    Raises InvalidInput naming the field for one that is not understood: ignoring it would run another variant.
    """
    declared = config.get("inference")
    if declared is None:
        return InferenceSettings()
    try:
        return msgspec.convert(declared, InferenceSettings)
    except msgspec.ValidationError as error:
        cause = error.__cause__
        if isinstance(cause, InvalidInput):
            raise cause from None
        raise InvalidInput(
            "inference",
            f"is not understood: {error}",
            allowed="attention {name: topk, k}, kv_cache {format, group_size}",
        ) from None
