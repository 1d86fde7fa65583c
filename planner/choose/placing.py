"""Placing: each variant in its best split over the devices asked for, out of all valid ones.

A split that satisfies every constraint comes before one that does not, surely before likely; then what the objective
minimizes decides, and of equal splits the largest tensor-parallel degree with the fewest stages. Only the rows that
another split could help are judged again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from planner.choose.asked_split import ways
from planner.choose.losses import CODE
from planner.choose.setting import Setting
from planner.domain.outcome import Verdict
from planner.domain.scenario import Objective
from planner.estimate.columns import Booleans, Columns, Floats, Integers
from planner.estimate.placement import Split

if TYPE_CHECKING:
    from planner.choose.feasible import Assessment

_PLACED_OBJECTIVES: Final = frozenset({Objective.FASTEST, Objective.HIGHEST_THROUGHPUT, Objective.CHEAPEST})
"""Objectives whose value depends on how a variant is placed."""


def in_best_placements(
    setting: Setting, columns: Columns, assess: Callable[[Integers | None, Split], Assessment]
) -> Assessment:
    """Return the assessment of all rows of `columns`, each in its best split.

    `assess` judges the positions given, or all of them, with the split given for each.
    """
    if not setting.splittable or setting.devices == 1 or not len(columns):
        return assess(None, Split.whole(len(columns)))
    options = ways(setting, columns)
    first, _ = next(options)
    assessment = assess(None, first)
    at = np.flatnonzero(_depends_on_placement(assessment))
    if not len(at):
        return assessment
    best = _PlacementKeys.of(assessment, at)
    by_objective = setting.scenario.objective in _PLACED_OBJECTIVES
    tensor, pipeline = first.tensor.copy(), first.pipeline.copy()
    for split, valid in options:
        # What satisfies everything surely is settled, unless the objective itself depends on the placement.
        chosen = valid[at] if by_objective else valid[at] & (best.rejected | best.uncertain)
        tried = at[chosen]
        if not len(tried):
            continue
        own = Split(split.tensor[tried], split.pipeline[tried])
        keys = _PlacementKeys.of(assess(tried, own), np.arange(len(tried)))
        better = best.put_better(keys, np.flatnonzero(chosen))
        tensor[tried[better]], pipeline[tried[better]] = own.tensor[better], own.pipeline[better]
    if (tensor == first.tensor).all() and (pipeline == first.pipeline).all():
        return assessment
    return assess(None, Split(tensor, pipeline))


def _depends_on_placement(assessment: Assessment) -> Booleans:
    """Return the positions that another placement could make acceptable, surer, or better for the objective."""
    placed = np.array([judgement.is_placed for judgement in assessment.judgements], dtype=np.bool_)
    fixed = assessment.failures[~placed]
    open_: Booleans = np.logical_not(fixed.any(axis=0))
    if assessment.setting.scenario.objective in _PLACED_OBJECTIVES:
        return open_
    return open_ & ~(assessment.accepted & ~_uncertain(assessment))


def _uncertain(assessment: Assessment) -> Booleans:
    """Return the positions whose speed or cost is only likely to satisfy its limit."""
    found = np.zeros(len(assessment.rows), dtype=np.bool_)
    for judgement in assessment.judgements:
        if judgement.is_of_speed:
            found |= judgement.verdict == CODE[Verdict.LIKELY]
    return found


@dataclass(slots=True)
class _PlacementKeys:
    """What placements of one row are compared by, smaller first, in this order."""

    rejected: Booleans
    uncertain: Booleans
    value: Floats
    """What the objective minimizes; of a rejected placement, the memory of its fullest device."""
    second: Floats

    @classmethod
    def of(cls, assessment: Assessment, at: Integers) -> _PlacementKeys:
        """Return the keys of positions `at`."""
        rejected = ~assessment.accepted[at]
        value, second = (part[at] for part in _placed_objective(assessment))
        peak = assessment.total.value[at]
        return cls(
            rejected=rejected,
            uncertain=_uncertain(assessment)[at] & ~rejected,
            value=np.where(rejected, peak, np.nan_to_num(value, nan=np.inf)),
            second=np.where(rejected, 0.0, second),
        )

    def put_better(self, other: _PlacementKeys, where: Integers) -> Booleans:
        """Take over the keys of `other`, given for the positions `where`, that are better; return which they are."""
        better = np.zeros(len(where), dtype=np.bool_)
        equal = np.ones(len(where), dtype=np.bool_)
        for name in ("rejected", "uncertain", "value", "second"):
            mine, theirs = getattr(self, name)[where], getattr(other, name)
            better |= equal & (theirs < mine)
            equal &= theirs == mine
        for name in ("rejected", "uncertain", "value", "second"):
            getattr(self, name)[where[better]] = getattr(other, name)[better]
        return better


def _placed_objective(assessment: Assessment) -> tuple[Floats, Floats]:
    """Return what the objective minimizes over the placements of one variant, and what decides between equals."""
    none = np.zeros(len(assessment.rows))
    match assessment.setting.scenario.objective:
        case Objective.FASTEST:
            return assessment.speeds.of("tpot").value, assessment.step_bytes
        case Objective.HIGHEST_THROUGHPUT:
            return assessment.speeds.of("per_token").value, assessment.step_bytes
        case Objective.CHEAPEST:
            memory = assessment.total.value * assessment.terms.degree
            price = assessment.setting.scenario.price
            if price is None:
                return memory, none
            return assessment.speeds.of("per_token").value * assessment.terms.degree, memory
        case _:
            return none, none
