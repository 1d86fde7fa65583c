"""Patterns: which constraints a row fails, as the bits of one number, the first constraint in the lowest bit.

Of many thousand rows only a few patterns differ. What is asked of a set of constraints is therefore asked of the patterns
there are, and then looked up for every row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from planner.estimate.columns import Booleans, Integers

MOST: Final = 60
"""Constraints up to which patterns are numbers."""
_FEW: Final = 24
"""Possible patterns up to which each is looked for, which is quicker than counting all."""

Patterns = npt.NDArray[np.integer[Any]]


def type_for(constraints: int) -> np.dtype[np.integer[Any]]:
    """Return the smallest type that holds patterns of so many constraints."""
    return np.dtype(np.uint8 if constraints <= 8 else np.uint16 if constraints <= 16 else np.int64)


def packed(failures: Booleans) -> Patterns:
    """Return the pattern of each column of `failures`, which has a row per constraint."""
    if len(failures) <= 8:
        eight: Patterns = np.packbits(failures, axis=0, bitorder="little")[0]
        return eight
    wide = np.zeros(failures.shape[1], dtype=np.int64)
    for number, failed in enumerate(failures):
        wide |= failed * np.int64(1 << number)
    return wide.astype(type_for(len(failures)))


def distinct(patterns: Patterns, possible: Integers | None = None) -> tuple[Integers, Integers]:
    """Return the patterns there are, ascending, and how many rows have each; none is not `possible`, where that is known."""
    if possible is not None and len(possible) <= _FEW:
        found = np.unique(possible)
        counts = np.array([np.count_nonzero(patterns == patterns.dtype.type(each)) for each in found])
        return found[counts > 0], counts[counts > 0]
    if patterns.dtype.itemsize > 2:
        found, counts = np.unique(patterns, return_counts=True)
        return found.astype(np.int64), counts.astype(np.int64)
    counts = np.bincount(patterns)
    found = np.flatnonzero(counts)
    return found.astype(np.int64), counts[found].astype(np.int64)


def is_one_of(patterns: Patterns, wanted: Integers) -> Booleans:
    """Return whether each pattern is one of those wanted."""
    found: Booleans
    if len(wanted) == 1:
        found = patterns == patterns.dtype.type(wanted[0])
    elif patterns.dtype.itemsize > 2:
        found = np.isin(patterns, wanted)
    else:
        table = np.zeros(np.iinfo(patterns.dtype).max + 1, dtype=np.bool_)
        table[wanted] = True
        found = table[patterns]
    return found


def first_failed(patterns: Integers) -> Integers:
    """Return the number of the first constraint that each pattern fails, -1 where it fails none."""
    lowest = patterns & -patterns
    found: Integers = np.where(patterns > 0, np.log2(np.maximum(lowest, 1)), -1).astype(np.int64)
    return found


def bits(numbers: Iterable[int]) -> int:
    """Return the pattern that fails the constraints of these numbers."""
    return sum(1 << number for number in numbers)


def unpacked(patterns: Patterns | Integers, constraints: int) -> Booleans:
    """Return by constraint and row whether it fails: the inverse of `packed`."""
    return np.stack(
        [(patterns >> patterns.dtype.type(number) & 1).astype(np.bool_) for number in range(constraints)]
    )
