"""Jobs: leased to one worker at a time, in the order they came. The rules are `planner.domain.job`'s.

A lease is atomic: the job's row is locked (PostgreSQL) or the writer is alone (SQLite) while its state changes, and a
worker that finds a row locked takes the next one instead of waiting. Fencing tokens come from one growing counter.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import select, update

from planner.domain import job as rules
from planner.domain.job import Failure, Job, JobKind, JobState, Lease
from planner.domain.listing import Page
from planner.errors import Conflict, InvalidInput, LeaseLost, NotFound
from planner.registry.checks import DEFAULT_LIMIT, check_document, check_id, check_name, check_time
from planner.registry.nearest import shortened
from planner.registry.pages import Keyset, fetch
from planner.registry.tables import Jobs
from planner.registry.transaction import Transaction, WriteTransaction

MAX_REQUIRES: Final = 16
MAX_ATTEMPTS: Final = 100
_CAPABILITY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._+/-]{0,99}")


def create(tx: WriteTransaction, job: Job) -> bool:
    """Queue the job; return False when the same one was created before. Raises InvalidInput and Conflict."""
    check_id("job.id", job.id)
    if job.state is not JobState.QUEUED or job.attempts:
        raise InvalidInput("job.state", f"is {job.state.value}", allowed="queued, without attempts")
    if not 1 <= job.max_attempts <= MAX_ATTEMPTS:
        raise InvalidInput(
            "job.max_attempts", f"{job.max_attempts} is out of range", allowed=f"1 to {MAX_ATTEMPTS}"
        )
    if len(job.requires) > MAX_REQUIRES:
        raise InvalidInput("job.requires", f"holds {len(job.requires)}", allowed=f"at most {MAX_REQUIRES}")
    for capability in job.requires:
        if _CAPABILITY.fullmatch(capability) is None:
            raise InvalidInput(
                "job.requires",
                f"{capability[:80]!r} is not a capability",
                allowed="1 to 100 letters, digits and : . _ + / -",
            )
    if job.created_at is not None:
        check_time("job.created_at", job.created_at)
    check_document("job", job)
    row = {
        "id": job.id,
        "kind": job.kind.value,
        "state": job.state.value,
        "requires_key": msgspec.json.encode(sorted(set(job.requires))).decode(),
        "document": job,
    }
    if tx.insert_new(Jobs, row):
        return True
    before = get(tx, job.id)
    if any(getattr(before, field) != getattr(job, field) for field in ("kind", "spec", "requires")):
        raise Conflict(f"job `{job.id}` exists with another kind, spec or requirements")
    return False


def get(tx: Transaction, id_: str) -> Job:
    """Return the job with this id. Raises NotFound."""
    check_id("job", id_)
    job = tx.connection.execute(select(Jobs.document).where(Jobs.id == id_)).scalar_one_or_none()
    if job is None:
        raise NotFound("job", shortened(id_))
    return job


def page(
    tx: Transaction,
    *,
    state: JobState | None = None,
    kind: JobKind | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[Job]:
    """Return jobs, the newest first, in one state and of one kind where these are given. Raises InvalidInput."""
    statement = select(Jobs.document)
    if state is not None:
        statement = statement.where(Jobs.state == state.value)
    if kind is not None:
        statement = statement.where(Jobs.kind == kind.value)
    keyset = Keyset(Jobs.number, Jobs.id, type_=int, scope=("jobs", state, kind), descending=True)
    return fetch(tx, statement, keyset, lambda row: row.document, limit=limit, cursor=cursor)


def lease(
    tx: WriteTransaction,
    *,
    worker: str,
    capabilities: AbstractSet[str],
    kinds: AbstractSet[JobKind] | None = None,
    now: datetime,
) -> Lease | None:
    """Give `worker` the oldest queued job it can run, None when there is none. Lost leases are queued again first."""
    check_name("worker", worker)
    check_time("now", now)
    expire(tx, now)
    waiting = select(Jobs.requires_key).where(Jobs.state == JobState.QUEUED.value).distinct()
    fitting = [
        key
        for key in tx.connection.execute(waiting).scalars()
        if set(msgspec.json.decode(key, type=list[str])) <= capabilities
    ]
    if not fitting:
        return None
    statement = select(Jobs.document).where(
        Jobs.state == JobState.QUEUED.value, Jobs.requires_key.in_(fitting)
    )
    if kinds is not None:
        statement = statement.where(Jobs.kind.in_(sorted(kind.value for kind in kinds)))
    oldest = statement.order_by(Jobs.number).limit(1).with_for_update(skip_locked=True)
    job = tx.connection.execute(oldest).scalar_one_or_none()
    if job is None or not rules.can_lease(job, frozenset(capabilities)):
        return None
    token = tx.next_token()
    leased = _store(tx, rules.lease(job, worker=worker, token=token, now=now))
    expires_at = leased.lease_expires_at or now
    return Lease(job=leased, token=token, expires_at=expires_at, heartbeat_seconds=rules.HEARTBEAT_SECONDS)


def heartbeat(
    tx: WriteTransaction,
    id_: str,
    *,
    token: int,
    progress: float | None = None,
    message: str | None = None,
    now: datetime,
) -> Job:
    """Extend the lease and note the progress (0 to 1). Raises NotFound, LeaseLost, InvalidInput."""
    if progress is not None and not 0 <= progress <= 1:
        raise InvalidInput("progress", f"{progress} is out of range", allowed="0 to 1")
    check_document("heartbeat", {"message": message})
    job = _held(tx, id_, token)
    return _store(tx, rules.renew(job, now=check_time("now", now), progress=progress, message=message))


def complete(tx: WriteTransaction, id_: str, *, token: int, result: dict[str, Any], now: datetime) -> Job:
    """End the job with its result; saying so twice is harmless. Raises NotFound, LeaseLost, InvalidInput."""
    check_document("result", result)
    job = _locked(tx, id_)
    if job.state is JobState.SUCCEEDED and job.attempts[-1].token == token and job.result == result:
        return job
    _check_held(job, token)
    return _store(tx, rules.complete(job, result=result, now=check_time("now", now)))


def fail(tx: WriteTransaction, id_: str, *, token: int, failure: Failure, now: datetime) -> Job:
    """End the attempt: the job is queued again when that can help, otherwise failed. Saying so twice is harmless.

    Raises NotFound, LeaseLost, InvalidInput.
    """
    check_document("failure", failure)
    job = _locked(tx, id_)
    if any(attempt.token == token and attempt.failure == failure for attempt in job.attempts):
        return job
    _check_held(job, token)
    return _store(tx, rules.fail(job, failure=failure, now=check_time("now", now)))


def cancel(tx: WriteTransaction, id_: str, now: datetime) -> Job:
    """Cancel the job; one that has ended stays as it is. Raises NotFound."""
    job = _locked(tx, id_)
    cancelled = rules.cancel(job, now=check_time("now", now))
    return job if cancelled is job else _store(tx, cancelled)


def expire(tx: WriteTransaction, now: datetime) -> int:
    """Take back every lease that has run out; return how many."""
    statement = (
        select(Jobs.document)
        .where(Jobs.state == JobState.LEASED.value, Jobs.lease_expires_at <= check_time("now", now))
        .order_by(Jobs.number)
        .with_for_update(skip_locked=True)
    )
    lost = tx.connection.execute(statement).scalars().all()
    for job in lost:
        _store(tx, rules.expire(job, now=now))
    return len(lost)


def _locked(tx: WriteTransaction, id_: str) -> Job:
    """Return the job, which no other transaction changes until this one ends."""
    statement = select(Jobs.document).where(Jobs.id == check_id("job", id_)).with_for_update()
    job = tx.connection.execute(statement).scalar_one_or_none()
    if job is None:
        raise NotFound("job", shortened(id_))
    return job


def _held(tx: WriteTransaction, id_: str, token: int) -> Job:
    job = _locked(tx, id_)
    _check_held(job, token)
    return job


def _check_held(job: Job, token: int) -> None:
    if not rules.holds_lease(job, token):
        raise LeaseLost(
            f"token {token} does not hold job `{job.id}`, which is {job.state.value}",
            job=job.id,
            state=job.state.value,
        )


def _store(tx: WriteTransaction, job: Job) -> Job:
    tx.connection.execute(
        update(Jobs)
        .where(Jobs.id == job.id)
        .values(state=job.state.value, lease_expires_at=job.lease_expires_at, document=job)
    )
    return job
