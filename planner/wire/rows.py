"""Rows of lists that are no domain noun: what one line of a table needs, without a request for each line."""

from __future__ import annotations

from datetime import datetime

import msgspec

from planner.domain.alias import Alias, AliasMove


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


class AliasHistory(msgspec.Struct, frozen=True, kw_only=True):
    """An alias and every move it made, newest first."""

    alias: Alias
    moves: tuple[AliasMove, ...]
