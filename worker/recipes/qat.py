"""Quantization-aware training: the weights learn to be rounded, on the next token of plain text.

Every forward pass rounds as the built variant will, and gradients pass straight through the rounding, so the weights move
to where rounding hurts less. Method: Jacob et al., arXiv 1712.05877; for language models Liu et al., LLM-QAT, arXiv
2305.17888.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from worker.recipes.trained import TrainedRecipe
from worker.training.objectives import NextToken

if TYPE_CHECKING:
    from worker.recipes.recipe import Ingredients
    from worker.training.objectives import Objective


class Qat(TrainedRecipe, frozen=True, kw_only=True, tag="qat"):
    """Train all weights on text while linear layers round to `bits`, then quantize them for good."""

    title: ClassVar[str] = "Quantization-aware training: few bits, weights trained to be rounded"
    learning_rate: float = 5e-5
    """A quarter of what distillation takes: the text's next tokens pull the model further from the full one."""

    @property
    def method(self) -> str:
        """Always "qat"."""
        return "qat"

    def objective(self, given: Ingredients) -> Objective:
        """Return the loss of the next token of the text."""
        del given
        return NextToken()
