"""Checking: a lock held against what the registry knows now.

Five results, the gravest that applies: the variant is gone, it no longer satisfies its scenario, the evidence behind it is
stale or weaker than it was, something better exists, or all is well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from planner.deploy.lock import Lock, LockedFigure
from planner.deploy.locking import checks_of, evidence_of, figures_of
from planner.deploy.runtimes import RUNTIMES
from planner.domain.outcome import Candidate, Elimination
from planner.domain.units import format_ratio, format_value

STATE: Final = "state"
"""Key of the elimination of a variant that was yanked or quarantined."""
OBJECTIVE: Final = "objective"
"""Key of the elimination of a variant that satisfies everything and is not the best."""
_SAME: Final = 1e-9
"""Relative difference below which two figures are one: the rounding of sums."""


class LockStatus(StrEnum):
    """What became of a lock."""

    FEASIBLE = "feasible"
    BETTER = "better-exists"
    STALE = "evidence-stale"
    INFEASIBLE = "infeasible"
    GONE = "variant-gone"


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that differs: as it was, as it is, and by how much where that can be said; None is unknown or absent."""

    key: str
    before: str | None
    after: str | None
    difference: str | None = None


class Better(msgspec.Struct, frozen=True, kw_only=True):
    """The variant that the scenario's objective prefers now, why, and its figures against the locked variant's."""

    variant_id: str
    name: str
    reason: str
    against: tuple[Change, ...]


class LockCheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A lock judged again."""

    status: LockStatus
    sentence: str
    variant_id: str
    name: str
    locked_revision: int
    revision: int
    changes: tuple[Change, ...] = ()
    """What differs of the locked variant: figures, verdicts, evidence, the runtime's version."""
    stale: tuple[str, ...] = ()
    """Why its evidence does not count as it did."""
    failed: Elimination | None = None
    """The constraint it fails now."""
    better: Better | None = None


def gone(lock: Lock, *, revision: int, state: str | None = None) -> LockCheck:
    """Return the check of a lock whose variant the registry does not hold, or only the record of: `state` says why."""
    return LockCheck(
        status=LockStatus.GONE,
        sentence=f"{lock.variant.name} is {state or 'not in the registry any more'}",
        variant_id=lock.variant.id,
        name=lock.variant.name,
        locked_revision=lock.plan.revision,
        revision=revision,
    )


def check_lock(
    lock: Lock,
    candidate: Candidate,
    elimination: Elimination | None,
    chosen: Candidate | None,
    *,
    revision: int,
) -> LockCheck:
    """Return how a lock stands: `candidate` is its variant in its scenario now, `elimination` why it is not the answer.

    `chosen` is the answer now, None when there is none.
    """
    stale = tuple(_stale(lock, candidate))
    failed = elimination if elimination is not None and elimination.key != OBJECTIVE else None
    better = _better(lock, candidate, elimination, chosen)
    if failed is not None:
        said = lock.variant.name + " is " if failed.key == STATE else f"{failed.key}: "
        status, sentence = LockStatus.INFEASIBLE, said + failed.reason
    elif stale:
        status, sentence = LockStatus.STALE, stale[0]
    elif better is not None:
        status, sentence = LockStatus.BETTER, f"{better.name} is preferred now: {better.reason}"
    else:
        status, sentence = LockStatus.FEASIBLE, f"{lock.variant.name} is still the answer"
    return LockCheck(
        status=status,
        sentence=sentence,
        variant_id=lock.variant.id,
        name=lock.variant.name,
        locked_revision=lock.plan.revision,
        revision=revision,
        changes=tuple(_changes(lock, candidate)),
        stale=stale,
        failed=failed,
        better=better,
    )


def _better(
    lock: Lock, candidate: Candidate, elimination: Elimination | None, chosen: Candidate | None
) -> Better | None:
    if chosen is None or elimination is None or chosen.variant_id == lock.variant.id:
        return None
    return Better(
        variant_id=chosen.variant_id,
        name=chosen.name,
        reason=elimination.reason,
        against=tuple(_figure_changes(_by_key(figures_of(candidate)), _by_key(figures_of(chosen)))),
    )


def _by_key(figures: tuple[LockedFigure, ...]) -> dict[str, LockedFigure]:
    return {figure.key: figure for figure in figures}


def _stale(lock: Lock, candidate: Candidate) -> Iterator[str]:
    now = _by_key(figures_of(candidate))
    for before in lock.figures:
        after = now.get(before.key)
        if after is None:
            yield f"{before.key} was {_text(before)} and is not known any more"
        elif after.stale and not before.stale:
            yield f"{before.key}: its evidence is stale by now"
        elif after.basis.rank > before.basis.rank:
            yield f"{before.key} was {before.basis.value} and is only {after.basis.value} now"


def _changes(lock: Lock, candidate: Candidate) -> Iterator[Change]:
    yield from _figure_changes(_by_key(lock.figures), _by_key(figures_of(candidate)))
    verdicts = {check.key: check for check in checks_of(candidate)}
    for before in lock.checks:
        after = verdicts.get(before.key)
        if after is None or after.verdict is not before.verdict:
            yield Change(
                key=f"verdict on {before.asked}",
                before=before.verdict.value,
                after=after.verdict.value if after else None,
            )
    held, known = set(evidence_of(candidate)), set(lock.evidence)
    yield from (Change(key="evidence", before=each, after=None) for each in sorted(known - held))
    yield from (Change(key="evidence", before=None, after=each) for each in sorted(held - known))
    if lock.runtime is not None:
        facts = RUNTIMES.get(lock.runtime.name)
        version = facts.version if facts else None
        if version != lock.runtime.version:
            yield Change(key=f"flags of {lock.runtime.name}", before=lock.runtime.version, after=version)


def _figure_changes(
    before: Mapping[str, LockedFigure], after: Mapping[str, LockedFigure]
) -> Iterator[Change]:
    for key in dict.fromkeys((*before, *after)):
        one, other = before.get(key), after.get(key)
        if one is None or other is None:
            yield Change(key=key, before=_text(one) if one else None, after=_text(other) if other else None)
        elif not math.isclose(one.value, other.value, rel_tol=_SAME) or one.basis is not other.basis:
            difference = None
            if one.value and one.unit is other.unit and one.value != other.value:
                difference = format_ratio(other.value / one.value - 1, signed=True)
            yield Change(key=key, before=_text(one), after=_text(other), difference=difference)


def _text(figure: LockedFigure) -> str:
    return f"{format_value(figure.value, figure.unit)} {figure.basis.value}"
