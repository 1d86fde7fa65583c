"""Distillation: the full-precision model teaches its own quantized form, alone or together with quantization-aware training.

The student learns the teacher's whole distribution of the next token instead of the one token that the text has, which is
more to learn from every position, and cannot drift to what the text prefers. Together with rounding during training this
is what others call quantization-aware distillation.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from planner.errors import InvalidInput
from worker.recipes.trained import TrainedRecipe
from worker.training.fake_quantization import freeze_quantized
from worker.training.objectives import Distillation as TeacherObjective

if TYPE_CHECKING:
    from worker.recipes.recipe import Ingredients
    from worker.training.objectives import Objective


class Distillation(TrainedRecipe, frozen=True, kw_only=True, tag="distillation"):
    """Train the quantized model on the predictions of the full one.

    `qat` true trains all weights while they are rounded. False leaves the quantized weights as rounding to nearest made
    them and trains only what keeps its precision, embeddings and norms among it, so that it makes up for the rounding; that
    bears a larger learning rate, such as 1e-3.
    """

    title: ClassVar[str] = "Distillation from the full model, with or without quantization-aware training"

    qat: bool = True
    """Whether the quantized weights are trained too."""
    temperature: float = 1.0
    """Softens both distributions; 1 leaves them as they are."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.temperature) and 0.1 <= self.temperature <= 100):
            raise InvalidInput(
                "recipe.temperature", f"{self.temperature} is out of range", allowed="0.1 to 100"
            )

    @property
    def method(self) -> str:
        """How the rounding came about: "qat-distilled" or "distilled"."""
        return "qat-distilled" if self.qat else "distilled"

    def objective(self, given: Ingredients) -> Objective:
        """Return the divergence from the base, loaded a second time at the same precision and frozen."""
        from worker.engines.loading import load_model

        teacher = load_model(given.base, device=given.device, dtype=self.dtype).requires_grad_(
            requires_grad=False
        )
        return TeacherObjective(teacher, self.temperature)

    def choose_trained(self, model: Any, layers: tuple[str, ...]) -> None:
        """Freeze the weights that are rounded, unless they are trained too."""
        if not self.qat:
            freeze_quantized(model, layers)
