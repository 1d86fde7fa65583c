"""Integers of 2 to 4 bits, really packed: on disk and, in the form each machine's kernel wants, in memory.

The folder is portable. Four bits run in torch's kernels on CPUs (BF16) and on CUDA from compute capability 8.0; two and
three bits save the memory but are widened inside each product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from planner.domain.scheme import NumberFormat, Precision, Scheme
from planner.errors import InvalidInput
from worker.recipes.recipe import ComputeType, group_refusal
from worker.recipes.stored import StoredRecipe

if TYPE_CHECKING:
    from torch import nn

    from worker.engines.formats.packed_linear import PackedLinear

GROUPS = (32, 64, 128)
FORMATS = {2: NumberFormat.INT2, 3: NumberFormat.INT3, 4: NumberFormat.INT4}


class Int4Packed(StoredRecipe, frozen=True, kw_only=True, tag="int4_packed"):
    """Round-to-nearest integers in groups, BF16 activations."""

    title: ClassVar[str] = "4-bit (or 2-, 3-bit) weights in groups, packed, on any machine"

    bits: int = 4
    group_size: int = 128
    symmetric: bool = False

    def __post_init__(self) -> None:
        if self.bits not in FORMATS:
            raise InvalidInput("recipe.bits", f"{self.bits} is not allowed", allowed="2, 3, 4")
        if self.group_size not in GROUPS:
            raise InvalidInput(
                "recipe.group_size",
                f"{self.group_size} is not allowed",
                allowed=", ".join(map(str, GROUPS)),
            )

    @property
    def dtype(self) -> ComputeType:
        """BF16, the only one the kernels take."""
        return "bfloat16"

    @property
    def variant_name(self) -> str:
        """Name with bits and group size."""
        return f"int{self.bits}-packed-g{self.group_size}" + ("-symmetric" if self.symmetric else "")

    @property
    def scheme(self) -> Scheme:
        """Integers of the given width by rounding to nearest."""
        return Scheme(
            weight=Precision(format=FORMATS[self.bits], group_size=self.group_size, symmetric=self.symmetric),
            method="rtn",
        )

    @property
    def file_format(self) -> str:
        """Packed integers."""
        return "pack-quantized"

    def refusal(self, in_features: int, out_features: int) -> str | None:
        """Return the reason when the input width is not a multiple of the group."""
        del out_features
        return group_refusal(in_features, self.group_size)

    def quantizers(self) -> dict[str, Any]:
        """Return the declaration of grouped integers."""
        return {
            "weights": {
                "num_bits": self.bits,
                "type": "int",
                "symmetric": self.symmetric,
                "strategy": "group",
                "group_size": self.group_size,
                "dynamic": False,
            },
            "input_activations": None,
        }

    def quantize(self, name: str, layer: nn.Linear, observed: Any) -> PackedLinear:
        """Round one layer."""
        del name, observed
        from worker.engines.formats.packed_linear import PackedLinear
        from worker.recipes.rounding import round_in_groups

        integers = round_in_groups(
            layer.weight,
            bits=self.bits,
            group_size=self.group_size,
            symmetric=self.symmetric,
            dtype=layer.weight.dtype,
        )
        return PackedLinear.of(integers, layer.bias, bits=self.bits, symmetric=self.symmetric)
