"""Recipes with static activation scales: the base runs over calibration text and each layer's inputs are watched.

The scale of a layer's input is a magnitude over the number format's largest value: the magnitude with the least squared
error over what was seen, or the largest, or a percentile. What is above it saturates, which buys the rest a finer grid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from planner.errors import InvalidFile, InvalidInput
from worker.recipes.calibration_text import calibration_windows
from worker.recipes.recipe import ComputeType, Ingredients
from worker.recipes.stored import StoredRecipe

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    from worker.recipes.magnitudes import Magnitudes

Statistic = Literal["mse", "absmax", "percentile"]
_MAX_WINDOWS = 65_536
_MAX_WINDOW = 131_072


class CalibratedRecipe(StoredRecipe, frozen=True, kw_only=True):
    """Base: how much text is run, and what is made of what was seen."""

    needs_text: ClassVar[bool] = True

    statistic: Statistic = "mse"
    """What of the observed magnitudes becomes the scale: that of the least squared error (`mse`), the largest (`absmax`), or
    a `percentile`."""
    percentile: float = 99.99
    """Share of magnitudes that must not saturate, in percent; for `statistic=percentile`."""
    windows: int = 32
    """Windows of text to run, one from the beginning of each document."""
    window: int = 512
    """Tokens of a window."""

    def __post_init__(self) -> None:
        if not 50.0 <= self.percentile <= 100.0:
            raise InvalidInput(
                "recipe.percentile", f"{self.percentile:g} is out of range", allowed="50 to 100"
            )
        if not 1 <= self.windows <= _MAX_WINDOWS:
            raise InvalidInput(
                "recipe.windows", f"{self.windows} is out of range", allowed=f"1 to {_MAX_WINDOWS}"
            )
        if not 2 <= self.window <= _MAX_WINDOW:
            raise InvalidInput(
                "recipe.window", f"{self.window} is out of range", allowed=f"2 to {_MAX_WINDOW} tokens"
            )

    @property
    def dtype(self) -> ComputeType:
        """BF16."""
        return "bfloat16"

    @property
    def suffix(self) -> str:
        """What a variant's name says about the scales: nothing by default."""
        match self.statistic:
            case "mse":
                return ""
            case "absmax":
                return "-absmax"
            case "percentile":
                return f"-p{self.percentile:g}"

    def observe(self, model: Any, given: Ingredients) -> Mapping[str, Magnitudes]:
        """Run the base over the calibration text and return the input magnitudes of every linear layer by its name.

        Raises InvalidInput when the text gives no window, JobFailed when the base's activations are not finite.
        """
        from worker.recipes.magnitudes import watch

        return watch(model, self.calibrate_on(model, given), given.report)

    def calibrate_on(self, model: Any, given: Ingredients) -> list[npt.NDArray[np.int64]]:
        """Return the windows of the calibration text. Raises InvalidInput when the text gives none."""
        return calibration_windows(model, given, windows=self.windows, window=self.window)

    def input_scale(
        self,
        name: str,
        observed: Mapping[str, Magnitudes],
        largest: float,
        rounded: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """Return the scale of the layer's input, one FP32 number. Raises InvalidInput for a layer no text reached."""
        import torch

        magnitudes = observed.get(name)
        if magnitudes is None:
            raise InvalidInput("dataset", f"never reaches `{name}`", allowed="more calibration text")
        if not magnitudes.most < float("inf"):
            raise InvalidFile("*.safetensors", name, "gets inputs that are not finite")
        match self.statistic:
            case "absmax":
                most = magnitudes.most
            case "percentile":
                most = magnitudes.percentile(self.percentile)
            case "mse":
                most = magnitudes.least_error(rounded, largest)
        return torch.tensor([max(most / largest, torch.finfo(torch.float32).tiny)])
