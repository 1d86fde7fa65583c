"""What training minimises: the next token of the text, or the distance to a teacher's predictions.

Both are means over all predicted tokens of a batch of sequences, in nats, computed in FP32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch


class Objective(Protocol):
    """A loss of a model on a batch."""

    @property
    def title(self) -> str:
        """What is minimised, for the record."""
        ...

    def __call__(self, model: Any, batch: torch.Tensor) -> torch.Tensor:
        """Return the loss on token ids of shape (sequences, length + 1), a scalar that has gradients."""
        ...


@dataclass(frozen=True)
class NextToken:
    """Cross-entropy of the text's own next tokens."""

    @property
    def title(self) -> str:
        """The text."""
        return "next token of the text"

    def __call__(self, model: Any, batch: torch.Tensor) -> torch.Tensor:
        """Return the mean negative log-likelihood."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(_logits(model, batch).flatten(0, 1), batch[:, 1:].flatten())


@dataclass(frozen=True)
class Distillation:
    """Forward Kullback-Leibler divergence from the teacher's next-token distribution to the student's.

    Both are softened by the temperature T, and the loss is multiplied by T² so that gradients keep their size (Hinton,
    Vinyals & Dean, Distilling the Knowledge in a Neural Network, arXiv 1503.02531, section 2).
    """

    teacher: Any
    temperature: float = 1.0

    @property
    def title(self) -> str:
        """The divergence, with the temperature where it is not 1."""
        softened = "" if self.temperature == 1 else f", at temperature {self.temperature:g}"
        return "KL divergence from the full model" + softened

    def __call__(self, model: Any, batch: torch.Tensor) -> torch.Tensor:
        """Return T² KL(teacher ‖ student), the mean over tokens."""
        import torch

        with torch.no_grad():
            wanted = torch.log_softmax(_logits(self.teacher, batch) / self.temperature, dim=-1)
        given = torch.log_softmax(_logits(model, batch) / self.temperature, dim=-1)
        loss = torch.nn.functional.kl_div(
            given.flatten(0, 1), wanted.flatten(0, 1), reduction="batchmean", log_target=True
        )
        return loss * self.temperature**2


def _logits(model: Any, batch: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = model(input_ids=batch[:, :-1], use_cache=False).logits
    return logits.float()
