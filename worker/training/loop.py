"""The training loop: a number of steps of one objective over batches of text, with what it cost and what it gained."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec

from planner.domain.job import FailureReason
from worker.failure import JobFailed
from worker.progress import Report
from worker.training.allocation import peak_allocated_bytes, tensor_bytes
from worker.training.objectives import NextToken, Objective
from worker.training.optimizer import MasterAdamW

if TYPE_CHECKING:
    import torch

    from worker.training.sequences import Sequences

PROFILED_STEP: Final = 1
"""The step whose memory is taken, counted from 0: the first one that has the optimizer's moments beside it."""


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """How to train: `batch` sequences of `sequence` tokens a step."""

    steps: int
    learning_rate: float
    batch: int
    sequence: int
    seed: int


class TrainingRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did.

    Losses are means over the held-out sequences, in nats per token: `text` of the text's own tokens, `objective` of what
    was minimised.
    """

    steps: int
    trained_parameters: int
    text_before: float
    text_after: float
    objective_before: float
    objective_after: float
    seconds: float
    seconds_per_step: float
    """Median of the steps, the first and the profiled one left out."""
    peak_allocator_bytes: int | None
    """Most bytes in tensors during one whole step; None when the run was too short to take it."""


def train(
    model: Any,
    objective: Objective,
    sequences: Sequences,
    settings: Steps,
    *,
    frozen: tuple[Any, ...] = (),
    report: Report,
) -> TrainingRun:
    """Train what requires a gradient of the model, in place; it is left in evaluation mode.

    `frozen` are other models in memory, such as a teacher, whose bytes count. Raises JobFailed when the loss stops being
    finite.
    """
    device: torch.device = next(model.parameters()).device
    optimizer = MasterAdamW(model.parameters(), learning_rate=settings.learning_rate, steps=settings.steps)
    batches = sequences.batches(settings.batch, seed=settings.seed, device=device)
    report(0.0, "measuring the loss before training")
    text_before, objective_before = (
        _held_out(model, loss, sequences, settings, device) for loss in (NextToken(), objective)
    )
    began = time.perf_counter()
    seconds: list[float] = []
    peak: int | None = None
    model.train()
    for step, batch in enumerate(itertools.islice(batches, settings.steps)):
        start = time.perf_counter()
        losses: list[float] = []

        def run(batch: torch.Tensor = batch, losses: list[float] = losses) -> None:
            losses.append(training_step(model, objective, batch, optimizer))

        if step == PROFILED_STEP:
            held = tensor_bytes(model, *frozen) + optimizer.held_bytes
            peak = peak_allocated_bytes(run, held_bytes=held, device=device)
        else:
            run()
            if step > 0:
                seconds.append(time.perf_counter() - start)
        if not math.isfinite(losses[0]):
            raise JobFailed(
                FailureReason.ARTIFACT_CORRUPT,
                f"training diverged: the loss is {losses[0]} at step {step + 1}; lower the learning rate",
            )
        report((step + 1) / settings.steps, f"step {step + 1} of {settings.steps}: loss {losses[0]:.4f}")
    elapsed = time.perf_counter() - began
    text_after, objective_after = (
        _held_out(model, loss, sequences, settings, device) for loss in (NextToken(), objective)
    )
    return TrainingRun(
        steps=settings.steps,
        trained_parameters=optimizer.parameters,
        text_before=text_before,
        text_after=text_after,
        objective_before=objective_before,
        objective_after=objective_after,
        seconds=elapsed,
        seconds_per_step=statistics.median(seconds) if seconds else elapsed / settings.steps,
        peak_allocator_bytes=peak,
    )


def training_step(model: Any, objective: Objective, batch: torch.Tensor, optimizer: MasterAdamW) -> float:
    """Run one step and return the loss before it, once the device is done."""
    loss = objective(model, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return float(loss.detach())


def mean_loss(model: Any, objective: Objective, batches: Iterator[torch.Tensor]) -> float:
    """Return the objective's mean over all tokens of the batches, in evaluation mode, without gradients."""
    import torch

    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for batch in batches:
            total += float(objective(model, batch)) * len(batch)
            count += len(batch)
    return total / count


def _held_out(
    model: Any, objective: Objective, sequences: Sequences, settings: Steps, device: torch.device
) -> float:
    return mean_loss(model, objective, sequences.held_out_batches(settings.batch, device=device))
