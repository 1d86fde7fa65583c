"""Gradient checkpointing: activations of a block are computed again in the backward pass instead of being kept.

Chen et al., Training Deep Nets with Sublinear Memory Cost, arXiv 1604.06174. What that saves and costs depends on model,
batch and sequence, so a build that uses it also runs the same steps without it and records both.
"""

from __future__ import annotations

import itertools
import statistics
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from planner.errors import InvalidInput
from worker.progress import Report
from worker.training.allocation import peak_allocated_bytes, tensor_bytes
from worker.training.loop import Steps, training_step
from worker.training.objectives import Objective
from worker.training.optimizer import MasterAdamW

if TYPE_CHECKING:
    from worker.training.sequences import Sequences

TIMED_STEPS: Final = 3


class StepCost(msgspec.Struct, frozen=True, kw_only=True):
    """One training step: the most bytes in tensors, and the median of its seconds."""

    peak_allocator_bytes: int
    seconds: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The same steps without and with checkpointing; `without` is None where they do not fit into the memory."""

    without: StepCost | None
    checkpointed: StepCost

    @property
    def memory_saved_share(self) -> float | None:
        """Share of the peak that checkpointing saves, weights and optimizer included."""
        if self.without is None:
            return None
        return 1 - self.checkpointed.peak_allocator_bytes / self.without.peak_allocator_bytes

    @property
    def extra_time_share(self) -> float | None:
        """Share of the time of a step that checkpointing adds."""
        return None if self.without is None else self.checkpointed.seconds / self.without.seconds - 1


def set_checkpointing(model: Any, *, enabled: bool) -> None:
    """Switch checkpointing of every transformer block on or off; it acts in training mode only. Raises InvalidInput."""
    # Newer transformers have other names for both, and warn of the older ones.
    if not enabled:
        getattr(model, "activation_checkpointing_disable", model.gradient_checkpointing_disable)()
        return
    if not model.supports_gradient_checkpointing:
        raise InvalidInput(
            "recipe.checkpointing", f"is not possible with {type(model).__name__}", allowed="false"
        )
    options = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=options)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)


def compare_checkpointing(
    model: Any,
    objective: Objective,
    sequences: Sequences,
    settings: Steps,
    *,
    frozen: tuple[Any, ...] = (),
    steps: int = TIMED_STEPS,
    report: Report,
) -> Comparison:
    """Run whole training steps without and with checkpointing; the weights are left as they were.

    The learning rate is zero, so that steps cost what they always do and change nothing. Timed steps of the two kinds
    take turns, so that a machine that slows down does so for both.
    """
    import torch

    device: torch.device = next(model.parameters()).device
    optimizer = MasterAdamW(model.parameters(), learning_rate=0.0, steps=1000)
    batch = next(sequences.batches(settings.batch, seed=settings.seed, device=device))
    model.train()

    def step() -> None:
        training_step(model, objective, batch, optimizer)

    peaks: dict[bool, int | None] = {}
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for enabled in (True, False):
        report(0.0 if enabled else 0.25, "measuring checkpointing: memory")
        set_checkpointing(model, enabled=enabled)
        try:
            step()  # the first one makes the optimizer's moments, and warms up
            held = tensor_bytes(model, *frozen) + optimizer.held_bytes
            peaks[enabled] = peak_allocated_bytes(step, held_bytes=held, device=device)
        except torch.OutOfMemoryError:
            if enabled:
                raise
            peaks[enabled] = None
            for parameter in model.parameters():
                parameter.grad = None
            torch.cuda.empty_cache()
    kinds = [kind for kind in (False, True) if peaks[kind] is not None]
    for number, enabled in itertools.product(range(steps), kinds):
        report(0.5 + 0.5 * number / steps, "measuring checkpointing: time")
        set_checkpointing(model, enabled=enabled)
        start = time.perf_counter()
        step()
        seconds[enabled].append(time.perf_counter() - start)
    costs = {
        kind: StepCost(peak_allocator_bytes=peak, seconds=statistics.median(seconds[kind]))
        for kind, peak in peaks.items()
        if peak is not None
    }
    set_checkpointing(model, enabled=False)
    return Comparison(without=costs.get(False), checkpointed=costs[True])
