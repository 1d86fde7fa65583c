"""Conflicts: a smallest set of constraints that no variant satisfies together.

Each variant fails a set of constraints; constraints conflict when every variant fails at least one of them. Sets of up
to three are searched by size; a larger one is found by deleting constraints for as long as the rest still conflicts,
which leaves no constraint that could be spared.
"""

from __future__ import annotations

from itertools import combinations
from typing import Final

import numpy as np

from planner.choose.feasible import MODEL, Assessment
from planner.estimate.columns import Booleans

_SEARCHED: Final = 3
_MANY: Final = 16
_PACKED: Final = 60


def _distinct(failures: Booleans) -> Booleans:
    """Return the distinct columns of `failures`."""
    if len(failures) > _PACKED:
        return np.unique(failures, axis=1)
    packed = np.unique(2 ** np.arange(len(failures), dtype=np.int64) @ failures)
    return (packed[None, :] >> np.arange(len(failures))[:, None] & 1).astype(np.bool_)


def _conflicts(failures: Booleans, members: tuple[int, ...]) -> bool:
    return bool(failures[list(members)].any(axis=0).all())


def conflict_of(everything: Assessment) -> tuple[str, ...]:
    """Return the keys of a smallest conflicting set; `everything` is the assessment of all rows of the index.

    Which model is meant counts as a constraint too: it is named when the others could be met by another model.
    """
    keys = (MODEL, *(judgement.key for judgement in everything.judgements))
    if not len(everything.rows):
        return (MODEL,)
    outside = ~everything.setting.selected[everything.rows]
    failures = _distinct(np.concatenate((outside[None, :], everything.failures)))
    numbers = range(len(keys))
    if len(keys) <= _MANY:
        for size in range(1, _SEARCHED + 1):
            for members in combinations(numbers, size):
                if _conflicts(failures, members):
                    return tuple(keys[number] for number in members)
    kept = tuple(numbers)
    for number in numbers:
        fewer = tuple(other for other in kept if other != number)
        if fewer and _conflicts(failures, fewer):
            kept = fewer
    return tuple(keys[number] for number in kept)
