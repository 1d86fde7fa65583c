"""Survey: which rows fail which constraint, for every row asked about, by judging only a few of them.

Of each kind (`planner.choose.layout`) a constraint on memory or time admits a first part, the lighter rows; where it ends
is found by bisection over the rows themselves, so no formula is repeated here. State, loss and file size are read off
columns, and what follows from the kind alone is judged once per kind. Rows of which something was recorded on the device
are judged one by one.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np

from planner.choose.feasible import Assessment, Judgement, assess_rows
from planner.choose.index import Index
from planner.choose.losses import CODE, Codes32
from planner.choose.setting import Setting
from planner.choose.standing import STATE
from planner.domain.constraint import Constraint, DiskLimit, LossLimit
from planner.domain.outcome import Verdict
from planner.estimate.columns import Booleans, Floats, Integers

_LIKELY: Final = CODE[Verdict.LIKELY]
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
        self.rows: Integers
        """Row of the index at each place."""
        self.sizes: Integers
        """Rows of each kind."""
        self.rows, self.sizes = self._laid_out(kinds)
        self.offsets: Final = np.concatenate(([0], self.sizes.cumsum()))
        """Place in `rows` at which each kind begins, and the end."""
        first, last = self.offsets[:-1], self.offsets[1:] - 1
        self.ends: Final = self.judge(np.concatenate((first, last)), recorded=False)
        """The lightest row of each kind, then the heaviest of each, as if nothing had been recorded of them."""
        self.judgements: Final = self.ends.judgements
        self.recorded: Final = self._recorded()
        """Places of the rows of which something was recorded on the device."""
        self.seen: Final = self.judge(self.recorded, recorded=True) if len(self.recorded) else None
        self.failures: Final = self._failures()
        """Per judgement and place, whether it fails."""

    def __len__(self) -> int:
        return len(self.rows)

    def _laid_out(self, kinds: Integers) -> tuple[Integers, Integers]:
        """Return the rows of some kinds, kind by kind, and how many each has.

        A row that is out for its loss, size or state is not placed as one that is not: over several devices the two make
        kinds of their own.
        """
        layout = self.index.layout
        starts, ends = layout.starts[kinds], layout.starts[kinds + 1]
        sizes = ends - starts
        count = int(sizes.sum())
        if int(ends[-1] - starts[0]) == count:
            rows = layout.row[starts[0] : ends[-1]]
        else:
            rows = layout.row[np.repeat(starts - sizes.cumsum() + sizes, sizes) + np.arange(count)]
        if self.single:
            return rows, sizes
        kept = np.ones(count, dtype=np.bool_)
        for constraint in (None, *self.setting.scenario.constraints):
            if constraint is None or isinstance(constraint, (DiskLimit, LossLimit)):
                kept &= self._accepted_by_row(rows, constraint)
        code = 2 * np.repeat(np.arange(len(sizes)), sizes) + kept
        both = np.bincount(code)
        return rows[np.argsort(code, kind="stable")], both[both > 0]

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
        seen = np.zeros(len(self.index), dtype=np.bool_)
        seen[rows] = True
        return np.flatnonzero(seen[self.rows])

    def _failures(self) -> Booleans:
        kinds, judgements = self.kinds, self.judgements
        failures = np.empty((len(judgements), len(self)), dtype=np.bool_)
        light, heavy = self.ends.failures[:, :kinds], self.ends.failures[:, kinds:]
        accepted = np.where(light, 0, np.where(heavy, 1, self.sizes))
        """How many rows of each kind are known to be accepted, lightest first."""
        placed = [number for number, judgement in enumerate(judgements) if judgement.is_placed]
        self._search(accepted, placed, light, heavy)
        for number, judgement in enumerate(judgements):
            if is_by_row(judgement):
                failures[number] = ~self._accepted_by_row(self.rows, judgement.constraint)
            elif judgement.is_placed:
                parts = np.stack((accepted[number], self.sizes - accepted[number]), axis=1)
                failures[number] = np.repeat(np.tile([False, True], kinds), parts.ravel())
            else:
                failures[number] = np.repeat(light[number], self.sizes)
        if self.seen is not None:
            failures[:, self.recorded] = self.seen.failures
        return failures

    def _search(self, accepted: Integers, placed: list[int], light: Booleans, heavy: Booleans) -> None:
        """Write the number of accepted rows where the lightest of a kind is accepted and the heaviest is not."""
        which = np.zeros(light.shape, dtype=np.bool_)
        which[placed] = True
        number, kind = np.nonzero(which & heavy & ~light)
        low = np.zeros(len(number), dtype=np.int64)
        high = self.sizes[kind] - 1
        while len(open_ := np.flatnonzero(high - low > 1)):
            fan = max(_PROBES // len(open_), 3)
            steps = np.arange(1, fan + 1)
            least, most = low[open_], high[open_]
            tried = least[:, None] + (most - least)[:, None] * steps // (fan + 1)
            places = self.offsets[kind[open_]][:, None] + tried
            distinct, back = np.unique(places, return_inverse=True)
            fails = self.judge(distinct, recorded=False).failures[
                number[open_][:, None], back.reshape(places.shape)
            ]
            high[open_] = np.where(fails, tried, most[:, None]).min(axis=1)
            low[open_] = np.where(fails, least[:, None], tried).max(axis=1)
        accepted[number, kind] = high

    def _accepted_by_row(self, rows: Integers, constraint: Constraint | None) -> Booleans:
        """Return the same as the verdicts of `planner.choose.feasible`, read off columns; None stands for the state."""
        index = self.index
        match constraint:
            case LossLimit():
                losses = index.losses(constraint.kind, constraint.task)
                most = CODE[Verdict.CERTIFIED] if constraint.certified_only else _LIKELY
                return (losses.judged(constraint.limit, confidence=constraint.confidence) <= most)[rows]
            case DiskLimit():
                return index.disk_bytes[rows] <= constraint.limit
            case _:
                withheld = index.standing.withheld
                return np.ones(len(rows), dtype=np.bool_) if withheld is None else ~withheld[rows]

    # -- the rest of what a plan asks of all rows ---------------------------------------------------------------------

    @cached_property
    def accepted(self) -> Integers:
        """Places of the rows that fail nothing."""
        return np.flatnonzero(self._passes)

    def fell(self) -> list[Booleans]:
        """Return, per judgement, by place whether the row failed it first."""
        failed = np.zeros(len(self), dtype=np.bool_)
        found: list[Booleans] = []
        for fails in self.failures:
            found.append(fails > failed)
            failed |= fails
        return found

    @cached_property
    def lightest_accepted(self) -> Integers:
        """The first accepted place of each kind that has one."""
        any_accepted = np.logical_or.reduceat(self._passes, self.offsets[:-1])
        first = np.searchsorted(self.accepted, self.offsets[:-1][any_accepted])
        return self.accepted[first]

    @cached_property
    def _passes(self) -> Booleans:
        """By place, whether the row fails nothing."""
        found: Booleans = np.logical_not(self.failures.any(axis=0))
        return found

    def only(self, keys: frozenset[str]) -> Booleans:
        """Return by place whether a row fails nothing but constraints of `keys`."""
        others = [number for number, judgement in enumerate(self.judgements) if judgement.key not in keys]
        found: Booleans = np.logical_not(self.failures[others].any(axis=0))
        return found

    def lightest(self, where: Booleans) -> Integers:
        """Return the lightest place of each kind among those given, and every one of which something was recorded.

        Whatever memory or time decides, one of them is accepted when any of those given is.
        """
        plain = np.flatnonzero(where & ~self.is_recorded)
        kind = self.kind[plain]
        first = np.concatenate(([True], kind[1:] != kind[:-1])) if len(kind) else np.zeros(0, dtype=np.bool_)
        return np.sort(np.concatenate((plain[first], self.recorded[where[self.recorded]])))

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
