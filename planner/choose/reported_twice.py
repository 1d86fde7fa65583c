"""Reported twice: how far apart the losses lie that different sources give for the same scheme of the same model.

A published loss has no interval. How far it can be from what a measurement here would find is read off the losses that
the index holds twice; where it holds too few, nothing is assumed.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from planner.choose.index import Index
from planner.domain.loss import LossKind

MIN_PAIRS: Final = 8
LARGEST: Final = 0.1
"""Relative losses above this are broken builds, which differ for other reasons. Ten points of absolute loss likewise."""
_MEDIAN_DIFFERENCE: Final = 0.9539
"""Median of the absolute difference of two independent normal values with unit deviation: sqrt(2) x 0.6745."""


def reported_spread(index: Index, kind: LossKind, task: str | None) -> tuple[float, int] | None:
    """Return the standard deviation of one report, and from how many pairs it is; None from fewer than MIN_PAIRS."""
    value = index.losses(kind, task).value
    top = LARGEST if kind is LossKind.RELATIVE else 100 * LARGEST
    rows = np.flatnonzero(~np.isnan(value) & (np.abs(np.nan_to_num(value)) <= top) & ~index.baseline)
    order = rows[np.lexsort((rows, index.scheme[rows], index.model[rows]))]
    first, second = order[:-1], order[1:]
    same = (index.model[first] == index.model[second]) & (index.scheme[first] == index.scheme[second])
    apart = np.abs(value[first[same]] - value[second[same]])
    if len(apart) < MIN_PAIRS:
        return None
    return float(np.median(apart)) / _MEDIAN_DIFFERENCE, len(apart)
