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


class DownloadRow(msgspec.Struct, frozen=True, kw_only=True):
    """A load of a variant's files by one client: what was served to whom, when, and why."""

    id: str
    repository: str
    """What was asked for: "llama-2-13b/int4-g128", "plans/chat"."""
    revision: str
    """As it was asked for: "main", an alias, a commit, or "plan:" and a question."""
    variant_id: str
    plan_id: str | None
    """The plan that chose the variant; None where it was asked for by name."""
    client: str
    """Network address."""
    user_agent: str
    started_at: datetime
    last_at: datetime
    """Last request that was noted; requests within a minute of it are not."""
    principal: str | None = None
    """Whose token it was; None for a request without one."""
