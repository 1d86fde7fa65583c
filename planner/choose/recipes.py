"""Recipes: the builds that workers know how to make, as far as an answer needs to know them.

Workers may be newer than the server, and the server never imports what they build with. So this table states, for each
build worth offering, the scheme it gives, what building and running it need, and the file it writes; a test holds it
against the recipes themselves. Recipes whose result depends on what they find on the way, or which serve experiments, are
named in LEFT_OUT with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from planner.domain.scheme import ActivationScaling, NumberFormat, Precision, Scheme
from planner.domain.variant import FileFormat

Setting = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRecipe:
    """One recipe with its settings. `requires` is what building needs of a worker, `needs` what running does."""

    recipe: str
    scheme: Scheme
    variant_name: str
    settings: Mapping[str, Setting] = field(default_factory=dict[str, Setting])
    requires: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    needs_text: bool = False
    file_format: FileFormat = FileFormat.SAFETENSORS
    storage: Precision | None = None
    """How the weights lie in the file where that takes more than the scheme says; None is as the scheme says."""
    group: int = 1
    """What the input width of a linear layer must be a multiple of to be quantized."""


def _integers(bits: int, group: int, *, symmetric: bool, method: str) -> Scheme:
    return Scheme(
        weight=Precision(format=NumberFormat(f"int{bits}"), group_size=group, symmetric=symmetric),
        method=method,
    )


def _both(number_format: NumberFormat, scaling: ActivationScaling, *, method: str = "rtn") -> Scheme:
    precision = Precision(format=number_format)
    return Scheme(weight=precision, activation=precision, activation_scaling=scaling, method=method)


def _packed(bits: int, group: int) -> KnownRecipe:
    return KnownRecipe(
        recipe="int4_packed",
        settings={"bits": bits, "group_size": group},
        scheme=_integers(bits, group, symmetric=False, method="rtn"),
        variant_name=f"int{bits}-packed-g{group}",
        group=group,
    )


def _tuned(bits: int, group: int) -> KnownRecipe:
    return KnownRecipe(
        recipe="autoround",
        settings={"bits": bits, "group_size": group},
        scheme=_integers(bits, group, symmetric=True, method="autoround"),
        variant_name=f"int{bits}-autoround-g{group}",
        requires=("library:auto-round",),
        needs_text=True,
        group=group,
    )


def _trained(recipe: str, method: str, bits: int) -> KnownRecipe:
    return KnownRecipe(
        recipe=recipe,
        settings={"bits": bits, "group_size": 32, "packed": True},
        scheme=_integers(bits, 32, symmetric=False, method=method),
        variant_name=f"int{bits}-{method}-g32-packed",
        needs_text=True,
        group=32,
    )


def _gguf(kind: str) -> KnownRecipe:
    return KnownRecipe(
        recipe="gguf",
        settings={"type": kind},
        scheme=Scheme(weight=Precision(format=NumberFormat(kind))),
        variant_name=f"gguf-{kind}",
        file_format=FileFormat.GGUF,
        group=32,
    )


def _cache(kind: str) -> KnownRecipe:
    return KnownRecipe(
        recipe="kv_cache",
        settings={"format": kind},
        scheme=Scheme(
            weight=Precision(format=NumberFormat.BF16),
            kv=Precision(format=NumberFormat(kind), group_size=32),
        ),
        variant_name=f"bf16-kv-{kind}-g32",
    )


RECIPES: Final[tuple[KnownRecipe, ...]] = (
    KnownRecipe(recipe="bf16", scheme=Scheme(weight=Precision(format=NumberFormat.BF16)), variant_name="bf16"),
    KnownRecipe(
        recipe="int8_weight_only",
        scheme=Scheme(weight=Precision(format=NumberFormat.INT8), method="rtn"),
        variant_name="int8-weight-only",
    ),
    KnownRecipe(
        recipe="int8_dynamic",
        scheme=_both(NumberFormat.INT8, ActivationScaling.DYNAMIC),
        variant_name="int8-dynamic",
    ),
    KnownRecipe(
        recipe="int8_static",
        scheme=_both(NumberFormat.INT8, ActivationScaling.STATIC, method="smoothquant"),
        variant_name="int8-static",
        needs_text=True,
    ),
    KnownRecipe(
        recipe="fp8_weight_only",
        scheme=Scheme(weight=Precision(format=NumberFormat.FP8), method="rtn"),
        variant_name="fp8-weight-only",
    ),
    KnownRecipe(
        recipe="fp8_dynamic",
        scheme=_both(NumberFormat.FP8, ActivationScaling.DYNAMIC),
        variant_name="fp8-dynamic",
        needs=("cc>=8.9",),
    ),
    KnownRecipe(
        recipe="fp8_static",
        scheme=_both(NumberFormat.FP8, ActivationScaling.STATIC),
        variant_name="fp8-static",
        needs=("cc>=8.9",),
        needs_text=True,
    ),
    KnownRecipe(
        recipe="nf4",
        scheme=Scheme(
            weight=Precision(format=NumberFormat.NF4, group_size=64, scale_bits=8), method="rtn"
        ),
        variant_name="nf4",
        requires=("library:bitsandbytes",),
        needs=("library:bitsandbytes",),
        group=64,
    ),
    KnownRecipe(
        recipe="int4_tile_packed",
        settings={"group_size": 32},
        scheme=_integers(4, 32, symmetric=False, method="rtn"),
        variant_name="int4-tile-packed-g32",
        storage=Precision(format=NumberFormat.INT4, group_size=32, scale_bits=32),
        requires=("cuda",),
        needs=("cuda",),
        group=32,
    ),
    *(_packed(bits, group) for bits in (4, 3, 2) for group in (128, 64, 32)),
    *(_tuned(bits, 128) for bits in (4, 3, 2)),
    *(_trained("qat", "qat", bits) for bits in (4, 3)),
    _trained("distillation", "qat-distilled", 4),
    *(_gguf(kind) for kind in ("q8_0", "q5_1", "q5_0", "q4_1", "q4_0")),
    *(_cache(kind) for kind in ("int8", "int4")),
)  # fmt: skip

LEFT_OUT: Final[Mapping[str, str]] = {
    "fp32": "twice the memory of the 16-bit baseline for the same answers",
    "intx_weight_only": "stores a byte for each weight: `int4_packed` rounds alike and needs less memory",
    "mixed": "what each layer becomes is only known once the model's sensitivity was measured",
    "topk_attention": "changes what the model attends to, on which nothing was recorded elsewhere",
}
"""Recipes that are not offered, and why."""
