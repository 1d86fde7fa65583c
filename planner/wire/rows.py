"""Rows of lists: what one line of a table needs, without a request for each line."""

from __future__ import annotations

from datetime import datetime

import msgspec

from planner.domain.figure import Figure
from planner.domain.variant import Variant


class VariantRow(msgspec.Struct, frozen=True, kw_only=True):
    """A variant with the loss it is best known by, and how much speed evidence there is."""

    variant: Variant
    loss: Figure | None
    """The loss a question without a task would judge it by; None when nothing is known."""
    profiles: int


class PlanRow(msgspec.Struct, frozen=True, kw_only=True):
    """A stored plan without its evidence."""

    id: str
    query: str | None
    outcome: str
    """recommended or infeasible."""
    variant_id: str | None
    """The chosen variant; None when nothing satisfied the scenario."""
    name: str | None
    revision: int
    as_of: datetime


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """A name that moves between variants, such as `prod`."""

    name: str
    variant_id: str
    moved_at: datetime
    actor: str | None


class AliasMove(msgspec.Struct, frozen=True, kw_only=True):
    """One move in the history of an alias; `from_variant_id` None is its creation."""

    name: str
    from_variant_id: str | None
    to_variant_id: str
    moved_at: datetime
    actor: str | None


class AliasHistory(msgspec.Struct, frozen=True, kw_only=True):
    """An alias and every move it made, newest first."""

    alias: Alias
    moves: tuple[AliasMove, ...]
