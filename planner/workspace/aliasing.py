"""Aliases over time: where one pointed, protection, moving back and deletion. Moving one is in `recording`."""

from __future__ import annotations

from datetime import datetime

from planner.domain.alias import Alias, AliasAt, AliasMove
from planner.domain.listing import Page
from planner.registry import aliases, variants
from planner.registry.transaction import Transaction
from planner.wire import acting
from planner.wire.page import DEFAULT_LIMIT
from planner.workspace.attribution import check_confines_of
from planner.workspace.opened import Opened


class Aliasing(Opened):
    """Implements `planner.wire.aliasing.Aliasing`."""

    def alias_moves(
        self, name: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[AliasMove]:
        """Return the moves of an alias, newest first, also of a deleted one."""
        with self.registry.read() as tx:
            return aliases.history(tx, name, limit=limit, cursor=cursor)

    def alias_at(self, name: str, at: datetime) -> AliasAt:
        """Return where an alias pointed at a moment."""
        with self.registry.read() as tx:
            return aliases.at(tx, name, at)

    def protect_alias(self, name: str, *, protected: bool = True) -> Alias:
        """Say that an alias moves only by compare-and-swap and is not deleted, or that it is free again."""
        with self.registry.write() as tx:
            return aliases.protect(tx, name, protected=protected)

    def rollback_alias(self, name: str, *, expected: str | None = None, actor: str | None = None) -> Alias:
        """Move an alias back to where it pointed before its last move."""
        with self.registry.write() as tx:
            check_confines_of(tx, aliases.get(tx, name).variant_id)
            return aliases.roll_back(
                tx, name, expected=_id(tx, expected), actor=acting.actor(actor), now=self.now()
            )

    def delete_alias(self, name: str, *, expected: str | None = None, actor: str | None = None) -> AliasMove:
        """Delete an alias and keep its history."""
        with self.registry.write() as tx:
            check_confines_of(tx, aliases.get(tx, name).variant_id)
            return aliases.remove(
                tx, name, expected=_id(tx, expected), actor=acting.actor(actor), now=self.now()
            )


def _id(tx: Transaction, variant: str | None) -> str | None:
    return None if variant is None else variants.get(tx, variant).id
