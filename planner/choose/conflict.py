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
from planner.choose.patterns import MOST, Patterns, distinct, type_for, unpacked
from planner.choose.setting import Setting
from planner.estimate.columns import Booleans, Integers

_SEARCHED: Final = 3
_MANY: Final = 16


def _distinct(everything: Judged) -> Booleans:
    """Return the distinct sets of what a row fails, one column each: the model first, then the judgements."""
    setting, count = everything.setting, len(everything.judgements)
    if count >= MOST:
        outside = ~setting.selected[everything.rows]
        return np.unique(np.concatenate((outside[None, :], everything.failures)), axis=1)
    patterns, known = everything.patterns, everything.known
    if setting.meant.all():
        return unpacked(known << 1, count + 1)
    outside = ~setting.meant[setting.models[everything.rows]]
    both = np.concatenate((known << 1, known << 1 | 1))
    wide: Patterns = patterns.astype(type_for(count + 1)) << 1
    found, _ = distinct(wide | outside, both)
    return unpacked(found, count + 1)


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

    @property
    def patterns(self) -> Patterns:
        """By place, which judgements it fails."""
        ...

    @property
    def known(self) -> Integers:
        """The patterns there are, ascending."""
        ...


def conflict_of(everything: Judged) -> tuple[str, ...]:
    """Return the keys of a smallest conflicting set; `everything` has judged all rows of the index.

    Which model is meant counts as a constraint too: it is named when the others could be met by another model.
    """
    keys = (MODEL, *(judgement.key for judgement in everything.judgements))
    if not len(everything.rows):
        return (MODEL,)
    failures = _distinct(everything)
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
