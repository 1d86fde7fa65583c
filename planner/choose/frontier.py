"""Frontier: the accepted candidates that no other one beats on memory, loss, TPOT and cost at once."""

from __future__ import annotations

from typing import Final

import numpy as np

from planner.choose.feasible import Assessment
from planner.choose.rank import counted_loss, token_costs
from planner.domain.outcome import FrontierPoint
from planner.estimate.columns import Floats, Integers

MAX_POINTS: Final = 200


def pareto(points: Floats) -> Integers:
    """Return the positions of the rows of `points` that no other row dominates, in lexicographic order of the rows.

    A row dominates another when it is nowhere larger and somewhere smaller. Of equal rows the first is kept.
    """
    order = np.lexsort(tuple(points.T[::-1]))
    kept: list[int] = []
    rest = order
    while len(rest) and len(kept) < MAX_POINTS:
        # In lexicographic order nothing later dominates the first of the rest.
        first, rest = rest[0], rest[1:]
        kept.append(int(first))
        rest = rest[(points[rest] < points[first]).any(axis=1)]
    return np.array(kept, dtype=np.int64)


def frontier(assessment: Assessment, chosen: int) -> tuple[FrontierPoint, ...]:
    """Return the frontier of the accepted positions and the chosen one, smallest memory first. Unknown counts as worst."""
    accepted = np.flatnonzero(assessment.accepted)
    memory = assessment.total.value * assessment.terms.degree
    loss, tpot = assessment.loss, assessment.speeds.of("tpot").value
    costs = token_costs(assessment)
    points = np.stack(
        [memory, *(np.nan_to_num(part, nan=np.inf) for part in (counted_loss(assessment), tpot, costs))],
        axis=1,
    )
    # The chosen one goes first among equals.
    order = np.concatenate(([chosen], accepted[accepted != chosen]))
    best = order[pareto(points[order])]
    if chosen not in best:
        best = np.concatenate((best, [chosen]))
    best = best[np.argsort(memory[best], kind="stable")]
    return tuple(
        FrontierPoint(
            variant_id=assessment.index.records[int(assessment.rows[position])].id,
            name=assessment.index.records[int(assessment.rows[position])].name,
            memory_bytes=float(memory[position]),
            loss=None if np.isnan(loss[position]) else float(loss[position]),
            tpot_seconds=None if np.isnan(tpot[position]) else float(tpot[position]),
            cost=None if np.isnan(costs[position]) else float(costs[position]),
            chosen=position == chosen,
        )
        for position in (int(position) for position in best)
    )
