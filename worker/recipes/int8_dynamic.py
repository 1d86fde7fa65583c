"""INT8 weights and activations, the activations' scales computed per token: the products run in integers."""

from __future__ import annotations

from typing import Any, ClassVar

from planner.domain.scheme import ActivationScaling, NumberFormat, Precision, Scheme
from worker.recipes.recipe import ComputeType, Recipe


class Int8Dynamic(Recipe, frozen=True, kw_only=True, tag="int8_dynamic"):
    """Round-to-nearest INT8 for both sides of every product, one scale per output row and per token."""

    title: ClassVar[str] = "8-bit weights and activations, scaled per token"

    symmetric: bool = True
    """Whether activations have no zero point."""
    compute: ComputeType = "bfloat16"

    @property
    def dtype(self) -> ComputeType:
        """As configured."""
        return self.compute

    @property
    def variant_name(self) -> str:
        """Name that says when activations are asymmetric."""
        return "int8-dynamic" + ("" if self.symmetric else "-asymmetric")

    @property
    def scheme(self) -> Scheme:
        """INT8 on both sides, dynamic scales."""
        return Scheme(
            weight=Precision(format=NumberFormat.INT8),
            activation=Precision(format=NumberFormat.INT8, symmetric=self.symmetric),
            activation_scaling=ActivationScaling.DYNAMIC,
            method="rtn",
        )

    def torchao_config(self) -> Any:
        """Return the configuration; inductor is left alone, since its exhaustive tuning can take minutes a layer."""
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig
        from torchao.quantization.quant_primitives import MappingType

        mapping = MappingType.SYMMETRIC if self.symmetric else MappingType.ASYMMETRIC
        return Int8DynamicActivationInt8WeightConfig(act_mapping_type=mapping, set_inductor_config=False)
