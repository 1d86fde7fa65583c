"""Training plans: the setup that fits with the least recomputation and sharding, or the least changes with which one would."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product
from typing import Final

import msgspec
import numpy as np

from planner.domain.device import Device, DeviceKind
from planner.domain.figure import Figure
from planner.domain.model import Model
from planner.domain.scenario import Hardware
from planner.domain.training import (
    Recomputation,
    TrainingAnswer,
    TrainingChange,
    TrainingMemory,
    TrainingMethod,
    TrainingRequest,
    TrainingSetup,
)
from planner.domain.units import Unit
from planner.errors import EvidenceMissing
from planner.estimate.capacity import capacity_of
from planner.estimate.memory import Term, fit_score, probability, required_score
from planner.estimate.training import (
    Amount,
    Training,
    operations_per_token,
    steps_of,
    training_bytes,
    training_seconds,
)

MAX_DEVICES: Final = 1024
_DIMENSIONS: Final = ("devices", "sequence", "recomputation", "zero_stage", "micro_batch")
"""Parts of a setup, those whose change costs most first: of sets that help, the least of these is taken."""


@dataclass(frozen=True, slots=True)
class _Judged:
    setup: TrainingSetup
    terms: dict[str, Amount]
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Problem:
    request: TrainingRequest
    training: Training
    capacity: Figure
    accelerated: bool

    def judge(self, setup: TrainingSetup) -> _Judged:
        """Return a setup with its memory, and by how many standard deviations it fits."""
        terms = training_bytes(self.training, setup, accelerated=self.accelerated)
        total = terms["total"]
        term = Term(*(np.array([end]) for end in (total.value, total.lo, total.hi)))
        return _Judged(setup, terms, float(fit_score(term, self.capacity)[0]))

    def fits(self, judged: _Judged) -> bool:
        """Return whether it fits at the risk asked for."""
        return judged.score >= required_score(self.request.risk)

    def setup(
        self, recomputation: Recomputation, micro_batch: int, zero_stage: int, devices: int, sequence: int
    ) -> TrainingSetup:
        """Return a setup with as many micro-batches as make up the batch."""
        return TrainingSetup(
            devices=devices,
            micro_batch=micro_batch,
            recomputation=recomputation,
            zero_stage=zero_stage,
            sequence=sequence,
            accumulation=math.ceil(self.request.batch / (micro_batch * devices)),
        )

    def recomputations(self) -> list[Recomputation]:
        """Return the kinds that differ, the one that costs least time first."""
        scores = () if self.training.fused_attention else (Recomputation.SELECTIVE,)
        return [Recomputation.NONE, *scores, Recomputation.FULL]

    def micro_batches(self, devices: int) -> list[int]:
        """Return powers of two up to a device's share of the batch, and that share, the largest first."""
        share = max(1, math.ceil(self.request.batch / devices))
        return sorted(
            {share, *(2**power for power in range(share.bit_length()) if 2**power <= share)}, reverse=True
        )

    def allowed(self, devices: int) -> Iterator[TrainingSetup]:
        """Yield the setups that the request leaves open: the least recomputation first, then the least sharding."""
        r = self.request
        share = max(1, math.ceil(r.batch / devices))
        yield from (
            self.setup(recomputation, min(micro_batch, share), zero_stage, devices, r.sequence)
            for recomputation, zero_stage, micro_batch in product(
                [r.recomputation] if r.recomputation else self.recomputations(),
                [r.zero_stage] if r.zero_stage is not None else range(4 if devices > 1 else 1),
                [r.micro_batch] if r.micro_batch else self.micro_batches(devices),
            )
        )


