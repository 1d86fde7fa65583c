"""Margins: how far rows are past the bound of a constraint, as a share of it."""

from __future__ import annotations

from typing import Final

import numpy as np

from planner.choose.feasible import CONTEXT, MEMORY, RATE, Assessment, Judgement, judge_by_row
from planner.choose.index import Index
from planner.estimate.columns import Floats, Integers

PAST: Final = 10.0
"""Share from which a miss counts as far as any other."""
ON_HARDWARE: Final = frozenset(
    {MEMORY, "ttft", "tpot", "itl", "e2e", "throughput", "cost", "cost-per-hour", RATE}
)
"""Constraints that other hardware may satisfy."""
ON_WORKLOAD: Final = ON_HARDWARE | {CONTEXT}
"""Constraints that a smaller workload may satisfy."""


def margins(judgement: Judgement) -> Floats:
    """Return the margins of a judgement; what has none, or an unknown one, is infinitely far."""
    if judgement.margin is None:
        return np.full(len(judgement.verdict), np.inf)
    return np.nan_to_num(judgement.margin, nan=np.inf)


def by_row(index: Index, judgement: Judgement, rows: Integers) -> Floats:
    """Return the margins of rows for a judgement on state, loss or file size."""
    return margins(judge_by_row(index, judgement, rows))


def counted(judgement: Judgement) -> Floats:
    """Return the margins of a judgement as they count beside others; what has none counts as one."""
    margin = judgement.margin
    if margin is None:
        return np.ones(len(judgement.verdict))
    return np.clip(np.nan_to_num(margin, nan=PAST, posinf=PAST, neginf=0.0), 0.0, PAST)


def past(assessment: Assessment) -> Floats:
    """Return by position how far past the bounds of all constraints it fails, each counted at most PAST."""
    total = np.zeros(len(assessment.rows))
    for judgement, failed in zip(assessment.judgements, assessment.failures, strict=True):
        total += np.where(failed, counted(judgement), 0.0)
    return total
