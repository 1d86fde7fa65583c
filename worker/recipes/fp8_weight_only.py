"""FP8 weights, BF16 activations: half the bytes of BF16, with the weights widened again inside each product."""

from __future__ import annotations

from typing import Any, ClassVar

from planner.domain.scheme import NumberFormat, Precision, Scheme
from worker.recipes.fp8_dynamic import Granularity
from worker.recipes.recipe import ComputeType, Recipe


class Fp8WeightOnly(Recipe, frozen=True, kw_only=True, tag="fp8_weight_only"):
    """Round-to-nearest E4M3, one scale per output row or one for the tensor."""

    title: ClassVar[str] = "FP8 weights, activations untouched"

    granularity: Granularity = "row"
    """Whether each row of a weight has a scale, or the weight has one."""
    compute: ComputeType = "bfloat16"

    @property
    def dtype(self) -> ComputeType:
        """As configured."""
        return self.compute

    @property
    def variant_name(self) -> str:
        """Name with the granularity where it is the coarser."""
        return "fp8-weight-only" + ("-per-tensor" if self.granularity == "tensor" else "")

    @property
    def scheme(self) -> Scheme:
        """FP8 weights by rounding to nearest."""
        return Scheme(weight=Precision(format=NumberFormat.FP8), method="rtn")

    def torchao_config(self) -> Any:
        """Return the configuration; inductor is left alone, since its exhaustive tuning can take minutes a layer."""
        from torchao.quantization import Float8WeightOnlyConfig, PerRow, PerTensor

        granularity = PerRow() if self.granularity == "row" else PerTensor()
        return Float8WeightOnlyConfig(granularity=granularity, set_inductor_config=False)
