"""INT8 weights and activations, the activations' scales fixed by calibration: nothing is measured while it runs.

One scale per output row of a weight, one per tensor for a layer's input. Products run in integers, on CPUs and on CUDA. A
single scale suits inputs whose channels are alike, which those of language models are not: SmoothQuant evens them out first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from planner.domain.scheme import ActivationScaling, NumberFormat, Precision, Scheme
from worker.recipes.calibrated import CalibratedRecipe
from worker.recipes.smoothing_settings import check_alpha, smoothing_suffix

if TYPE_CHECKING:
    from torch import nn

    from worker.engines.formats.quantized_linear import QuantizedLinear
    from worker.recipes.magnitudes import Magnitudes
    from worker.recipes.recipe import Ingredients


class Int8Static(CalibratedRecipe, frozen=True, kw_only=True, tag="int8_static"):
    """SmoothQuant, then round-to-nearest INT8 for both sides of every product, input scales from calibration text."""

    title: ClassVar[str] = "8-bit weights and activations, scales fixed by calibration"

    smoothing: float | None = 0.7
    """How much of large activation channels moves into the weights before rounding (SmoothQuant's alpha, 0 to 1); null: no
    smoothing. On the small reference model 0.5 to 0.9 all help, and 0.7 the most."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alpha(self.smoothing)

    @property
    def variant_name(self) -> str:
        """Name with the smoothing and the statistic where they are not the defaults."""
        return "int8-static" + smoothing_suffix(self.smoothing, default=0.7) + self.suffix

    @property
    def scheme(self) -> Scheme:
        """INT8 on both sides, static scales."""
        return Scheme(
            weight=Precision(format=NumberFormat.INT8),
            activation=Precision(format=NumberFormat.INT8),
            activation_scaling=ActivationScaling.STATIC,
            method="rtn" if self.smoothing is None else "smoothquant",
        )

    @property
    def file_format(self) -> str:
        """Integers of one byte."""
        return "int-quantized"

    def refusal(self, in_features: int, out_features: int) -> str | None:
        """Return the reason when CUDA's integer product cannot take the shape: both sizes must be multiples of 8."""
        odd = [size for size in (in_features, out_features) if size % 8]
        return f"size {odd[0]} is not a multiple of 8" if odd else None

    def observe(self, model: Any, given: Ingredients) -> Mapping[str, Magnitudes]:
        """Smooth the base in place, then watch the inputs that its layers get now."""
        if self.smoothing is not None:
            from worker.recipes.smoothing import smooth

            smooth(model, self.calibrate_on(model, given), self.smoothing, given)
        return super().observe(model, given)

    def quantizers(self) -> dict[str, Any]:
        """Return the declaration: weights per channel, activations per tensor and static."""
        integer = {"num_bits": 8, "type": "int", "symmetric": True, "dynamic": False}
        return {
            "weights": {**integer, "strategy": "channel"},
            "input_activations": {**integer, "strategy": "tensor"},
        }

    def quantize(self, name: str, layer: nn.Linear, observed: Any) -> QuantizedLinear:
        """Round one layer's weight and give it its input scale."""
        from worker.engines.formats.quantized_linear import INT8_MAX, Int8Linear
        from worker.recipes.rounding import round_rows_to_int8

        new = Int8Linear(layer.in_features, layer.out_features, layer.bias, static=True)
        new.weight, new.weight_scale = round_rows_to_int8(layer.weight)
        new.input_scale = self.input_scale(
            name, observed, INT8_MAX, lambda steps: steps.round().clamp(max=INT8_MAX)
        )
        return new.to(layer.weight.device)
