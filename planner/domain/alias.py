"""Aliases: names such as "prod" that point at a variant and move by compare-and-swap, with their history kept."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """Where a name points now. `number` counts its moves: 1 when it was created.

    A `protected` alias moves only by compare-and-swap, and is not deleted.
    """

    name: str
    variant_id: str
    number: int
    actor: str
    moved_at: datetime
    protected: bool = False


class AliasMove(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One move of an alias; `previous_variant_id` is None for the move that created it, `variant_id` for the one that deleted it."""

    name: str
    number: int
    variant_id: str | None
    actor: str
    moved_at: datetime
    previous_variant_id: str | None = None


class AliasAt(msgspec.Struct, frozen=True, kw_only=True):
    """Where a name pointed at a moment, and the move that had put it there; both None when there was no such alias."""

    name: str
    at: datetime
    variant_id: str | None
    move: AliasMove | None
