"""Loosening: what one constraint would have to become to admit one of some variants, as far as it alone goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import numpy as np

from planner.choose.feasible import CONTEXT, MEMORY, RATE, Assessment, Judgement
from planner.choose.grid import capacity_grid, latency_grid, loss_grid, round_down, round_up, size_grid
from planner.domain.constraint import (
    Constraint,
    CostLimit,
    DiskLimit,
    LatencyLimit,
    LossLimit,
    Scope,
    ThroughputFloor,
)
from planner.domain.price import MAX_PER_HOUR
from planner.domain.scenario import Scenario
from planner.domain.units import MAX_BYTES
from planner.estimate.capacity import capacity_of
from planner.estimate.columns import Floats, Integers
from planner.estimate.memory import Term, fit_score, required_score

DROPPED: Final = "not limited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of a scenario: the scenario after it, and both sides of the change in words."""

    key: str
    before: str
    after: str
    amount: float | None
    scenario: Scenario


def replaced(scenario: Scenario, old: Constraint, new: Constraint | None) -> Scenario:
    """Return `scenario` with one constraint in the place of another, or without it."""
    kept = tuple(new if c is old else c for c in scenario.constraints if c is not old or new is not None)
    return msgspec.structs.replace(scenario, constraints=tuple(c for c in kept if c is not None))


def _bound(scenario: Scenario, old: Constraint, new: Constraint | None, amount: float | None) -> Change:
    after = new.describe() if new is not None else DROPPED
    return Change(
        key=old.key,
        before=old.describe(),
        after=after,
        amount=amount,
        scenario=replaced(scenario, old, new),
    )


def relative_change(new: float, old: float) -> float | None:
    """Return new/old - 1, None where that cannot be said."""
    return new / old - 1 if old > 0 else None


def _loosen_loss(scenario: Scenario, limit: LossLimit, values: Floats, upper: Floats) -> Iterator[Change]:
    needed = upper if limit.certified_only else values
    known = needed[~np.isnan(needed)]
    step, top = loss_grid(limit.kind)
    if len(known):
        new = round_up(float(known.min()), step)
        if limit.limit < new <= top:
            loose = msgspec.structs.replace(limit, limit=new)
            yield _bound(scenario, limit, loose, relative_change(new, limit.limit))
    if limit.certified_only and bool((values <= limit.limit).any()):
        loose = msgspec.structs.replace(limit, certified_only=False)
        yield replace(_bound(scenario, limit, loose, None), key=f"{limit.key}:certified")
    if not len(values[~np.isnan(values)]):
        yield _bound(scenario, limit, None, None)


def _loosen_latency(
    scenario: Scenario, limit: LatencyLimit, values: Floats, *, placed: bool
) -> Iterator[Change]:
    known = values[~np.isnan(values)]
    if len(known):
        needed = float(known.min())
        new = round_up(needed, latency_grid(limit.limit))
        if new > limit.limit:
            loose = msgspec.structs.replace(limit, limit=new)
            yield _bound(scenario, limit, loose, relative_change(new, limit.limit))
        return
    if placed and limit.quantile not in {"mean", "p50"}:
        yield _bound(scenario, limit, msgspec.structs.replace(limit, quantile="p50"), None)
    yield _bound(scenario, limit, None, None)


def _loosen_throughput(scenario: Scenario, floor: ThroughputFloor, values: Floats) -> Iterator[Change]:
    known = values[~np.isnan(values)]
    if len(known):
        share = scenario.workload.concurrency if floor.scope is Scope.REQUEST else 1
        new = round_down(1 / float(known.min()) / share, 1.0 if floor.limit >= 10 else 0.1)
        if 0 < new < floor.limit:
            loose = msgspec.structs.replace(floor, limit=new)
            yield _bound(scenario, floor, loose, relative_change(new, floor.limit))
            return
    yield _bound(scenario, floor, None, None)


def _loosen_cost(scenario: Scenario, limit: CostLimit, values: Floats) -> Iterator[Change]:
    known = values[~np.isnan(values)]
    if len(known):
        new = round_up(float(known.min()), 0.01)
        if limit.limit < new <= MAX_PER_HOUR:
            loose = msgspec.structs.replace(limit, limit=new)
            yield _bound(scenario, limit, loose, relative_change(new, limit.limit))
        return
    yield _bound(scenario, limit, None, None)


def _loosen_disk(scenario: Scenario, limit: DiskLimit, values: Floats) -> Iterator[Change]:
    needed = float(values.min())
    new = round(round_up(needed, size_grid(needed)))
    yield _bound(
        scenario, limit, msgspec.structs.replace(limit, limit=new), relative_change(new, limit.limit)
    )


