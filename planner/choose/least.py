"""Least: the first few of many places by some keys, working out each key for as few of them as decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from planner.estimate.columns import Booleans, Floats, Integers

if TYPE_CHECKING:
    from planner.choose.survey import Survey

_TRIED: Final = 1024
"""Places tried at once."""
_SAMPLED: Final = 4096
"""Values up to which no sample is drawn."""
_SAMPLE: Final = 512

Column = npt.NDArray[np.float64] | npt.NDArray[np.int64] | npt.NDArray[np.int32] | npt.NDArray[np.bool_]
Values = Callable[[Integers], Column]
Keys = Iterable[Values]


def smallest(values: Column, count: int) -> float:
    """Return the `count`-th smallest value.

    A sample guesses it: what lies below the guess, and how much equals it, mostly settles the rest.
    """
    if len(values) > _SAMPLED:
        sample = values[:: len(values) // _SAMPLE]
        at = min(count * len(sample) // len(values) + 2, len(sample) - 1)
        guess = np.partition(sample, at)[at]
        below = values[values < guess]
        if len(below) >= count:
            values = below
        elif len(below) + np.count_nonzero(values == guess) >= count:
            return float(guess)
    return float(np.partition(values, count - 1)[count - 1])


def least(places: Integers, count: int, keys: Keys) -> Integers:
    """Return the `count` places that come first by some keys, first key first, and those tied with the last of them.

    A key is worked out only for the places that the keys before it leave undecided.
    """
    sure: list[Integers] = []
    for key in keys:
        if len(places) <= count:
            break
        values = key(places)
        pivot = smallest(values, count)
        sure.append(places[values < pivot])
        count -= len(sure[-1])
        places = places[values == pivot]
    return np.concatenate((*sure, places))


def _bound(values: Floats, sizes: Integers, count: int) -> float:
    """Return the `count`-th smallest of values that each stand `sizes` times, infinity where there are fewer."""
    order = np.argsort(values, kind="stable")
    at = int(np.searchsorted(sizes[order].cumsum(), count))
    return float(values[order[at]]) if at < len(order) else np.inf


def least_by_weight(survey: Survey, places: Integers, count: int, value: Values, rest: Keys) -> Integers:
    """Return the same as `least` where the first key, `value`, never falls with weight within a kind; `rest` are the others.

    The lightest and the heaviest rows of each kind are tried first, and what lies between them for as long as it may still
    be among the least. Between two rows of the same value there is nothing to try.
    """
    seen = places[:0]
    if len(survey.recorded):
        known = survey.is_recorded[places]
        seen, places = places[known], places[~known]
    kind = survey.kind if len(places) == len(survey) else survey.kind[places]
    low = np.flatnonzero(np.concatenate(([True], kind[1:] != kind[:-1])))[: len(places)]
    last = np.append(low[1:], len(places))[: len(low)] - 1

    def tried(at: Integers) -> Floats:
        return np.asarray(value(places[at]), dtype=np.float64)

    ends = tried(np.concatenate((low, last))) if len(low) else np.zeros(0)
    first, top = ends[: len(low)], ends[len(low) :]
    apart = last > low
    # Runs of places of one value: where each begins, how many they are, and the value.
    begin, size = [low, last[apart]], [np.ones_like(low), np.ones_like(last[apart])]
    values = [first, top[apart]]
    own = np.asarray(value(seen), dtype=np.float64) if len(seen) else np.zeros(0)
    below, low, high = first, low + 1, last
    while True:
        flat = (below == top) & (high > low)
        begin.append(low[flat])
        size.append((high - low)[flat])
        values.append(below[flat])
        bound = _bound(
            np.concatenate((own, *values)), np.concatenate((np.ones(len(own), dtype=np.int64), *size)), count
        )
        open_ = ~flat & (high > low) & (below <= bound)
        low, high, below, top = low[open_], high[open_], below[open_], top[open_]
        if not len(low):
            break
        upto = np.minimum(low + max(_TRIED // len(low), 1), high)
        parts = upto - low
        offsets = parts.cumsum()
        between: Integers = np.arange(int(offsets[-1]), dtype=np.int64)
        between += np.repeat(low - offsets + parts, parts)
        found = tried(between)
        begin.append(between)
        size.append(np.ones_like(between))
        values.append(found)
        low, below = upto, found[offsets - 1]
    runs, sizes, held = np.concatenate(begin), np.concatenate(size), np.concatenate(values)

    def those(which: Booleans) -> Integers:
        many = sizes[which]
        begins: Integers = runs[which] - many.cumsum() + many
        found: Integers = places[np.repeat(begins, many) + np.arange(many.sum())]
        return found

    sure = np.concatenate((seen[own < bound], those(held < bound)))
    tied = np.concatenate((seen[own == bound], those(held == bound)))
    return np.concatenate((sure, least(tied, count - len(sure), rest)))
