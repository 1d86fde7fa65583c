"""FP8 weights and activations, the activations' scales fixed by calibration.

CUDA devices from compute capability 8.9 multiply FP8 numbers; a CPU computes the same products in a wider type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from planner.domain.scheme import ActivationScaling, NumberFormat, Precision, Scheme
from worker.recipes.calibrated import CalibratedRecipe
from worker.recipes.fp8_dynamic import Granularity, fp8_refusal, quantize_to_fp8

if TYPE_CHECKING:
    from torch import nn

    from worker.engines.formats.quantized_linear import QuantizedLinear


class Fp8Static(CalibratedRecipe, frozen=True, kw_only=True, tag="fp8_static"):
    """E4M3 on both sides of every product; one calibrated scale for a layer's input, weights per tensor or per row."""

    title: ClassVar[str] = "FP8 weights and activations, scales fixed by calibration"

    granularity: Granularity = "tensor"
    """Whether each row of a weight has a scale, or the weight has one."""

    @property
    def variant_name(self) -> str:
        """Name with what differs from the defaults."""
        return "fp8-static" + ("-per-row" if self.granularity == "row" else "") + self.suffix

    @property
    def scheme(self) -> Scheme:
        """FP8 on both sides, static scales."""
        return Scheme(
            weight=Precision(format=NumberFormat.FP8),
            activation=Precision(format=NumberFormat.FP8),
            activation_scaling=ActivationScaling.STATIC,
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
        """Return the declaration: activations per tensor and static."""
        number = {"num_bits": 8, "type": "float", "symmetric": True, "dynamic": False}
        return {
            "weights": {**number, "strategy": "channel" if self.granularity == "row" else "tensor"},
            "input_activations": {**number, "strategy": "tensor"},
        }

    def quantize(self, name: str, layer: nn.Linear, observed: Any) -> QuantizedLinear:
        """Round one layer's weight and give it its input scale."""
        from worker.engines.formats.quantized_linear import FP8, FP8_MAX

        scale = self.input_scale(
            name, observed, FP8_MAX, lambda steps: steps.clamp(max=FP8_MAX).to(FP8).float()
        )
        return quantize_to_fp8(layer, per_row=self.granularity == "row", input_scale=scale)