def _loosen_memory(assessment: Assessment, at: Integers) -> Iterator[Change]:
    """Yield the smallest nominal memory on the grid in which one of the positions fits; a named device has the one it has."""
    setting = assessment.setting
    scenario, hardware = setting.scenario, setting.scenario.hardware
    if setting.device is not None or hardware is None or hardware.memory_bytes is None:
        return
    total = Term(assessment.total.value[at], assessment.total.lo[at], assessment.total.hi[at])
    step = capacity_grid(hardware.memory_bytes)
    needed = required_score(scenario.risk)

    def fits(count: int) -> bool:
        larger = msgspec.structs.replace(hardware, memory_bytes=count * step)
        capacity = capacity_of(None, larger)
        return capacity is not None and bool((fit_score(total, capacity) >= needed).any())

    low = hardware.memory_bytes // step
    high = max(2 * low, 1)
    while not fits(high):
        low, high = high, 2 * high
        if high * step > MAX_BYTES:
            return
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    larger = msgspec.structs.replace(hardware, memory_bytes=high * step)
    yield Change(
        key=MEMORY,
        before=hardware.describe(),
        after=larger.describe(),
        amount=relative_change(high * step, hardware.memory_bytes),
        scenario=msgspec.structs.replace(scenario, hardware=larger),
    )


def _loosen_context(assessment: Assessment, at: Integers) -> Iterator[Change]:
    scenario = assessment.setting.scenario
    longest = float(assessment.columns.max_context[at].max())
    room = int(longest) - scenario.workload.output_tokens
    if room >= 1:
        yield with_input(scenario, room)


def _loosen_rate(assessment: Assessment, needed: Floats, at: Integers) -> Iterator[Change]:
    """Yield the highest rate that the replicas of one of the positions serve; none where no time is known or none is left."""
    scenario = assessment.setting.scenario
    shares = (assessment.setting.devices // assessment.terms.degree[at]) / needed
    shares = shares[np.isfinite(shares)]
    if scenario.rate is None:
        return
    most = scenario.rate * float(shares.max()) if len(shares) else 0.0
    rate = round_down(most, 1.0 if most >= 10 else 0.01)
    if rate >= scenario.rate:
        return
    yield Change(
        key=RATE,
        before=f"{scenario.rate:g} requests per second",
        after=f"{rate:g} requests per second" if rate > 0 else DROPPED,
        amount=relative_change(rate, scenario.rate) if rate > 0 else None,
        scenario=msgspec.structs.replace(scenario, rate=rate if rate > 0 else None),
    )


def with_input(scenario: Scenario, tokens: int) -> Change:
    """Return the change to `tokens` input tokens."""
    workload = scenario.workload
    return Change(
        key="workload.input_tokens",
        before=f"{workload.input_tokens:,} input tokens",
        after=f"{tokens:,} input tokens",
        amount=relative_change(tokens, workload.input_tokens),
        scenario=msgspec.structs.replace(
            scenario, workload=msgspec.structs.replace(workload, input_tokens=tokens)
        ),
    )


def with_concurrency(scenario: Scenario, requests: int) -> Change:
    """Return the change to `requests` at the same time."""
    workload = scenario.workload
    return Change(
        key="workload.concurrency",
        before=f"concurrency {workload.concurrency:,}",
        after=f"concurrency {requests:,}",
        amount=relative_change(requests, workload.concurrency),
        scenario=msgspec.structs.replace(
            scenario, workload=msgspec.structs.replace(workload, concurrency=requests)
        ),
    )


def loosen(assessment: Assessment, judgement: Judgement, at: Integers) -> Iterator[Change]:
    """Yield the least changes of one constraint that admit one of the positions `at`, as far as it alone goes."""
    scenario, constraint = assessment.setting.scenario, judgement.constraint
    values = judgement.value[at] if judgement.value is not None else np.zeros(0)
    match constraint:
        case LossLimit():
            losses = assessment.index.losses(constraint.kind, constraint.task)
            upper = losses.bounds(constraint.confidence)[1][assessment.rows[at]]
            yield from _loosen_loss(scenario, constraint, values, upper)
        case LatencyLimit():
            yield from _loosen_latency(
                scenario, constraint, values, placed=assessment.setting.device is not None
            )
        case ThroughputFloor():
            yield from _loosen_throughput(scenario, constraint, values)
        case CostLimit():
            yield from _loosen_cost(scenario, constraint, values)
        case DiskLimit():
            yield from _loosen_disk(scenario, constraint, values)
        case None if judgement.key == MEMORY:
            yield from _loosen_memory(assessment, at)
        case None if judgement.key == CONTEXT:
            yield from _loosen_context(assessment, at)
        case None if judgement.key == RATE:
            yield from _loosen_rate(assessment, values, at)
        case None:
            return  # no bound makes a device compute a format, or ends a quarantine
        case _:
            yield _bound(scenario, constraint, None, None)
