"""1- to 8-bit weights in groups, on any machine. The values take few bits, but torchao stores each one in a whole byte.

So the loss is that of the few bits while the file and the memory are those of INT8 with group scales; the built
variant's effective bits say so. On CUDA, `int4_tile_packed` stores the same 4-bit values packed.
"""

from __future__ import annotations

from typing import Any, ClassVar

from planner.domain.scheme import NumberFormat, Precision, Scheme
from planner.errors import InvalidInput
from worker.recipes.recipe import ComputeType, GroupedRecipe

_FORMATS = {
    1: NumberFormat.INT1,
    2: NumberFormat.INT2,
    3: NumberFormat.INT3,
    4: NumberFormat.INT4,
    5: NumberFormat.INT5,
    6: NumberFormat.INT6,
    8: NumberFormat.INT8,
}


class IntxWeightOnly(GroupedRecipe, frozen=True, kw_only=True, tag="intx_weight_only"):
    """Round-to-nearest integers of `bits` bits, one scale per group of a row, unpacked storage."""

    title: ClassVar[str] = "4-bit (or 1- to 8-bit) weights in groups, stored a byte each"

    bits: int = 4
    symmetric: bool = True
    compute: ComputeType = "bfloat16"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bits not in _FORMATS:
            raise InvalidInput(
                "recipe.bits",
                f"{self.bits} is not allowed",
                allowed=", ".join(str(bits) for bits in _FORMATS),
            )

    @property
    def dtype(self) -> ComputeType:
        """As configured."""
        return self.compute

    @property
    def variant_name(self) -> str:
        """Name with bits and group size."""
        return f"int{self.bits}-weight-only-g{self.group_size}" + ("" if self.symmetric else "-asymmetric")

    @property
    def scheme(self) -> Scheme:
        """Integers of the given width by rounding to nearest."""
        return Scheme(
            weight=Precision(
                format=_FORMATS[self.bits], group_size=self.group_size, symmetric=self.symmetric
            ),
            method="rtn",
        )

    @property
    def stored_bits(self) -> float:
        """A byte for each value, 16 bits of scale and a byte of zero point for each group."""
        return 8 + (16 + 8) / self.group_size

    def torchao_config(self) -> Any:
        """Return the configuration object."""
        import torch
        from torchao.quantization import IntxWeightOnlyConfig, PerGroup
        from torchao.quantization.quant_primitives import MappingType

        return IntxWeightOnlyConfig(
            weight_dtype=getattr(torch, f"int{self.bits}"),
            granularity=PerGroup(self.group_size),
            mapping_type=MappingType.SYMMETRIC if self.symmetric else MappingType.ASYMMETRIC,
        )
