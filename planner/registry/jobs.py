"""Jobs: leased to one worker at a time, in the order they came. The rules are `planner.domain.job`'s.

A lease is atomic: the job's row is locked (PostgreSQL) or the writer is alone (SQLite) while its state changes, and a
worker that finds a row locked takes the next one instead of waiting. Fencing tokens come from one growing counter.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import or_, select, update

from planner.domain import job as rules
from planner.domain.job import Failure, Job, JobKind, JobState, Lease
from planner.domain.job_log import LogChunk
from planner.domain.job_requirement import parse, unmet
from planner.domain.listing import Page
from planner.errors import Conflict, InvalidInput, LeaseLost, NotFound
from planner.registry import job_logs, workers
from planner.registry.checks import DEFAULT_LIMIT, check_document, check_id, check_name, check_time
from planner.registry.nearest import shortened
from planner.registry.pages import Keyset, fetch
from planner.registry.tables import Jobs
from planner.registry.transaction import Transaction, WriteTransaction

MAX_REQUIRES: Final = 16
MAX_ATTEMPTS: Final = 100


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
    for requirement in job.requires:
        parse(requirement, field="job.requires")
    if job.created_at is not None:
        check_time("job.created_at", job.created_at)
    check_document("job", job)
    row = {
        "id": job.id,
        "kind": job.kind.value,
        "state": job.state.value,
        "requires_key": _requires_key(job),
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
    take_back: bool = True,
) -> Lease | None:
    """Give `worker` the oldest queued job it can run, None when there is none.

    Leases that ran out are taken back first, unless `take_back` is False.
    """
    check_name("worker", worker)
    check_time("now", now)
    if take_back:
        expire(tx, now)
    waiting = select(Jobs.requires_key).where(Jobs.state == JobState.QUEUED.value).distinct()
    fitting = [
        key
        for key in tx.connection.execute(waiting).scalars()
        if not unmet(msgspec.json.decode(key, type=list[str]), capabilities)
    ]
    if not fitting:
        return None
    statement = select(Jobs.document).where(
        Jobs.state == JobState.QUEUED.value,
        Jobs.requires_key.in_(fitting),
        or_(Jobs.kept_until.is_(None), Jobs.kept_until <= now, Jobs.kept_from_worker != worker),
    )
    if kinds is not None:
        statement = statement.where(Jobs.kind.in_(sorted(kind.value for kind in kinds)))
    oldest = statement.order_by(Jobs.number).limit(1).with_for_update(skip_locked=True)
    job = tx.connection.execute(oldest).scalar_one_or_none()
    if job is None or not rules.can_lease(job, capabilities, worker=worker, now=now):
        return None
    token = tx.next_token()
    device = rules.device_of(capabilities)
    leased = _store(tx, rules.lease(job, worker=worker, token=token, now=now, device=device))
    return Lease(
        job=leased,
        token=token,
        expires_at=leased.lease_expires_at or now,
        heartbeat_seconds=rules.HEARTBEAT_SECONDS,
        lease_seconds=rules.LEASE_SECONDS,
    )


def heartbeat(
    tx: WriteTransaction,
    id_: str,
    *,
    token: int,
    progress: float | None = None,
    message: str | None = None,
    log: LogChunk | None = None,
    draining: bool = False,
    now: datetime,
) -> Job:
    """Extend the lease, note the progress (0 to 1) and keep what was printed. Raises NotFound, LeaseLost, InvalidInput."""
    if progress is not None and not 0 <= progress <= 1:
        raise InvalidInput("progress", f"{progress} is out of range", allowed="0 to 1")
    check_document("heartbeat", {"message": message})
    job = _held(tx, id_, token)
    renewed = rules.renew(
        job, now=check_time("now", now), progress=progress, message=message, draining=draining
    )
    if log is not None:
        job_logs.append(tx, id_, len(job.attempts), log)
    workers.seen(tx, job.attempts[-1].worker, draining=draining, now=now)
    return _store(tx, renewed)


def complete(tx: WriteTransaction, id_: str, *, token: int, result: dict[str, Any], now: datetime) -> Job:
    """End the job with its result; saying so twice is harmless. Raises NotFound, LeaseLost, InvalidInput."""
    check_document("result", result)
    job = _locked(tx, id_)
    if job.state is JobState.SUCCEEDED and job.attempts[-1].token == token and job.result == result:
        return job
    _check_held(job, token)
    return _store(tx, rules.complete(job, result=result, now=check_time("now", now)))


def fail(tx: WriteTransaction, id_: str, *, token: int, failure: Failure, now: datetime) -> Job:
    """End the attempt: the job is queued again when that can help, parked when it looks like poison, otherwise failed.

    Saying so twice is harmless.

    Raises NotFound, LeaseLost, InvalidInput.
    """
    check_document("failure", failure)
    job = _locked(tx, id_)
    if any(attempt.token == token and attempt.failure == failure for attempt in job.attempts):
        return job
    _check_held(job, token)
    others = (
        [frozenset(worker.capabilities) for worker in workers.recent(tx, now) if worker.takes_kind(job.kind)]
        if failure.reason.is_of_the_device
        else []
    )
    return _store(tx, rules.fail(job, failure=failure, now=check_time("now", now), others=others))


def release(tx: WriteTransaction, id_: str) -> Job:
    """Queue a parked job again. Raises NotFound, and Conflict when it is not parked."""
    job = _locked(tx, id_)
    if job.state is not JobState.PARKED:
        raise Conflict(f"job `{job.id}` is {job.state.value}, not parked", state=job.state.value)
    return _store(tx, rules.release(job))


def check_held(tx: Transaction, id_: str, *, token: int) -> None:
    """Raise NotFound or LeaseLost unless `token` holds the job's lease."""
    _check_held(get(tx, id_), token)


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
        log_tail = job_logs.tail(tx, job.id, len(job.attempts))
        _store(tx, rules.expire(job, now=now, log_tail=log_tail))
    return len(lost)


def has_overdue(tx: Transaction, before: datetime) -> bool:
    """Return whether a lease ran out at `before` or earlier and was not taken back."""
    statement = select(Jobs.number).where(
        Jobs.state == JobState.LEASED.value, Jobs.lease_expires_at <= check_time("before", before)
    )
    return tx.connection.execute(statement.limit(1)).first() is not None


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
    kept = job.kept_from
    tx.connection.execute(
        update(Jobs)
        .where(Jobs.id == job.id)
        .values(
            state=job.state.value,
            requires_key=_requires_key(job),
            lease_expires_at=job.lease_expires_at,
            kept_from_worker=kept[0] if kept else None,
            kept_until=kept[1] if kept else None,
            document=job,
        )
    )
    return job


def _requires_key(job: Job) -> str:
    return msgspec.json.encode(sorted(set(job.requirements))).decode()
