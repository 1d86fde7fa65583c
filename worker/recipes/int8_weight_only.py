"""INT8 weights, 16- or 32-bit activations: half the bytes of BF16, with the weights widened again inside each product."""

from __future__ import annotations

from typing import Any, ClassVar

from planner.domain.scheme import NumberFormat, Precision, Scheme
from planner.errors import InvalidInput
from worker.recipes.recipe import ComputeType, Recipe, group_refusal


class Int8WeightOnly(Recipe, frozen=True, kw_only=True, tag="int8_weight_only"):
    """Round-to-nearest INT8, symmetric, one scale per output row, or per group of a row."""

    title: ClassVar[str] = "8-bit weights, activations untouched"

    group_size: int | None = None
    compute: ComputeType = "bfloat16"

    def __post_init__(self) -> None:
        if self.group_size is not None and not 8 <= self.group_size <= 65_536:
            raise InvalidInput(
                "recipe.group_size",
                f"{self.group_size} is out of range",
                allowed="8 to 65536, or null for one scale per row",
            )

    @property
    def dtype(self) -> ComputeType:
        """As configured."""
        return self.compute

    @property
    def variant_name(self) -> str:
        """Name with the group size where there is one."""
        return "int8-weight-only" + (f"-g{self.group_size}" if self.group_size else "")

    @property
    def scheme(self) -> Scheme:
        """INT8 weights by rounding to nearest."""
        return Scheme(weight=Precision(format=NumberFormat.INT8, group_size=self.group_size), method="rtn")

    def torchao_config(self) -> Any:
        """Return the configuration; inductor is left alone, since its exhaustive tuning can take minutes a layer."""
        from torchao.quantization import Int8WeightOnlyConfig, PerGroup, PerRow

        granularity = PerGroup(self.group_size) if self.group_size else PerRow()
        return Int8WeightOnlyConfig(granularity=granularity, set_inductor_config=False)

    def refusal(self, in_features: int, out_features: int) -> str | None:
        """Return the reason when the input width is not a multiple of the group."""
        del out_features
        return group_refusal(in_features, self.group_size) if self.group_size else None
