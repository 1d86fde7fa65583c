"""Conflicts: a smallest set of constraints that no variant satisfies together.

Each variant fails a set of constraints; constraints conflict when every variant fails at least one of them. Sets of up
to three are searched by size; a larger one is found by deleting constraints for as long as the rest still conflicts,
which leaves no constraint that could be spared.
"""

from __future__ import annotations

from itertools import combinations
from typing import Final, Protocol

import numpy as np

from planner.choose.feasible import MODEL, Judgement
from planner.choose.setting import Setting
from planner.estimate.columns import Booleans, Integers

_SEARCHED: Final = 3
_MANY: Final = 16
_PACKED: Final = 60
_COUNTED: Final = 16


def _distinct(failures: Booleans) -> Booleans:
    """Return the distinct columns of `failures`."""
    if len(failures) > _PACKED:
        return np.unique(failures, axis=1)
    codes = np.zeros(failures.shape[1], dtype=np.int64)
    for number, failed in enumerate(failures):
        codes += failed * np.int64(1 << number)
    packed: Integers = (
        np.unique(codes) if len(failures) > _COUNTED else np.flatnonzero(np.bincount(codes)).astype(np.int64)
    )
    distinct: Booleans = (packed[None, :] >> np.arange(len(failures))[:, None] & 1).astype(np.bool_)
    return distinct


def _conflicts(failures: Booleans, members: tuple[int, ...]) -> bool:
    return bool(failures[list(members)].any(axis=0).all())


class Judged(Protocol):
    """All rows of an index, and which of them fails what."""

    @property
    def setting(self) -> Setting:
        """What the question means on the index."""
        ...

    @property
    def rows(self) -> Integers:
        """Row of the index at each place."""
        ...

    @property
    def judgements(self) -> tuple[Judgement, ...]:
        """The constraints."""
        ...

    @property
    def failures(self) -> Booleans:
        """Per judgement and place, whether it fails."""
        ...


def conflict_of(everything: Judged) -> tuple[str, ...]:
    """Return the keys of a smallest conflicting set; `everything` has judged all rows of the index.

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
