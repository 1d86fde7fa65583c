"""4-bit weights packed for the tinygemm kernel: half a byte each, on CUDA devices from compute capability 8.0.

The packed layout belongs to that kernel, so a variant built this way loads on CUDA only; torchao's other INT4 layouts
need an extra kernel package.
"""

from __future__ import annotations

from typing import Any, ClassVar

from planner.domain.scheme import NumberFormat, Precision, Scheme
from planner.errors import InvalidInput
from worker.recipes.recipe import ComputeType, GroupedRecipe

_GROUPS = (32, 64, 128, 256)


class Int4TilePacked(GroupedRecipe, frozen=True, kw_only=True, tag="int4_tile_packed"):
    """Round-to-nearest 4-bit integers with a zero point per group, BF16 activations."""

    title: ClassVar[str] = "4-bit weights in groups, packed for CUDA"
    requires: ClassVar[tuple[str, ...]] = ("cuda",)

    def __post_init__(self) -> None:
        if self.group_size not in _GROUPS:
            raise InvalidInput(
                "recipe.group_size",
                f"{self.group_size} is not allowed",
                allowed=", ".join(map(str, _GROUPS)),
            )

    @property
    def dtype(self) -> ComputeType:
        """BF16, the only one the kernel takes."""
        return "bfloat16"

    @property
    def variant_name(self) -> str:
        """Name with the group size."""
        return f"int4-tile-packed-g{self.group_size}"

    @property
    def scheme(self) -> Scheme:
        """INT4 with a zero point per group."""
        return Scheme(
            weight=Precision(format=NumberFormat.INT4, group_size=self.group_size, symmetric=False),
            method="rtn",
        )

    @property
    def stored_bits(self) -> float:
        """Four bits, and a scale and a zero point of 16 bits each for each group."""
        return 4 + 32 / self.group_size

    def torchao_config(self) -> Any:
        """Return the configuration; inductor is left alone, since its exhaustive tuning can take minutes a layer."""
        from torchao.quantization import Int4WeightOnlyConfig
        from torchao.quantization.quantize_.workflows import Int4PackingFormat

        return Int4WeightOnlyConfig(
            group_size=self.group_size,
            int4_packing_format=Int4PackingFormat.TILE_PACKED_TO_4D,
            set_inductor_config=False,
        )