def plan_training(
    request: TrainingRequest,
    *,
    method: TrainingMethod,
    model: Model,
    teacher: Model | None,
    hardware: Hardware,
    device: Device | None,
    notes: tuple[str, ...] = (),
) -> TrainingAnswer:
    """Return whether the training fits, its layout, memory and time, and what would make it fit.

    Raises EvidenceMissing for hardware without a stated memory.
    """
    capacity = capacity_of(device, hardware)
    if capacity is None:
        raise EvidenceMissing(
            "the memory of the hardware is not stated: name a device or a size, such as 24GB"
        )
    training = Training(
        method=method,
        student=model.architecture,
        teacher=(teacher or model).architecture if method is TrainingMethod.DISTILLATION else None,
        fused_attention=request.fused_attention,
    )
    kind = device.kind if device is not None else hardware.kind
    problem = _Problem(
        request=request, training=training, capacity=capacity, accelerated=kind is DeviceKind.GPU
    )
    tried = [problem.judge(setup) for setup in problem.allowed(hardware.count)]
    chosen = next((judged for judged in tried if problem.fits(judged)), None)
    fits = chosen is not None
    chosen = chosen or min(tried, key=lambda judged: judged.terms["total"].value)
    setup = chosen.setup
    steps = steps_of(request.tokens, request.batch, setup.sequence)
    seconds = training_seconds(training, setup, device, tokens=request.tokens, steps=steps)
    limit = model.architecture.max_context
    if limit is not None and request.sequence > limit:
        notes += (f"Sequences are longer than the {limit:,} tokens of the model's context.",)
    return TrainingAnswer(
        request=request,
        method=method,
        model_id=model.id,
        parameters=model.architecture.parameters,
        teacher_id=(teacher or model).id if training.teacher is not None else None,
        hardware=hardware,
        fits=fits,
        setup=setup,
        memory=_memory(chosen, capacity),
        steps=steps,
        operations=Amount.exact(operations_per_token(training, setup) * request.tokens).figure(
            Unit.COUNT, "operations that the formulae count, see docs/training.md"
        ),
        seconds=seconds.figure(Unit.SECONDS, "utilization of matrix throughput is a prior")
        if seconds
        else None,
        changes=() if fits else tuple(_changes(problem, setup)),
        notes=notes,
    )


def _memory(judged: _Judged, capacity: Figure) -> TrainingMemory:
    figures = {name: amount.figure(Unit.BYTES) for name, amount in judged.terms.items()}
    return TrainingMemory(**figures, capacity=capacity, fit_probability=probability(judged.score))


def _values(problem: _Problem, setup: TrainingSetup) -> dict[str, list[object]]:
    """Return what each part of a setup could be changed to, the least change first."""
    kinds = problem.recomputations()
    at = kinds.index(setup.recomputation) if setup.recomputation in kinds else 0
    devices: list[object] = []
    count = setup.devices + 1
    while count <= MAX_DEVICES:
        devices.append(count)
        count = count + 1 if count < 8 else count + 4 if count < 32 else 2 * count
    halved: list[object] = []
    length = setup.sequence // 2
    while length >= 64:
        halved.append(length)
        length //= 2
    return {
        "recomputation": [*kinds[at + 1 :]],
        "micro_batch": [size for size in problem.micro_batches(setup.devices) if size < setup.micro_batch],
        "zero_stage": [*range(setup.zero_stage + 1, 4)],
        "devices": devices,
        "sequence": halved,
    }


def _changes(problem: _Problem, setup: TrainingSetup) -> Iterator[TrainingChange]:
    """Yield the least changes: single ones if any helps, else the smallest sets of parts that help when changed together."""
    values = _values(problem, setup)
    for size in range(1, len(_DIMENSIONS) + 1):
        found = [
            change
            for parts in combinations(_DIMENSIONS, size)
            if (change := _least(problem, setup, parts, values)) is not None
        ]
        if found:
            yield from found
            return


def _least(
    problem: _Problem, setup: TrainingSetup, parts: tuple[str, ...], values: dict[str, list[object]]
) -> TrainingChange | None:
    """Return the first setup that fits when `parts` alone change, the later parts varying fastest."""
    for chosen in product(*(values[part] for part in parts)):
        changed = msgspec.structs.replace(setup, **dict(zip(parts, chosen, strict=True)))
        if changed.devices == 1 and changed.zero_stage > 0:
            continue
        changed = problem.setup(
            changed.recomputation,
            min(changed.micro_batch, math.ceil(problem.request.batch / changed.devices)),
            changed.zero_stage,
            changed.devices,
            changed.sequence,
        )
        judged = problem.judge(changed)
        if problem.fits(judged):
            return TrainingChange(
                change=" and ".join(_words(setup, changed)),
                setup=changed,
                total=judged.terms["total"].figure(Unit.BYTES),
                fit_probability=probability(judged.score),
            )
    return None


def _words(before: TrainingSetup, after: TrainingSetup) -> Iterator[str]:
    if after.recomputation is not before.recomputation:
        yield f"recompute {'all activations' if after.recomputation is Recomputation.FULL else 'attention scores'}"
    if after.zero_stage != before.zero_stage:
        yield f"shard by ZeRO stage {after.zero_stage}"
    if after.devices != before.devices:
        yield f"use {after.devices} devices"
    if after.micro_batch != before.micro_batch:
        yield f"micro-batches of {after.micro_batch}"
    if after.sequence != before.sequence:
        yield f"sequences of {after.sequence} tokens"
