"""Top-K sparse attention: every query mixes the values of its K best keys only; the weights stay as they are."""

from __future__ import annotations

from typing import Any, ClassVar

from planner.domain.inference import InferenceSettings, TopKAttention
from planner.domain.scheme import NumberFormat, Precision, Scheme
from worker.recipes.recipe import ComputeType, Ingredients, Recipe


class TopkAttention(Recipe, frozen=True, kw_only=True, tag="topk_attention"):
    """BF16 weights with exact top-K attention, K keys per query and head, in prefill and decode.

    `config.json` names it, so it takes effect wherever this project's engine loads the files; an engine that does not know
    the setting runs full attention. All keys are scored, so what can be saved is the softmax and the reading of values.
    """

    title: ClassVar[str] = "Sparse attention to the K best keys"

    k: int = 32

    def __post_init__(self) -> None:
        self._settings  # noqa: B018  checks k

    @property
    def _settings(self) -> InferenceSettings:
        return InferenceSettings(attention=TopKAttention(k=self.k))

    @property
    def dtype(self) -> ComputeType:
        """BF16."""
        return "bfloat16"

    @property
    def variant_name(self) -> str:
        """Name with K."""
        return f"bf16-topk-{self.k}"

    @property
    def scheme(self) -> Scheme:
        """BF16 weights, top-K attention."""
        return self._settings.applied_to(Scheme(weight=Precision(format=NumberFormat.BF16)))

    def build(self, given: Ingredients) -> Any:
        """Return the base in BF16 with its attention replaced. Raises InvalidInput when the model does not allow that."""
        from worker.engines.formats.inference import declare_settings

        model = super().build(given)
        declare_settings(model, self._settings)
        return model
