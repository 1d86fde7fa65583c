"""Ranking: the order of the candidates that satisfy every constraint, exact and without chance.

What is deprecated comes last. Certified comes before likely; then the objective; then loss, memory, and whether the files
are held; then the id. For the most accurate, models of more parameters win ties of loss, and losses that are unknown come last, more bits first.
A negative loss counts as none: a build cannot be a truer copy of its base than the base, so what looks like a gain is noise.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from planner.choose.feasible import Assessment
from planner.domain.scenario import Objective
from planner.estimate.calibration import Metric
from planner.estimate.columns import Floats, Integers
from planner.estimate.cost import per_second_of_token

SHORTLIST: Final = 256
"""Positions ordered at least; far more than is ever shown."""

_BEHIND: Final = 16
"""Above every tier."""

Keys = list[tuple[str, Floats]]
"""What decides, first key first: its name, and its value by position, smaller being better."""


def counted_loss(assessment: Assessment) -> Floats:
    """Return the loss candidates are compared by, by position: never below zero, NaN when unknown."""
    return np.maximum(assessment.loss, 0.0)


def token_costs(assessment: Assessment) -> Floats:
    """Return cost per million generated tokens by position, NaN where price or throughput is unknown."""
    price = assessment.setting.scenario.price
    if price is None:
        return np.full(len(assessment.rows), np.nan)
    per_hour = price.per_hour * assessment.terms.degree
    return assessment.speeds.of("per_token").value * per_hour * per_second_of_token(1.0)


def objective_values(assessment: Assessment) -> Floats:
    """Return what the objective minimizes, by position; unknown is infinite.

    Speed without a device, or without any known TPOT, is ordered by the weight bytes a decode step reads.
    """
    objective = assessment.setting.scenario.objective
    match objective:
        case Objective.MOST_ACCURATE:
            values = counted_loss(assessment)
        case Objective.SMALLEST:
            values = assessment.columns.weight_bytes
        case Objective.CHEAPEST:
            priced = assessment.setting.scenario.price is not None and assessment.is_known("per_token")
            values = token_costs(assessment) if priced else assessment.total.value * assessment.terms.degree
        case Objective.FASTEST | Objective.HIGHEST_THROUGHPUT:
            metric: Metric = "tpot" if objective is Objective.FASTEST else "per_token"
            known = assessment.is_known(metric)
            values = assessment.speeds.of(metric).value if known else assessment.step_bytes
    return np.where(np.isnan(values), np.inf, values)


def ranking_keys(
    assessment: Assessment,
    positions: Integers,
    *,
    tier: Integers,
    values: Floats,
    loss: Floats,
    total: Floats,
) -> Keys:
    """Return what decides between `positions`, first key first; the figures are given by position, or broadcast to it.

    They are arguments so that a figure which is not known yet can be tried out.
    """
    index, rows = assessment.index, assessment.rows[positions]
    unknown = np.isnan(loss)
    behind = index.standing.order(rows)
    keys: Keys = [] if behind is None else [("standing", behind)]
    keys += [("certainty", tier.astype(np.float64)), ("objective", values)]
    if assessment.setting.scenario.objective is Objective.MOST_ACCURATE:
        keys += [
            ("parameters", -index.parameters[rows]),
            ("bits", np.where(unknown, -index.bits[rows], 0.0)),
        ]
    else:
        keys += [("loss", np.where(unknown, np.inf, loss))]
    held, place = index.fetchable[rows], rows.astype(np.float64)
    return [*keys, ("memory", total), ("files", (~held).astype(np.float64)), ("id", place)]


def rank(assessment: Assessment, *, at_least: int = SHORTLIST) -> Integers:
    """Return accepted positions, best first; only the first `at_least` and those tied with them are returned."""
    positions = np.flatnonzero(assessment.accepted)
    if not len(positions):
        return positions
    tier, values = assessment.tier[positions], objective_values(assessment)[positions]
    if len(positions) > at_least:
        behind = assessment.index.standing.order(assessment.rows[positions])
        grade = tier if behind is None else tier + _BEHIND * behind
        order = np.lexsort((values, grade))
        last = order[at_least - 1]
        keep = (grade < grade[last]) | ((grade == grade[last]) & (values <= values[last]))
        positions, tier, values = positions[keep], tier[keep], values[keep]
    keys = ranking_keys(
        assessment,
        positions,
        tier=tier,
        values=values,
        loss=assessment.loss[positions],
        total=assessment.total.value[positions],
    )
    return positions[np.lexsort(tuple(key for _, key in reversed(keys)))]
