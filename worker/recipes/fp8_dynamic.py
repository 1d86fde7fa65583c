"""FP8 weights and activations, the activations' scales computed as they come.

CUDA devices from compute capability 8.9 multiply FP8 numbers; a CPU computes the same products in a wider type, which gives
the same loss and no speed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from planner.domain.scheme import ActivationScaling, NumberFormat, Precision, Scheme
from worker.recipes.recipe import ComputeType
from worker.recipes.stored import StoredRecipe

if TYPE_CHECKING:
    import torch
    from torch import nn

    from worker.engines.formats.quantized_linear import QuantizedLinear

Granularity = Literal["row", "tensor"]


class Fp8Dynamic(StoredRecipe, frozen=True, kw_only=True, tag="fp8_dynamic"):
    """E4M3 on both sides of every product; one scale per row of the weight and per token, or one per tensor."""

    title: ClassVar[str] = "FP8 weights and activations, scaled as they come"

    granularity: Granularity = "row"
    """Whether a row of the weight and a token have a scale each, or each tensor has one."""

    @property
    def dtype(self) -> ComputeType:
        """BF16, what the product writes."""
        return "bfloat16"

    @property
    def variant_name(self) -> str:
        """Name with the granularity where it is the coarser."""
        return "fp8-dynamic" + ("-per-tensor" if self.granularity == "tensor" else "")

    @property
    def scheme(self) -> Scheme:
        """FP8 on both sides, dynamic scales."""
        return Scheme(
            weight=Precision(format=NumberFormat.FP8),
            activation=Precision(format=NumberFormat.FP8),
            activation_scaling=ActivationScaling.DYNAMIC,
            method="rtn",
        )

    @property
    def needs(self) -> tuple[str, ...]:
        """Compute capability 8.9 on CUDA; a CPU can run it too, slowly."""
        return ("cc>=8.9",)

    @property
    def file_format(self) -> str:
        """Floats of one byte."""
        return "float-quantized"

    def refusal(self, in_features: int, out_features: int) -> str | None:
        """Return the reason when the FP8 product cannot take the shape."""
        return fp8_refusal(in_features, out_features)

    def quantizers(self) -> dict[str, Any]:
        """Return the declaration of both sides."""
        number = {"num_bits": 8, "type": "float", "symmetric": True}
        per_row = self.granularity == "row"
        return {
            "weights": {**number, "strategy": "channel" if per_row else "tensor", "dynamic": False},
            "input_activations": {**number, "strategy": "token" if per_row else "tensor", "dynamic": True},
        }

    def quantize(self, name: str, layer: nn.Linear, observed: Any) -> QuantizedLinear:
        """Round one layer."""
        del name, observed
        return quantize_to_fp8(layer, per_row=self.granularity == "row")


def fp8_refusal(in_features: int, out_features: int) -> str | None:
    """Return why cuBLASLt's FP8 product cannot take the shape, None when it can: both sizes must be multiples of 16."""
    odd = [size for size in (in_features, out_features) if size % 16]
    return f"size {odd[0]} is not a multiple of 16" if odd else None


def quantize_to_fp8(
    layer: nn.Linear, *, per_row: bool, input_scale: torch.Tensor | None = None
) -> QuantizedLinear:
    """Return the FP8 form of `layer`; with `input_scale` its activations are scaled statically."""
    from worker.engines.formats.quantized_linear import Float8Linear
    from worker.recipes.rounding import round_to_fp8

    new = Float8Linear(
        layer.in_features,
        layer.out_features,
        layer.bias,
        static=input_scale is not None,
        per_row=per_row,
    )
    new.weight, new.weight_scale = round_to_fp8(layer.weight, per_row=per_row)
    if input_scale is not None:
        new.input_scale = input_scale
    return new.to(layer.weight.device)
