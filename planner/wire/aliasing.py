"""What crosses HTTP about aliases beyond moving them, and its use cases."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import msgspec

from planner.domain.alias import Alias, AliasAt, AliasMove
from planner.domain.listing import Page
from planner.wire.page import DEFAULT_LIMIT


class ProtectAlias(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether an alias moves only by compare-and-swap, and is not deleted."""

    protected: bool


class RollbackAlias(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Move an alias back to where it pointed before its last move; with `expected`, only if it points there now."""

    expected: str | None = None
    actor: str | None = None


class Aliasing(Protocol):
    """Aliases over time."""

    def alias_moves(
        self, name: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[AliasMove]:
        """Return the moves of an alias, newest first, also of a deleted one. Raises NotFound."""
        ...

    def alias_at(self, name: str, at: datetime) -> AliasAt:
        """Return where an alias pointed at a moment. Raises NotFound for one that never was, InvalidInput."""
        ...

    def protect_alias(self, name: str, *, protected: bool = True) -> Alias:
        """Say that an alias moves only by compare-and-swap and is not deleted, or that it is free again. Raises NotFound."""
        ...

    def rollback_alias(self, name: str, *, expected: str | None = None, actor: str | None = None) -> Alias:
        """Move an alias back to where it pointed before its last move.

        Raises NotFound, and Conflict when there was no move before, it does not point at `expected`, or what it pointed at
        is not to be pointed at any more.
        """
        ...

    def delete_alias(self, name: str, *, expected: str | None = None, actor: str | None = None) -> AliasMove:
        """Delete an alias and keep its history. Raises NotFound, and Conflict for a protected one or another `expected`."""
        ...
