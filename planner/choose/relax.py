"""Relaxations: for each constraint, the least loosening that makes the scenario feasible.

A bound is loosened to the smallest value of its grid that admits a variant which fails nothing else; a category is
dropped. Every relaxation is verified by planning the relaxed scenario before it is offered. Only when no single one
helps, the failing constraints of the nearest variants are loosened together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

import msgspec
import numpy as np

from planner.choose.acceptable import accepts_any
from planner.choose.asked_split import PARALLELISM, any_split, asked_parallelism
from planner.choose.explain import first_failures
from planner.choose.feasible import CONTEXT, MEMORY, MODEL, RATE, Assessment, Judgement
from planner.choose.grid import shrink_steps
from planner.choose.index import Index
from planner.choose.loosen import Change, loosen, relative_change, replaced, with_concurrency, with_input
from planner.choose.margins import ON_HARDWARE, ON_WORKLOAD, past
from planner.choose.narrow import best_selected
from planner.choose.setting import Setting, resolve
from planner.domain.outcome import Relaxation
from planner.domain.scenario import Scenario, SelectorKind
from planner.estimate.columns import Booleans, Integers

MAX_DEVICES: Final = 64
MAX_AT_ONCE: Final = 1024
"""Most requests at the same time that one replica is offered to take for a request rate."""
NEAREST_TRIED: Final = 5


def verified(index: Index, setting: Setting, change: Change) -> Relaxation | None:
    """Return `change` as a relaxation when planning its scenario really chooses a variant, else None."""
    row = best_selected(index, resolve(change.scenario, index, now=setting.now))
    if row is None:
        return None
    variant = index.records[row]
    return Relaxation(
        key=change.key,
        before=change.before,
        after=change.after,
        change=change.amount,
        scenario=change.scenario,
        variant_id=variant.id,
        name=variant.name,
    )


def _only(assessment: Assessment, failures: Booleans, keys: frozenset[str]) -> Integers:
    """Return the positions that fail nothing but constraints of `keys`."""
    others = np.array([judgement.key not in keys for judgement in assessment.judgements], dtype=np.bool_)
    return np.flatnonzero(~failures[others].any(axis=0))


def _by_workload(
    assessment: Assessment, rows: Integers, asked: int, make: Callable[[Scenario, int], Change]
) -> Change | None:
    """Return the least reduction on the grid of `asked` that admits one of the rows, None when even the last does not."""
    index, setting = assessment.index, assessment.setting
    steps = shrink_steps(asked)

    def works(change: Change) -> bool:
        return accepts_any(index, resolve(change.scenario, index, now=setting.now), rows)

    if not steps or not len(rows) or not works(make(setting.scenario, steps[-1])):
        return None
    # Speed limits and recordings need not be monotone in the workload, so every step is tried, the least first.
    return next(change for step in steps if works(change := make(setting.scenario, step)))


def _by_more_at_once(assessment: Assessment, rows: Integers) -> Change | None:
    """Return the least power of two of requests at the same time with which one of the rows serves the rate asked for.

    A replica that takes one request at a time is far from what it can do: a rate is served by taking more at once first.
    """
    scenario = assessment.setting.scenario
    if scenario.rate is None or not len(rows):
        return None
    asked = scenario.workload.concurrency
    first = math.ceil(math.log2(asked + 1))
    for power in range(first, MAX_AT_ONCE.bit_length()):
        change = with_concurrency(scenario, 2**power)
        if accepts_any(
            assessment.index, resolve(change.scenario, assessment.index, now=assessment.setting.now), rows
        ):
            return change
    return None


def _by_devices(assessment: Assessment, rows: Integers) -> Change | None:
    """Return the least power of two of devices that admits one of the rows."""
    scenario, hardware = assessment.setting.scenario, assessment.setting.scenario.hardware
    if hardware is None or not len(rows) or not assessment.setting.accelerated:
        return None
    first = math.ceil(math.log2(hardware.count + 1))
    counts = [2**power for power in range(first, MAX_DEVICES.bit_length())]

    def with_devices(count: int) -> Scenario:
        more = msgspec.structs.replace(hardware, count=count)
        return msgspec.structs.replace(scenario, hardware=more)

    def works(count: int) -> bool:
        setting = resolve(with_devices(count), assessment.index, now=assessment.setting.now)
        return accepts_any(assessment.index, setting, rows)

    # More devices leave every placement on fewer of them open, so the most of them are asked about first.
    if not counts or not works(counts[-1]):
        return None
    count = next(count for count in counts if count == counts[-1] or works(count))
    relaxed = with_devices(count)
    return Change(
        key="devices",
        before=hardware.describe(),
        after=relaxed.hardware.describe() if relaxed.hardware else "",
        amount=relative_change(count, hardware.count),
        scenario=relaxed,
    )


def _by_split(scenario: Scenario) -> Iterator[Change]:
    """Yield the parallelism asked for, left to the planner."""
    asked = asked_parallelism(scenario)
    if asked is not None:
        relaxed = any_split(scenario)
        yield Change(key=PARALLELISM, before=asked, after="any split", amount=None, scenario=relaxed)


def _by_model(index: Index, scenario: Scenario, accepted: Integers) -> Change | None:
    """Return the nearest size class, smaller ones first, that has an acceptable variant; `accepted` are their rows."""
    selector = scenario.model
    asked = selector.size_billions
    if asked is None:
        return None
    wider = (
        msgspec.structs.replace(selector, kind=SelectorKind.ANY, size_billions=None)
        if selector.kind is SelectorKind.SIZE
        else msgspec.structs.replace(selector, size_billions=None)
    )
    models = [index.model_list[int(number)] for number in np.unique(index.model[accepted])]
    sizes = {model.size_billions for model in models if wider.selects(model)}
    smaller = [size for size in sizes if size < asked]
    if not sizes:
        return None
    size = max(smaller) if smaller else min(sizes)
    new = msgspec.structs.replace(selector, size_billions=size)
    return Change(
        key=MODEL,
        before=selector.describe(),
        after=new.describe(),
        amount=relative_change(size, asked),
        scenario=msgspec.structs.replace(scenario, model=new),
    )


def _single_changes(assessment: Assessment, accepted: Integers) -> Iterator[Change]:
    failures = assessment.failures
    for judgement in assessment.judgements:
        at = _only(assessment, failures, frozenset({judgement.key}))
        if len(at) and judgement.key != CONTEXT:
            yield from loosen(assessment, judgement, at)
    setting = assessment.setting
    workload = setting.scenario.workload
    rows = assessment.rows[_only(assessment, failures, ON_WORKLOAD)]
    yield from _by_split(setting.scenario)
    found = (
        _by_more_at_once(assessment, rows),
        _by_workload(assessment, rows, workload.input_tokens, with_input),
        _by_workload(assessment, rows, workload.concurrency, with_concurrency),
        _by_devices(assessment, assessment.rows[_only(assessment, failures, ON_HARDWARE)]),
        _by_model(assessment.index, assessment.setting.scenario, accepted),
    )
    yield from (change for change in found if change is not None)


def _joint_changes(assessment: Assessment, position: int) -> Iterator[Change]:
    """Yield all constraints that one position fails, loosened together: each by its least change, then by its last."""
    at = np.array([position], dtype=np.int64)
    failed = assessment.failures[:, position]
    failing = [judgement for judgement, fails in zip(assessment.judgements, failed, strict=True) if fails]
    ways = [list(loosen(assessment, judgement, at)) for judgement in failing]
    if not all(ways):
        return
    scenario = assessment.setting.scenario
    for which in (0, -1):
        chosen = [changes[which] for changes in ways]
        merged = scenario
        for judgement, change in zip(failing, chosen, strict=True):
            merged = _merged(scenario, merged, judgement, change)
        yield Change(
            key="+".join(change.key for change in chosen),
            before="; ".join(change.before for change in chosen),
            after="; ".join(change.after for change in chosen),
            amount=None,
            scenario=merged,
        )


def _merged(original: Scenario, merged: Scenario, judgement: Judgement, change: Change) -> Scenario:
    if judgement.constraint is None:
        return msgspec.structs.replace(
            merged,
            hardware=change.scenario.hardware if judgement.key == MEMORY else merged.hardware,
            workload=change.scenario.workload if judgement.key == CONTEXT else merged.workload,
            rate=change.scenario.rate if judgement.key == RATE else merged.rate,
        )
    place = next(i for i, c in enumerate(original.constraints) if c is judgement.constraint)
    dropped = len(change.scenario.constraints) < len(original.constraints)
    return replaced(merged, judgement.constraint, None if dropped else change.scenario.constraints[place])


def nearest(assessment: Assessment) -> Integers:
    """Return positions by how many constraints they fail, then by how far they came and how far past the bounds."""
    count = assessment.failures.sum(axis=0)
    return np.lexsort((-first_failures(assessment), past(assessment), count))


def relaxations(assessment: Assessment, accepted: Integers) -> tuple[Relaxation, ...]:
    """Return the smallest verified relaxation of each constraint that has one, least change first.

    `accepted` are the rows of any model that fail nothing else. Without a single relaxation, the smallest joint one that
    is found.
    """
    index, setting = assessment.index, assessment.setting
    single: dict[str, Relaxation] = {}
    for change in _single_changes(assessment, accepted):
        # Of several ways to loosen one constraint the first that works is the least.
        relaxation = None if change.key in single else verified(index, setting, change)
        if relaxation is not None:
            single[change.key] = relaxation
    if single or not len(assessment.rows):
        return tuple(sorted(single.values(), key=_by_size))
    for position in nearest(assessment)[:NEAREST_TRIED].tolist():
        for change in _joint_changes(assessment, position):
            joint = verified(index, setting, change)
            if joint is not None:
                return (joint,)
    return ()


def _by_size(relaxation: Relaxation) -> tuple[bool, float, str]:
    return relaxation.change is None, abs(relaxation.change or 0.0), relaxation.key
