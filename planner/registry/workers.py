"""Workers that have asked for jobs: what they state, when they were heard of, and whether they are to drain.

An idle worker asks every few seconds; its row is written only when something changed or the time stored has aged.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import delete, select, update

from planner.domain import job_worker as rules
from planner.domain.job import JobKind, JobState
from planner.domain.job_worker import KEPT_SECONDS, RECENT_SECONDS, Worker, WorkerRow
from planner.domain.listing import Page
from planner.errors import NotFound
from planner.registry.checks import DEFAULT_LIMIT, check_name, check_names, check_time
from planner.registry.nearest import nearest, shortened
from planner.registry.pages import Keyset, fetch
from planner.registry.tables import Jobs, Workers
from planner.registry.transaction import Transaction, WriteTransaction

AGED_SECONDS: Final = 10.0
"""How old the stored time of an unchanged worker may get before it is written again."""


def hear(
    tx: WriteTransaction,
    name: str,
    *,
    capabilities: Iterable[str],
    kinds: Iterable[JobKind],
    now: datetime,
) -> Worker:
    """Note that the worker asked for a job. Raises InvalidInput."""
    check_name("worker", name)
    stated = tuple(sorted(capabilities))
    check_names("capabilities", stated)
    check_time("now", now)
    known = _get(tx, name)
    if known is None:
        worker = Worker(
            name=name,
            capabilities=stated,
            kinds=tuple(sorted(set(kinds))),
            first_seen_at=now,
            last_seen_at=now,
        )
        if tx.insert_new(Workers, {"name": name, "last_seen_at": now, "document": worker}):
            gone = Workers.last_seen_at < now - timedelta(seconds=KEPT_SECONDS)
            tx.connection.execute(delete(Workers).where(gone))
            return worker
        known = _get(tx, name) or worker
    changed = msgspec.structs.replace(
        known, capabilities=stated, kinds=tuple(sorted(set(kinds))), draining=False
    )
    return _seen(tx, known, changed, now)


def seen(tx: WriteTransaction, name: str, *, draining: bool, now: datetime) -> None:
    """Note that the worker gave a sign of life."""
    known = _get(tx, name)
    if known is not None:
        _seen(tx, known, msgspec.structs.replace(known, draining=draining), now)


def ask_to_drain(tx: WriteTransaction, name: str, *, drain: bool) -> Worker:
    """Tell the worker to take no more jobs, or to take jobs again. Raises NotFound with the nearest names."""
    check_name("worker", name)
    statement = select(Workers.document).where(Workers.name == name).with_for_update()
    known = tx.connection.execute(statement).scalar_one_or_none()
    if known is None:
        names = tx.connection.execute(select(Workers.name).order_by(Workers.name)).scalars().all()
        raise NotFound("worker", shortened(name), nearest=nearest(name, names))
    worker = msgspec.structs.replace(known, drain_asked=drain)
    _store(tx, worker)
    return worker


def is_told_to_drain(tx: Transaction, name: str) -> bool:
    """Return whether the worker is to be given no job."""
    known = _get(tx, check_name("worker", name))
    return known is not None and known.drain_asked


def page(
    tx: Transaction, *, now: datetime, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[WorkerRow]:
    """Return workers by name, each with its state and the job it runs. Raises InvalidInput."""
    running = _running(tx, now)
    keyset = Keyset(Workers.name, Workers.name, type_=str, scope=("workers",))
    return fetch(
        tx,
        select(Workers.document),
        keyset,
        lambda row: rules.row(row.document, job_id=running.get(row.document.name), now=now),
        limit=limit,
        cursor=cursor,
    )


def row(tx: Transaction, worker: Worker, *, now: datetime) -> WorkerRow:
    """Return one worker as it is listed."""
    return rules.row(worker, job_id=_running(tx, now).get(worker.name), now=now)


def recent(tx: Transaction, now: datetime) -> tuple[Worker, ...]:
    """Return the workers that count as connected."""
    since = check_time("now", now) - timedelta(seconds=RECENT_SECONDS)
    statement = select(Workers.document).where(Workers.last_seen_at >= since).order_by(Workers.name)
    return tuple(tx.connection.execute(statement).scalars())


def _running(tx: Transaction, now: datetime) -> dict[str, str]:
    """Return the job that each worker runs, by the worker's name: one whose lease ran out runs none."""
    held = select(Jobs.document).where(Jobs.state == JobState.LEASED.value, Jobs.lease_expires_at > now)
    return {job.current.worker: job.id for job in tx.connection.execute(held).scalars() if job.current}


def _get(tx: Transaction, name: str) -> Worker | None:
    return tx.connection.execute(select(Workers.document).where(Workers.name == name)).scalar_one_or_none()


def _seen(tx: WriteTransaction, known: Worker, changed: Worker, now: datetime) -> Worker:
    if changed == known and now - known.last_seen_at < timedelta(seconds=AGED_SECONDS):
        return known
    # Another transaction may ask the worker to drain at the same time: that is not written over.
    locked = select(Workers.document).where(Workers.name == known.name).with_for_update()
    stored = tx.connection.execute(locked).scalar_one_or_none()
    worker = msgspec.structs.replace(
        changed,
        last_seen_at=max(now, known.last_seen_at),
        drain_asked=changed.drain_asked if stored is None else stored.drain_asked,
    )
    _store(tx, worker)
    return worker


def _store(tx: WriteTransaction, worker: Worker) -> None:
    tx.connection.execute(
        update(Workers)
        .where(Workers.name == worker.name)
        .values(last_seen_at=worker.last_seen_at, document=worker)
    )
