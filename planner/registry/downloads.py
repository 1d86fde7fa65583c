"""Downloads: an append-only log of loads, which also remembers what a load that is under way was promised."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from sqlalchemy import Row, func, insert, select, update

from planner.domain.lifecycle import LifecycleState
from planner.domain.listing import Page
from planner.registry.checks import DEFAULT_LIMIT, check_id, check_name, check_time
from planner.registry.pages import Keyset, fetch
from planner.registry.tables import Downloads, VariantStates
from planner.registry.transaction import Transaction, WriteTransaction
from planner.wire.rows import DownloadRow

MAX_AGENT: Final = 500
MAX_REVISION: Final = 2_100
"""A question of 2,000 characters and its prefix."""

_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_COLUMNS: Final = (
    Downloads.id,
    Downloads.repository,
    Downloads.revision,
    Downloads.variant_id,
    Downloads.plan_id,
    Downloads.client,
    Downloads.user_agent,
    Downloads.started_at,
    Downloads.last_at,
    Downloads.principal,
)


def agent_text(user_agent: str) -> str:
    """Return a user agent as it is kept: printable and at most 500 characters."""
    return _UNPRINTABLE.sub(" ", user_agent)[:MAX_AGENT]


def program_of(user_agent: str) -> str:
    """Return the program a user agent begins with, "transformers/5.23.0": what follows differs from file to file."""
    return agent_text(user_agent).partition(";")[0]


def record(tx: WriteTransaction, row: DownloadRow) -> None:
    """Add a load. Raises InvalidInput."""
    check_id("download.id", row.id)
    check_name("repository", row.repository)
    check_name("revision", row.revision, longest=MAX_REVISION)
    check_id("variant_id", row.variant_id)
    check_time("started_at", row.started_at)
    tx.connection.execute(
        insert(Downloads).values({name: getattr(row, name) for name in row.__struct_fields__})
    )


def touch(tx: WriteTransaction, id_: str, *, now: datetime) -> None:
    """Note that the load goes on."""
    tx.connection.execute(update(Downloads).where(Downloads.id == id_).values(last_at=now))


def latest(
    tx: Transaction,
    *,
    client: str,
    repository: str,
    since: datetime,
    program: str | None = None,
    variant_id: str | None = None,
    revision: str | None = None,
) -> DownloadRow | None:
    """Return the newest load by this client from this repository that was going on after `since`.

    With `program` one whose user agent begins so, with `variant_id` one of that variant, with `revision` one that a plan
    decided for that revision.
    """
    statement = select(*_COLUMNS).where(
        Downloads.client == client, Downloads.repository == repository, Downloads.last_at >= since
    )
    if program is not None:
        statement = statement.where(Downloads.user_agent.startswith(program, autoescape=True))
    if variant_id is not None:
        statement = statement.where(Downloads.variant_id == variant_id)
    if revision is not None:
        statement = statement.where(Downloads.revision == revision, Downloads.plan_id.is_not(None))
    statement = statement.order_by(Downloads.started_at.desc(), Downloads.id.desc()).limit(1)
    found = tx.connection.execute(statement).one_or_none()
    return None if found is None else _row(found)


def counts(tx: Transaction) -> dict[str, int]:
    """Return how many loads each repository has had."""
    statement = select(Downloads.repository, func.count()).group_by(Downloads.repository)
    return {row.repository: row[1] for row in tx.connection.execute(statement)}


def page(
    tx: Transaction,
    *,
    variant_id: str | None = None,
    state: LifecycleState | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[DownloadRow]:
    """Return loads, the newest first; those of one variant, or of variants in a state now, where it is given.

    Raises InvalidInput.
    """
    statement = select(*_COLUMNS)
    if variant_id is not None:
        statement = statement.where(Downloads.variant_id == check_id("variant_id", variant_id))
    if state is LifecycleState.ACTIVE:
        statement = statement.where(
            Downloads.variant_id.not_in(
                select(VariantStates.id).where(VariantStates.state != LifecycleState.ACTIVE.value)
            )
        )
    elif state is not None:
        there = select(VariantStates.id).where(VariantStates.state == state.value)
        statement = statement.where(Downloads.variant_id.in_(there))
    keyset = Keyset(
        Downloads.started_at,
        Downloads.id,
        type_=datetime,
        scope=("downloads", variant_id, state),
        descending=True,
    )
    return fetch(tx, statement, keyset, _row, limit=limit, cursor=cursor)


def _row(row: Row[str, str, str, str, str | None, str, str, datetime, datetime, str | None]) -> DownloadRow:
    return DownloadRow(
        id=row.id,
        repository=row.repository,
        revision=row.revision,
        variant_id=row.variant_id,
        plan_id=row.plan_id,
        client=row.client,
        user_agent=row.user_agent,
        started_at=row.started_at,
        last_at=row.last_at,
        principal=row.principal,
    )
