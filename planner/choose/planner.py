"""The planner: from a question to its answer, step by step."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec
import numpy as np

from planner.choose.candidate import candidate_at
from planner.choose.carry import placements_of, serving_at
from planner.choose.conflict import conflict_of
from planner.choose.explain import (
    OBJECTIVE,
    beaten,
    counts,
    elimination_at,
    eliminations,
    first_failures,
    outside_selection,
    reasons,
)
from planner.choose.feasible import Assessment, assess_rows, assess_selected
from planner.choose.frontier import frontier
from planner.choose.index import Index
from planner.choose.narrow import judged, shown
from planner.choose.rank import rank
from planner.choose.relax import nearest, relaxations
from planner.choose.setting import resolve
from planner.choose.survey import Survey
from planner.choose.warn import warnings
from planner.domain.outcome import Candidate, Elimination, Infeasible, Outcome, Plan, Recommended
from planner.domain.scenario import Scenario
from planner.estimate.columns import Integers

MAX_ALTERNATIVES: Final = 10
MAX_NEAREST: Final = 5


def plan(scenario: Scenario, index: Index, *, now: datetime | None = None) -> Outcome:
    """Return the answer to `scenario` from `index`; the same arguments give the same answer.

    `now` decides which evidence is stale; None takes none for stale. Raises NotFound for an unknown device or model.
    """
    setting = resolve(scenario, index, now=now)
    assessment, survey = shown(index, setting)
    order = rank(assessment)
    return _recommended(assessment, order) if len(order) else _infeasible(assessment, survey)


def make_plan(
    scenario: Scenario, index: Index, *, plan_id: str, now: datetime, version: str, query: str | None
) -> Plan:
    """Return the answer as a plan to store: `scenario` at the index's revision and `now` gives it again."""
    return Plan(
        id=plan_id,
        scenario=scenario,
        understood=scenario.effective(),
        result=plan(scenario, index, now=now),
        revision=index.revision,
        as_of=now,
        planner_version=version,
        query=query,
    )


def why(
    scenario: Scenario, index: Index, variant_id: str, *, now: datetime | None = None
) -> tuple[Candidate, Elimination | None]:
    """Return any variant with all its checks in `scenario`, and why it is not the answer; None when it is.

    Raises NotFound for an unknown variant, device or model.
    """
    row = index.row_of(variant_id)
    setting = resolve(scenario, index, now=now)
    if not setting.means(row):
        alone = assess_rows(index, setting, np.array([row], dtype=np.int64))
        return candidate_at(alone, 0), outside_selection(alone, 0)
    assessment = assess_selected(index, setting)
    position = int(np.searchsorted(assessment.rows, row))
    candidate = candidate_at(assessment, position)
    failed = int(first_failures(assessment)[position])
    if failed >= 0:
        return candidate, elimination_at(assessment, assessment.judgements[failed], position)
    chosen = int(rank(assessment, at_least=1)[0])
    return candidate, None if chosen == position else beaten(assessment, position, chosen)


def _recommended(assessment: Assessment, order: Integers) -> Recommended:
    best = int(order[0])
    chosen = msgspec.structs.replace(candidate_at(assessment, best), serving=serving_at(assessment, best))
    placed = placements_of(assessment, best)
    listed = eliminations(assessment, order)
    runner_up = listed[0] if listed and listed[0].key == OBJECTIVE else None
    return Recommended(
        chosen=chosen,
        reasons=reasons(assessment, chosen, best, placement=placed[0], runner_up=runner_up),
        alternatives=tuple(
            candidate_at(assessment, position) for position in order[1 : MAX_ALTERNATIVES + 1].tolist()
        ),
        frontier=frontier(assessment, best),
        eliminations=listed,
        eliminated=counts(assessment, chosen=True),
        warnings=warnings(assessment, chosen, best),
        placements=placed,
    )


def _infeasible(assessment: Assessment, survey: Survey | None) -> Infeasible:
    everything = judged(assessment.index, assessment.setting, survey)
    return Infeasible(
        conflict=conflict_of(everything),
        relaxations=relaxations(assessment, everything.rows[everything.accepted]),
        nearest=tuple(candidate_at(assessment, at) for at in nearest(assessment)[:MAX_NEAREST].tolist()),
        eliminations=eliminations(assessment, np.zeros(0, dtype=np.int64)),
        eliminated=counts(assessment, chosen=False),
        warnings=warnings(assessment, None, None),
    )
