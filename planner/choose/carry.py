"""What a placement carries: the longest context and the most sequences that fit, and the replicas a request rate needs.

Every valid way to place the chosen variant is shown with both, so that parallelism is an answer as well as a question.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from planner.choose.feasible import Assessment, assess_split
from planner.domain.figure import Basis, Figure, Interval
from planner.domain.outcome import Placement, Serving
from planner.domain.units import Unit
from planner.estimate.columns import Booleans, Columns, Floats
from planner.estimate.memory import Demand, Term, fit_score, memory_terms, probability, required_score
from planner.estimate.placement import Split, placements
from planner.estimate.queueing import HEADROOM, erlang_c, mean_wait, replicas_needed

_LONGEST: Final = 2**24
"""Tokens searched where a model states no longest context: more than any model holds."""
_MOST: Final = 1_000_000
_TRIED: Final = 1024
"""Numbers tried at once: two rounds find one in a million."""


def _most(fits: Callable[[Floats], Booleans], top: int) -> int:
    """Return the largest number from 1 to `top` that fits, 0 for none; what does not fit does not fit larger."""
    low, high = 0, top
    while low < high:
        grid = np.unique(np.linspace(low + 1, high, _TRIED).astype(np.int64))
        count = int(np.argmin(np.append(fits(grid.astype(np.float64)), [False])))
        high = int(grid[count]) - 1 if count < len(grid) else high
        low = int(grid[count - 1]) if count else low
    return low


def _row_of(assessment: Assessment, position: int) -> Columns:
    return assessment.columns.take(np.array([position], dtype=np.int64))


def _limits(assessment: Assessment, position: int) -> tuple[int | None, int | None]:
    """Return the longest context at the concurrency asked for and the most sequences of the length asked for."""
    setting = assessment.setting
    capacity, workload = setting.capacity, setting.scenario.workload
    if capacity is None:
        return None, None
    columns, needed = _row_of(assessment, position), required_score(setting.scenario.risk)
    own = assessment.terms.split
    split = Split(own.tensor[position : position + 1], own.pipeline[position : position + 1])
    modelled, seen = assessment.terms.total, assessment.total
    # A recorded peak moves the whole curve by what the model missed at the workload asked for.
    missed = [
        float(getattr(seen, end)[position] - getattr(modelled, end)[position])
        for end in ("value", "lo", "hi")
    ]

    def fits(demand: Demand) -> Booleans:
        terms = memory_terms(
            columns, demand, devices=setting.devices, accelerated=setting.accelerated, split=split
        ).total
        total = Term(terms.value + missed[0], terms.lo + missed[1], terms.hi + missed[2])
        return fit_score(total, capacity) >= needed

    output, many = float(workload.output_tokens), np.float64(workload.concurrency)

    def holds(context: Floats) -> Booleans:
        prompt = np.maximum(context - output, 1.0)
        return fits(Demand(prompt, context, np.broadcast_to(many, context.shape)))

    def takes(concurrency: Floats) -> Booleans:
        one = np.ones_like(concurrency)
        return fits(Demand(one * workload.input_tokens, one * workload.context_tokens, concurrency))

    longest = float(columns.max_context[0])
    top = _LONGEST if np.isinf(longest) else int(longest)
    return _most(holds, top), _most(takes, _MOST) if workload.context_tokens <= longest else 0


def _placement(assessment: Assessment, position: int, *, chosen: bool) -> Placement:
    capacity, total = assessment.setting.capacity, assessment.total
    split = assessment.terms.split
    ends = [float(getattr(total, end)[position]) for end in ("lo", "value", "hi")]
    chance = None
    if capacity is not None:
        own = Term(*(np.array([end]) for end in (ends[1], ends[0], ends[2])))
        chance = probability(float(fit_score(own, capacity)[0]))
    context, concurrency = _limits(assessment, position)
    recorded = assessment.peaks is not None and assessment.peaks.profile[position] >= 0
    basis = (
        tuple(Basis)[int(assessment.peaks.rank[position])]
        if recorded and assessment.peaks
        else Basis.MODELLED
    )
    return Placement(
        tensor_parallel=int(split.tensor[position]),
        pipeline_parallel=int(split.pipeline[position]),
        replicas=assessment.setting.devices // int(assessment.terms.degree[position]),
        peak=Figure(
            value=ends[1],
            unit=Unit.BYTES,
            basis=basis,
            interval=Interval(lo=min(ends[0], ends[1]), hi=max(ends[2], ends[1]), confidence=0.95),
        ),
        fit_probability=chance,
        max_context=context,
        max_concurrency=concurrency,
        chosen=chosen,
    )


def placements_of(assessment: Assessment, position: int) -> tuple[Placement, ...]:
    """Return every valid way to place a variant on the hardware, the one it was judged in first."""
    setting, split = assessment.setting, assessment.terms.split
    found = [_placement(assessment, position, chosen=True)]
    if not setting.splittable or setting.devices == 1:
        return tuple(found)
    taken = (int(split.tensor[position]), int(split.pipeline[position]))
    columns, row = _row_of(assessment, position), assessment.rows[position : position + 1]
    for other, valid in placements(columns, setting.devices, nodes=setting.nodes):
        if not valid[0] or (int(other.tensor[0]), int(other.pipeline[0])) == taken:
            continue
        found.append(
            _placement(assess_split(assessment.index, setting, row, columns, other), 0, chosen=False)
        )
    return tuple(found)


def serving_at(assessment: Assessment, position: int) -> Serving | None:
    """Return the replicas that the request rate needs of a position; None without a rate or a known speed."""
    setting, rate = assessment.setting, assessment.setting.scenario.rate
    if rate is None:
        return None
    service = assessment.speeds.figure("end_to_end", "p50", position)
    if service is None:
        return None
    slots = setting.scenario.workload.concurrency
    count = replicas_needed(rate, service.value, slots)
    servers = count * slots
    load = rate * service.value
    wait = mean_wait(rate, service.value, servers)
    interval = None
    if service.interval is not None:
        ends = [mean_wait(rate, end, servers) for end in (service.interval.lo, service.interval.hi)]
        if np.isfinite(ends).all():
            interval = Interval(
                lo=min(ends[0], wait), hi=max(ends[1], wait), confidence=service.interval.confidence
            )
    return Serving(
        requests_per_second=rate,
        replicas=count,
        available=setting.devices // int(assessment.terms.degree[position]),
        utilization=load / servers,
        headroom=HEADROOM,
        wait_probability=erlang_c(load, servers),
        mean_wait=Figure(
            value=wait,
            unit=Unit.SECONDS,
            basis=Basis.MODELLED,
            interval=interval,
            note="M/M/c queue (Erlang C) over the slots of all replicas"
            + ("" if interval else "; at the slow end of the service time the queue grows without end"),
        ),
    )
