"""Survey: which rows fail which constraint, for every row asked about, by judging only a few of them.

Of each kind (`planner.choose.layout`) a constraint on memory or time admits a first part, the lighter rows; where it ends
is found by bisection over the rows themselves, so no formula is repeated here. State, loss and file size are read off
columns, and what follows from the kind alone is judged once per kind. Rows of which something was recorded on the device
are judged one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np

from planner.choose.feasible import Assessment, Judgement, assess_rows, judge_placed
from planner.choose.index import Index
from planner.choose.losses import Bounds, Codes32
from planner.choose.patterns import (
    Patterns,
    bits,
    distinct,
    first_failed,
    is_one_of,
    packed,
    type_for,
    unpacked,
)
from planner.choose.setting import Setting
from planner.choose.standing import STATE
from planner.domain.constraint import Constraint, DiskLimit, LossLimit
from planner.estimate.columns import Booleans, Floats, Integers

_PROBES: Final = 1024
"""Rows judged at once while the end of an accepted part is searched."""


def is_by_row(judgement: Judgement) -> bool:
    """Return whether the verdict is read off a column of its own, by row."""
    return judgement.key == STATE or isinstance(judgement.constraint, (DiskLimit, LossLimit))


class Survey:
    """The rows of some kinds, in the order of the layout, and whether each fails each constraint of a setting."""

    def __init__(self, index: Index, setting: Setting, kinds: Integers) -> None:
        """`kinds` ascend and are not empty."""
        self.index: Final = index
        self.setting: Final = setting
        self.single: Final = setting.devices == 1 or not setting.splittable
        """Whether every row has one placement only."""
        self.laid: slice | Integers
        """Where in the layout each place is."""
        self.sizes: Integers
        """Rows of each kind."""
        self.laid, self.sizes = self._laid_out(kinds)
        self.rows: Final[Integers] = index.layout.row[self.laid]
        """Row of the index at each place."""
        self.offsets: Final = np.concatenate(([0], self.sizes.cumsum()))
        """Place in `rows` at which each kind begins, and the end."""
        first, last = self.offsets[:-1], self.offsets[1:] - 1
        self.ends: Final = self.judge(np.concatenate((first, last)), recorded=False)
        """The lightest row of each kind, then the heaviest of each, as if nothing had been recorded of them."""
        self.judgements: Final = self.ends.judgements
        self.recorded: Final = self._recorded()
        """Places of the rows of which something was recorded on the device."""
        self.seen: Final = self.judge(self.recorded, recorded=True) if len(self.recorded) else None
        self.patterns: Patterns
        """By place, which judgements the row fails (`planner.choose.patterns`)."""
        self.known: Integers
        """The patterns there are, ascending."""
        self.counts: Integers
        """How many rows have each of them."""
        self.patterns, possible = self._patterns()
        self.known, self.counts = distinct(self.patterns, possible)

    def __len__(self) -> int:
        return len(self.rows)

    def _laid_out(self, kinds: Integers) -> tuple[slice | Integers, Integers]:
        """Return where in the layout the rows of some kinds are, kind by kind, and how many each has.

        A row that is out for its loss, size or state is not placed as one that is not: over several devices the two make
        kinds of their own.
        """
        layout = self.index.layout
        starts, ends = layout.starts[kinds], layout.starts[kinds + 1]
        sizes = ends - starts
        count = int(sizes.sum())
        laid = (
            slice(int(starts[0]), int(ends[-1]))
            if int(ends[-1] - starts[0]) == count
            else np.repeat(starts - sizes.cumsum() + sizes, sizes) + np.arange(count)
        )
        if self.single:
            return laid, sizes
        kept = np.ones(count, dtype=np.bool_)
        for constraint in (None, *self.setting.scenario.constraints):
            if constraint is None or isinstance(constraint, (DiskLimit, LossLimit)):
                kept &= self._accepted_by_row(laid, constraint)
        code = 2 * np.repeat(np.arange(len(sizes)), sizes) + kept
        both = np.bincount(code)
        order = np.argsort(code, kind="stable")
        return order + laid.start if isinstance(laid, slice) else laid[order], both[both > 0]

    def judge(self, places: Integers, *, recorded: bool = True) -> Assessment:
        """Return the assessment of the rows at some places."""
        return assess_rows(self.index, self.setting, self.rows[places], recorded=recorded)

    @property
    def kinds(self) -> int:
        """How many kinds there are."""
        return len(self.sizes)

    @cached_property
    def kind(self) -> Codes32:
        """Number of the kind of each place."""
        return np.repeat(np.arange(self.kinds, dtype=np.int32), self.sizes)

    @cached_property
    def is_recorded(self) -> Booleans:
        """By place, whether something was recorded of the row."""
        found = np.zeros(len(self), dtype=np.bool_)
        found[self.recorded] = True
        return found

    def _recorded(self) -> Integers:
        device = self.setting.device
        rows = self.index.recorded_rows(device) if device else np.zeros(0, dtype=np.int64)
        if not len(rows):
            return rows
        laid = self.index.layout.place[rows]
        if isinstance(self.laid, slice):
            inside = (laid >= self.laid.start) & (laid < self.laid.stop)
            return np.sort(laid[inside] - self.laid.start)
        seen = np.zeros(len(self.index), dtype=np.bool_)
        seen[laid] = True
        return np.flatnonzero(seen[self.laid])

    def _patterns(self) -> tuple[Patterns, Integers]:
        """Return the patterns, written out from where the accepted part of each kind ends, and which ones there may be."""
        kinds, judgements = self.kinds, self.judgements
        light, heavy = self.ends.failures[:, :kinds], self.ends.failures[:, kinds:]
        accepted = np.where(light, 0, np.where(heavy, 1, self.sizes))
        """How many rows of each kind are known to be accepted, lightest first."""
        placed = [number for number, judgement in enumerate(judgements) if judgement.is_placed]
        self._search(accepted, placed, light, heavy)
        by_row = [number for number, judgement in enumerate(judgements) if is_by_row(judgement)]
        by_kind = [number for number in range(len(judgements)) if number not in placed + by_row]
        dtype = type_for(len(judgements))
        ends = accepted[placed]
        order = np.argsort(ends, axis=0, kind="stable")
        ends = np.take_along_axis(ends, order, axis=0)
        # A kind is failed by more and more judgements the heavier its rows are.
        further = np.array([1 << number for number in placed], dtype=np.int64)[order].cumsum(axis=0)
        none = np.zeros((1, kinds), dtype=np.int64)
        pieces = np.concatenate((none, further)) + np.array([1 << n for n in by_kind]) @ light[by_kind]
        sizes = np.diff(np.concatenate((none, ends, self.sizes[None, :])), axis=0)
        found: Patterns = np.repeat(pieces.T.ravel().astype(dtype), sizes.T.ravel())
        possible: Integers = np.unique(pieces)
        for number in by_row:
            failed = ~self._accepted_by_row(self.laid, judgements[number].constraint)
            found |= failed * dtype.type(1 << number)
            possible = np.concatenate((possible, possible | 1 << number))
        if self.seen is not None:
            found[self.recorded] = packed(self.seen.failures)
            possible = np.union1d(possible, found[self.recorded].astype(np.int64))
        return found, possible

    @property
    def failures(self) -> Booleans:
        """Per judgement and place, whether it fails."""
        return self._failures

    @cached_property
    def _failures(self) -> Booleans:
        return unpacked(self.patterns, len(self.judgements))

    def judge_placed(self, places: Integers, numbers: Sequence[int]) -> list[Judgement]:
        """Return some judgements that depend on the placement, at places of which nothing was recorded or is taken for it."""
        wanted = [self.judgements[number] for number in numbers]
        if self.single:
            return judge_placed(self.index, self.setting, self.rows[places], wanted)
        found = self.judge(places, recorded=False).judgements
        return [found[number] for number in numbers]

    def _search(self, accepted: Integers, placed: list[int], light: Booleans, heavy: Booleans) -> None:
        """Write the number of accepted rows where the lightest of a kind is accepted and the heaviest is not."""
        row, kind = np.nonzero(heavy[placed] & ~light[placed])
        low = np.zeros(len(row), dtype=np.int64)
        high = self.sizes[kind] - 1
        while len(open_ := np.flatnonzero(high - low > 1)):
            fan = max(_PROBES // len(open_), 3)
            steps = np.arange(1, fan + 1)
            least, most = low[open_], high[open_]
            tried = least[:, None] + (most - least)[:, None] * steps // (fan + 1)
            places = self.offsets[kind[open_]][:, None] + tried
            tried_at, back = np.unique(places, return_inverse=True)
            judged = self.judge_placed(tried_at, placed)
            failures = np.stack([~judgement.accepted for judgement in judged])
            fails = failures[row[open_][:, None], back.reshape(places.shape)]
            high[open_] = np.where(fails, tried, most[:, None]).min(axis=1)
            low[open_] = np.where(fails, least[:, None], tried).max(axis=1)
        accepted[np.array(placed, dtype=np.int64)[row], kind] = high

    def _accepted_by_row(self, laid: slice | Integers, constraint: Constraint | None) -> Booleans:
        """Return the same as the verdicts of `planner.choose.feasible`, read off columns; None stands for the state."""
        index = self.index
        match constraint:
            case LossLimit():
                bounds = self.bounds(constraint)
                return bounds.accepted(constraint.limit, laid, certified_only=constraint.certified_only)
            case DiskLimit():
                return index.disk_bytes[index.layout.row[laid]] <= constraint.limit
            case _:
                rows, withheld = index.layout.row[laid], index.standing.withheld
                return np.ones(len(rows), dtype=np.bool_) if withheld is None else ~withheld[rows]

    def bounds(self, limit: LossLimit) -> Bounds:
        """Return the losses that a limit is on, in the order of the layout."""
        losses = self.index.losses(limit.kind, limit.task)
        return losses.in_order(self.index.layout.row, limit.confidence)

    def at(self, places: Integers) -> Integers:
        """Return where in the layout some places are."""
        return places + self.laid.start if isinstance(self.laid, slice) else self.laid[places]

    # -- the rest of what a plan asks of all rows ---------------------------------------------------------------------

    @cached_property
    def accepted(self) -> Integers:
        """Places of the rows that fail nothing."""
        return np.flatnonzero(self._passes)

    @cached_property
    def fell(self) -> Integers:
        """By judgement, how many rows failed it first."""
        first = first_failed(self.known)
        failed = first >= 0
        weights = self.counts[failed]
        return np.bincount(first[failed], weights, len(self.judgements)).astype(np.int64)

    def fell_at(self, number: int) -> Booleans:
        """Return by place whether the row failed a judgement first."""
        return is_one_of(self.patterns, self.known[first_failed(self.known) == number])

    @cached_property
    def lightest_accepted(self) -> Integers:
        """The first accepted place of each kind that has one."""
        return self._first(self._passes)

    @cached_property
    def _passes(self) -> Booleans:
        """By place, whether the row fails nothing."""
        found: Booleans = self.patterns == 0
        return found

    def only(self, keys: frozenset[str]) -> Booleans:
        """Return by place whether a row fails nothing but constraints of `keys`."""
        others = bits(number for number, judgement in enumerate(self.judgements) if judgement.key not in keys)
        return is_one_of(self.patterns, self.known[self.known & others == 0])

    def lightest(self, where: Booleans) -> Integers:
        """Return the lightest place of each kind among those given, and every one of which something was recorded.

        Whatever memory or time decides, one of them is accepted when any of those given is.
        """
        recorded = self.recorded[where[self.recorded]]
        return np.sort(np.concatenate((self._first(where & ~self.is_recorded), recorded)))

    def _first(self, where: Booleans) -> Integers:
        """Return the first place of each kind among those given."""
        begins = where.copy()
        begins[1:] &= ~where[:-1]
        starts = self.offsets[:-1]
        begins[starts] = where[starts]
        places = np.flatnonzero(begins)
        kind = self.kind[places]
        kept = np.ones(len(places), dtype=np.bool_)
        kept[1:] = kind[1:] != kind[:-1]
        return places[kept]

    def totals(self, places: Integers) -> Floats:
        """Return the peak bytes of one device at some places."""
        rest = self._rest
        if rest is None:
            return self.judge(places).total.value
        value = self.index.columns.weight_bytes[self.rows[places]] + rest[self.kind[places]]
        if self.seen is not None:
            known = self.is_recorded[places]
            value[known] = self.seen.total.value[np.searchsorted(self.recorded, places[known])]
        return value

    @cached_property
    def _rest(self) -> Floats | None:
        """Bytes beside the weights by kind, None where a variant may be split or its weights are held more than once."""
        if not self.single or not self.setting.accelerated:
            return None
        terms = self.ends.terms
        whole = terms.kv_cache.value + terms.activations.value + terms.overhead.value
        return (whole if terms.place is None else whole[terms.place])[: self.kinds]
