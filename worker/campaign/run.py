"""Running a campaign: its units in order, as many as the budget holds, and the bundle after each of them.

A unit that does not fit what is left of the budget is left for the next run, and a smaller one after it may still run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol

import msgspec

from planner.domain.job import Failure
from worker.campaign.ledger import Ledger, Record
from worker.campaign.units import TrainWork, Unit
from worker.progress import Report

State = Literal["done", "partial", "failed", "before", "left"]
RESERVE_SECONDS: Final = 3.0
"""Kept of the budget for writing the bundle."""


class Standing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a unit stands after a run: `before` was finished earlier, `left` is for a later run."""

    title: str
    kind: str
    key: str
    state: State
    estimate_seconds: float
    seconds: float | None = None
    why: str | None = None
    failures: tuple[Failure, ...] = ()


class Execute(Protocol):
    """Does a unit."""

    def run(self, unit: Unit, *, limit_seconds: float, report: Report) -> Record:
        """Do the unit and return its record."""
        ...


def standings(units: Sequence[Unit], ledger: Ledger, *, retry: bool = False) -> tuple[Standing, ...]:
    """Return where every unit stands now: what is recorded, and `left` for the others."""
    return tuple(_standing(unit, ledger, retry=retry) for unit in units)


def run_campaign(
    units: Sequence[Unit],
    ledger: Ledger,
    execute: Execute,
    *,
    budget_seconds: float,
    retry: bool = False,
    report: Callable[[Unit, float, str], None],
    finished: Callable[[Standing], None],
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Standing, ...]:
    """Do what fits the budget and return where every unit stands.

    `finished` hears of each unit as it ends or is passed over. Raises JobStopped; what is finished stays finished.
    """
    end = clock() + budget_seconds - RESERVE_SECONDS
    found: list[Standing] = []
    for unit in units:
        standing = _next(unit, units, ledger, execute, end=end, retry=retry, report=report, clock=clock)
        found.append(standing)
        finished(standing)
    return tuple(found)


def _next(
    unit: Unit,
    units: Sequence[Unit],
    ledger: Ledger,
    execute: Execute,
    *,
    end: float,
    retry: bool,
    report: Callable[[Unit, float, str], None],
    clock: Callable[[], float],
) -> Standing:
    standing = _standing(unit, ledger, retry=retry)
    if standing.state != "left" and not _is_needed_again(unit, units, ledger, retry=retry):
        return standing
    needed = next((other for other in units if other.key == unit.needs), None)
    if needed is not None and not ledger.has_files(needed):
        return msgspec.structs.replace(standing, state="left", why=f"waits for `{needed.title}`")
    left = end - clock()
    estimate = ledger.estimate(unit)
    if estimate > left:
        why = f"estimated at {estimate:.0f} s, {max(0.0, left):.0f} s are left"
        return msgspec.structs.replace(standing, state="left", why=why)
    record = execute.run(unit, limit_seconds=left, report=lambda share, message: report(unit, share, message))
    return _recorded(unit, record, record.state, estimate)


def _standing(unit: Unit, ledger: Ledger, *, retry: bool) -> Standing:
    record = ledger.record(unit)
    estimate = ledger.estimate(unit)
    if record is not None and ledger.is_done(unit, retry=retry):
        return _recorded(unit, record, "failed" if record.state == "failed" else "before", estimate)
    why = None
    if record is not None:
        why = "some points are left" if record.state != "failed" else "it failed and is tried again"
    return Standing(
        title=unit.title, kind=unit.kind, key=unit.key, state="left", estimate_seconds=estimate, why=why
    )


def _is_needed_again(unit: Unit, units: Sequence[Unit], ledger: Ledger, *, retry: bool) -> bool:
    """Return whether a model that was trained on another machine must be trained here, for what is left to do."""
    if not isinstance(unit.work, TrainWork) or ledger.has_files(unit):
        return False
    record = ledger.record(unit)
    if record is None or record.state == "failed":
        return False
    return any(other.needs == unit.key and not ledger.is_done(other, retry=retry) for other in units)


def _recorded(unit: Unit, record: Record, state: State, estimate: float) -> Standing:
    notes = [f"{len(record.not_measured)} points not tried"] if record.not_measured else []
    notes += [f"{left.part} not applicable: {left.message}" for left in record.not_applicable]
    return Standing(
        title=unit.title,
        kind=unit.kind,
        key=unit.key,
        state=state,
        estimate_seconds=estimate,
        seconds=record.seconds,
        why=record.failures[0].message if record.failures else "; ".join(notes) or None,
        failures=record.failures,
    )
