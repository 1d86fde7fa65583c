"""Sweep: what is chosen while one bound of a question moves over a range.

Each point is the planner's own assessment and ranking. Between two points with different choices the change is found by
bisection: to the very value for bytes and counts, to one part in 10^9 for the rest. Where the middle has a third choice,
both halves are searched, so that no change that shows at a middle is missed.
"""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Final

from planner.choose.candidate import latency_of, memory_of
from planner.choose.feasible import Assessment, assess_selected
from planner.choose.index import Index
from planner.choose.rank import rank
from planner.choose.setting import resolve
from planner.choose.sweep_range import SweepRange
from planner.domain.scenario import Scenario
from planner.domain.sweep import Breakpoint, Sweep, SweepPoint

MAX_ASSESSED: Final = 4_000
"""Assessments of one sweep, points and bisection together; more changes than this finds are not listed."""
RESOLUTION: Final = 1e-9
"""Relative width to which a change is narrowed where values are not whole."""
_NOBODY: Final = -1


class _Curve:
    """The choice at any value of the range, each computed once."""

    def __init__(self, scenario: Scenario, index: Index, over: SweepRange, now: datetime | None) -> None:
        self.scenario, self.index, self.over, self.now = scenario, index, over, now
        self.assessed = 0
        self._rows: dict[float, int] = {}

    def assess(self, value: float) -> tuple[Assessment, int]:
        """Return the assessment at a value and the chosen position, -1 where nothing satisfies the question."""
        self.assessed += 1
        changed = self.over.dial.put(self.scenario, value)
        assessment = assess_selected(self.index, resolve(changed, self.index, now=self.now))
        order = rank(assessment, at_least=1)
        position = int(order[0]) if len(order) else _NOBODY
        self._rows[value] = int(assessment.rows[position]) if len(order) else _NOBODY
        return assessment, position

    def row(self, value: float) -> int:
        """Return the row of the index that is chosen at a value."""
        if value not in self._rows:
            self.assess(value)
        return self._rows[value]

    def point(self, value: float) -> SweepPoint:
        """Return the answer at a value with its key figures."""
        assessment, position = self.assess(value)
        accepted = int(assessment.accepted.sum())
        shown = self.over.dial.show(value)
        if position == _NOBODY:
            return SweepPoint(value=value, shown=shown, outcome="infeasible", accepted=accepted)
        row = int(assessment.rows[position])
        variant, loss = self.index.records[row], assessment.losses.answers[row]
        speed = latency_of(assessment, position)
        return SweepPoint(
            value=value,
            shown=shown,
            outcome="recommended",
            accepted=accepted,
            variant_id=variant.id,
            name=variant.name,
            memory=memory_of(assessment, position).total,
            loss=loss.figure if loss else None,
            tpot=speed.tpot,
            throughput=speed.throughput,
        )

    def is_narrow(self, lo: float, hi: float) -> bool:
        """Return whether no value that matters lies between the two."""
        return hi - lo <= 1 if self.over.dial.whole else hi - lo <= RESOLUTION * max(abs(lo), abs(hi))

    def middle(self, lo: float, hi: float) -> float:
        """Return a value between the two."""
        return float((int(lo) + int(hi)) // 2) if self.over.dial.whole else (lo + hi) / 2


def _changes(curve: _Curve, values: tuple[float, ...]) -> tuple[list[tuple[float, float]], bool]:
    """Return the narrow gaps in which the choice changes, ascending, and whether all of them were searched."""
    found: list[tuple[float, float]] = []
    gaps = list(pairwise(values))[::-1]
    while gaps:
        lo, hi = gaps.pop()
        if curve.row(lo) == curve.row(hi):
            continue
        if curve.is_narrow(lo, hi):
            found.append((lo, hi))
        elif curve.assessed >= MAX_ASSESSED:
            return found, False
        else:
            middle = curve.middle(lo, hi)
            gaps += [(middle, hi), (lo, middle)]
    return found, True


def sweep(scenario: Scenario, index: Index, over: SweepRange, *, now: datetime | None = None) -> Sweep:
    """Return the curve of `scenario` over a range; the same arguments give the same curve.

    Raises NotFound for an unknown device or model, InvalidInput for a value that no question may have.
    """
    curve = _Curve(scenario, index, over, now)
    values = over.values()
    points = tuple(curve.point(value) for value in values)
    gaps, exact = _changes(curve, values)
    return Sweep(
        over=over.dial.name,
        title=over.dial.title,
        unit=over.dial.unit,
        scale=over.scale,
        points=points,
        breakpoints=tuple(_breakpoint(curve, lo, hi) for lo, hi in gaps),
        revision=index.revision,
        exact=exact,
    )


def _breakpoint(curve: _Curve, lo: float, hi: float) -> Breakpoint:
    records, before, after = curve.index.records, curve.row(lo), curve.row(hi)
    return Breakpoint(
        below=lo,
        value=hi,
        shown=curve.over.dial.show(hi),
        before_id=records[before].id if before != _NOBODY else None,
        before=records[before].name if before != _NOBODY else None,
        after_id=records[after].id if after != _NOBODY else None,
        after=records[after].name if after != _NOBODY else None,
    )


__all__ = ["MAX_ASSESSED", "RESOLUTION", "sweep"]
