"""Lifecycle: whether a variant may be recommended and handed out, who decided so, when and why.

A variant's bytes never change; its state does. States form a small machine: `check_move` is the one rule of which may
follow which, and `is_recommended`, `is_handed_out` are the one rule of what each means.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from planner.errors import Conflict, InvalidInput

MAX_REASON: Final = 1_000


class LifecycleState(StrEnum):
    """Where a variant stands."""

    ACTIVE = "active"
    DEPRECATED = "deprecated"
    """Still good, and on its way out: recommended only when no active variant satisfies the question."""
    YANKED = "yanked"
    """Never recommended any more; whoever names it still gets it, with a warning."""
    QUARANTINED = "quarantined"
    """Neither recommended nor handed out."""
    DELETED = "deleted"
    """Its files are gone; its record, evidence and history stay."""

    @property
    def is_recommended(self) -> bool:
        """True when questions may be answered with it."""
        return self in {LifecycleState.ACTIVE, LifecycleState.DEPRECATED}

    @property
    def is_handed_out(self) -> bool:
        """True when its files may be fetched."""
        return self not in {LifecycleState.QUARANTINED, LifecycleState.DELETED}

    @property
    def has_files(self) -> bool:
        """True unless its files were given up."""
        return self is not LifecycleState.DELETED


_ANY: Final = frozenset(LifecycleState)

MOVES: Final[Mapping[LifecycleState, frozenset[LifecycleState]]] = {
    LifecycleState.ACTIVE: _ANY,
    LifecycleState.DEPRECATED: _ANY,
    LifecycleState.YANKED: _ANY,
    LifecycleState.QUARANTINED: _ANY - {LifecycleState.DEPRECATED},
    LifecycleState.DELETED: frozenset({LifecycleState.ACTIVE, LifecycleState.DELETED}),
}
"""By state, those that may follow it. What was quarantined is reinstated or yanked before anybody is merely advised
against it; what was deleted comes back only when its files do. A state may follow itself with another reason."""


class VariantState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A state a variant was put in. `number` counts its changes; 0 is the state it was registered in."""

    variant_id: str
    state: LifecycleState = LifecycleState.ACTIVE
    reason: str = ""
    replacement_id: str | None = None
    """The variant to use instead."""
    actor: str = ""
    changed_at: datetime | None = None
    number: int = 0

    @property
    def id(self) -> str:
        """The variant's id: it has one state at a time."""
        return self.variant_id

    def describe(self, replacement: str | None = None) -> str:
        """Return the state in words, "yanked: wrong tokenizer; use int4-v2 instead", with the replacement's name or id."""
        instead = replacement or self.replacement_id
        words = f"{self.state.value}: {self.reason}" if self.reason else self.state.value
        return f"{words}; use {instead} instead" if instead else words


class StateHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a variant, and every state it was put in, newest first."""

    current: VariantState
    history: tuple[VariantState, ...]


def check_move(before: LifecycleState, after: LifecycleState) -> None:
    """Raise Conflict unless `after` may follow `before`."""
    if after not in MOVES[before]:
        allowed = ", ".join(state.value for state in LifecycleState if state in MOVES[before])
        raise Conflict(
            f"a variant that is {before.value} cannot become {after.value}; allowed: {allowed}",
            current=before.value,
            asked=after.value,
        )


def check_reason(reason: str) -> str:
    """Return `reason` without blanks around it. Raises InvalidInput when it says nothing or too much."""
    text = " ".join(reason.split())
    if not text:
        raise InvalidInput("reason", "is empty", allowed=f"1 to {MAX_REASON} characters that say why")
    if len(text) > MAX_REASON:
        raise InvalidInput("reason", f"is {len(text)} characters long", allowed=f"1 to {MAX_REASON}")
    return text
