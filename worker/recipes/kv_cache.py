"""KV-cache quantization: keys and values kept in 8 or 4 bits; the weights stay as they are."""

from __future__ import annotations

from typing import Any, ClassVar

from planner.domain.inference import CacheFormat, InferenceSettings, QuantizedCache
from planner.domain.scheme import NumberFormat, Precision, Scheme
from worker.recipes.recipe import ComputeType, Ingredients, Recipe


class KvCache(Recipe, frozen=True, kw_only=True, tag="kv_cache"):
    """BF16 weights with a quantized KV cache: INT8, INT4 or FP8 codes, and a 16-bit scale per group of one token's head.

    `config.json` names it, so it takes effect wherever this project's engine loads the files. A base that has top-K
    attention keeps it. What is saved is memory, which long contexts and many requests need; every step pays for widening.
    """

    title: ClassVar[str] = "KV cache at 8 or 4 bits"

    format: CacheFormat = "int8"
    group_size: int = 32

    def __post_init__(self) -> None:
        self._settings  # noqa: B018  checks the group size

    @property
    def _settings(self) -> InferenceSettings:
        return InferenceSettings(kv_cache=QuantizedCache(format=self.format, group_size=self.group_size))

    @property
    def dtype(self) -> ComputeType:
        """BF16."""
        return "bfloat16"

    @property
    def variant_name(self) -> str:
        """Name with the format and the group."""
        return f"bf16-kv-{self.format}-g{self.group_size}"

    @property
    def scheme(self) -> Scheme:
        """BF16 weights, quantized KV cache."""
        return self._settings.applied_to(Scheme(weight=Precision(format=NumberFormat.BF16)))

    def build(self, given: Ingredients) -> Any:
        """Return the base in BF16 with the setting. Raises InvalidInput when its heads do not divide into groups."""
        from worker.engines.formats.inference import declare_settings

        model = super().build(given)
        declare_settings(model, self._settings)
        return model
