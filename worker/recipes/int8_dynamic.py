"""INT8 weights and activations, the activations' scales computed per token: the products run in integers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Final

from planner.domain.scheme import ActivationScaling, NumberFormat, Precision, Scheme
from worker.recipes.calibration_text import calibration_windows
from worker.recipes.recipe import ComputeType, Ingredients, Recipe
from worker.recipes.smoothing_settings import check_alpha, smoothing_suffix

_WINDOWS: Final = 32
_WINDOW: Final = 512
"""What is run to find large channels: as much as static scales are calibrated on."""


class Int8Dynamic(Recipe, frozen=True, kw_only=True, tag="int8_dynamic"):
    """Round-to-nearest INT8 for both sides of every product, one scale per output row and per token."""

    title: ClassVar[str] = "8-bit weights and activations, scaled per token"

    symmetric: bool = True
    """Whether activations have no zero point."""
    compute: ComputeType = "bfloat16"
    smoothing: float | None = None
    """How much of large activation channels moves into the weights before rounding (SmoothQuant's alpha, 0 to 1), which takes
    calibration text; null: no smoothing."""

    def __post_init__(self) -> None:
        check_alpha(self.smoothing)

    @property
    def uses_text(self) -> bool:
        """Only to smooth."""
        return self.smoothing is not None

    @property
    def dtype(self) -> ComputeType:
        """As configured."""
        return self.compute

    @property
    def variant_name(self) -> str:
        """Name that says when activations are asymmetric or smoothed."""
        return "int8-dynamic" + ("" if self.symmetric else "-asymmetric") + smoothing_suffix(self.smoothing)

    @property
    def scheme(self) -> Scheme:
        """INT8 on both sides, dynamic scales."""
        return Scheme(
            weight=Precision(format=NumberFormat.INT8),
            activation=Precision(format=NumberFormat.INT8, symmetric=self.symmetric),
            activation_scaling=ActivationScaling.DYNAMIC,
            method="rtn" if self.smoothing is None else "smoothquant",
        )

    def torchao_config(self) -> Any:
        """Return the configuration; inductor is left alone, since its exhaustive tuning can take minutes a layer."""
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig
        from torchao.quantization.quant_primitives import MappingType

        mapping = MappingType.SYMMETRIC if self.symmetric else MappingType.ASYMMETRIC
        return Int8DynamicActivationInt8WeightConfig(act_mapping_type=mapping, set_inductor_config=False)

    def build(self, given: Ingredients) -> Any:
        """Return the quantized model, smoothed first where asked.

        torchao quantizes while transformers loads, so a smoothed base goes through a temporary folder.
        """
        if self.smoothing is None:
            return super().build(given)
        from worker.engines.loading import load_model
        from worker.recipes.smoothing import smooth

        model = load_model(given.base, device=given.device, dtype=self.dtype)
        windows = calibration_windows(model, given, windows=_WINDOWS, window=_WINDOW)
        smooth(model, windows, self.smoothing, given)
        with TemporaryDirectory(prefix="smoothed-") as folder:
            model.save_pretrained(folder)
            del model
            return super().build(replace(given, base=Path(folder)))
