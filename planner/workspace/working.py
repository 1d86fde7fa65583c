"""Jobs: queued, leased to workers, kept alive, ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from planner.domain import job as rules
from planner.domain.job import Failure, Job, JobKind, JobState, Lease
from planner.domain.job_log import JobLog, LogChunk
from planner.domain.job_requirement import parse
from planner.domain.job_spec import check_spec
from planner.domain.job_worker import Worker, WorkerRow, unmatched
from planner.domain.listing import Page
from planner.errors import Draining, InvalidInput
from planner.registry import job_logs, jobs, workers
from planner.wire.page import DEFAULT_LIMIT
from planner.wire.requests import JobRequest
from planner.workspace.identifiers import new_id
from planner.workspace.opened import Opened

MAX_SPEC_BYTES: Final = 256 * 1024
MAX_CAPABILITIES: Final = 256


class Working(Opened):
    """Implements `planner.wire.service.Working`."""

    def create_job(self, request: JobRequest) -> Job:
        """Queue a job; it says what no worker seen recently meets. Raises InvalidInput naming the field of a specification that no worker could do."""
        _check_request(request)
        job = Job(
            id=new_id(),
            kind=request.kind,
            spec=request.spec,
            requires=tuple(dict.fromkeys(str(parse(text)) for text in request.requires)),
            max_attempts=request.max_attempts,
            created_at=self.now(),
        )
        with self.registry.write() as tx:
            jobs.create(tx, job)
            return _with_unmatched(job, workers.recent(tx, self.now()), self.now())

    def jobs(
        self,
        *,
        state: JobState | None = None,
        kind: JobKind | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[Job]:
        """Return jobs, newest first; a queued one says what no worker seen recently meets."""
        now = self.now()
        self._take_back_overdue(now)
        with self.registry.read() as tx:
            found = jobs.page(tx, state=state, kind=kind, limit=limit, cursor=cursor)
            seen = workers.recent(tx, now)
        items = tuple(_with_unmatched(job, seen, now) for job in found.items)
        return Page(items=items, next_cursor=found.next_cursor)

    def job(self, job_id: str) -> Job:
        """Return a job; a queued one says what no worker seen recently meets."""
        now = self.now()
        self._take_back_overdue(now)
        with self.registry.read() as tx:
            return _with_unmatched(jobs.get(tx, job_id), workers.recent(tx, now), now)

    def job_log(self, job_id: str, *, attempt: int | None = None, offset: int = 0) -> JobLog:
        """Return what an attempt, the last one unless given, printed from byte `offset` on."""
        with self.registry.read() as tx:
            return job_logs.read(tx, jobs.get(tx, job_id), attempt=attempt, offset=offset)

    def lease(
        self, *, worker: str, capabilities: frozenset[str] = frozenset(), kinds: tuple[JobKind, ...] = ()
    ) -> Lease | None:
        """Give `worker` the oldest job it can do, after taking back leases that ran out while their holders could report.

        Raises Draining when the worker was told to take no more.
        """
        if len(capabilities) > MAX_CAPABILITIES:
            raise InvalidInput(
                "capabilities", f"{len(capabilities)} are too many", allowed=f"at most {MAX_CAPABILITIES}"
            )
        now = self.now()
        with self.registry.write() as tx:
            told_to_drain = workers.is_told_to_drain(tx, worker)
            lease = None
            if not told_to_drain:
                lease = jobs.lease(
                    tx,
                    worker=worker,
                    capabilities=capabilities,
                    kinds=frozenset(kinds) if kinds else None,
                    now=now,
                    take_back=self._workers_could_report(now),
                )
            workers.hear(tx, worker, capabilities=capabilities, kinds=kinds, now=now)
        if told_to_drain:
            raise Draining(f"worker `{worker}` was told to take no more jobs", worker=worker)
        return lease

    def heartbeat(
        self,
        job_id: str,
        *,
        token: int,
        progress: float | None = None,
        message: str | None = None,
        log: LogChunk | None = None,
        draining: bool = False,
    ) -> Job:
        """Extend a lease, and keep what was printed."""
        with self.registry.write() as tx:
            return jobs.heartbeat(
                tx,
                job_id,
                token=token,
                progress=progress,
                message=message,
                log=log,
                draining=draining,
                now=self.now(),
            )

    def complete(self, job_id: str, *, token: int, result: dict[str, Any]) -> Job:
        """End a job with its result."""
        with self.registry.write() as tx:
            return jobs.complete(tx, job_id, token=token, result=result, now=self.now())

    def fail(self, job_id: str, *, token: int, failure: Failure) -> Job:
        """End an attempt without a result."""
        with self.registry.write() as tx:
            return jobs.fail(tx, job_id, token=token, failure=failure, now=self.now())

    def cancel(self, job_id: str) -> Job:
        """Cancel a job."""
        with self.registry.write() as tx:
            return jobs.cancel(tx, job_id, self.now())

    def release(self, job_id: str) -> Job:
        """Queue a parked job again."""
        with self.registry.write() as tx:
            return jobs.release(tx, job_id)

    def workers(self, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[WorkerRow]:
        """Return the workers that have asked for jobs, by name."""
        with self.registry.read() as tx:
            return workers.page(tx, now=self.now(), limit=limit, cursor=cursor)

    def drain(self, worker: str, *, resume: bool = False) -> WorkerRow:
        """Tell a worker to take no more jobs, or, with `resume`, to take jobs again."""
        with self.registry.write() as tx:
            told = workers.ask_to_drain(tx, worker, drain=not resume)
            return workers.row(tx, told, now=self.now())

    def _workers_could_report(self, now: datetime) -> bool:
        """Return whether this server was there for the time of a lease: before, silence is no sign of a dead worker."""
        return now - self.opened_at >= timedelta(seconds=rules.LEASE_SECONDS)

    def _take_back_overdue(self, now: datetime) -> None:
        """Take back leases that ran out a lease's time ago, although no worker has asked for a job since.

        Whoever looks at jobs sees what became of them; a holder that is only late is left time to be heard.
        """
        if not self._workers_could_report(now):
            return
        with self.registry.read() as tx:
            overdue = jobs.has_overdue(tx, now - timedelta(seconds=rules.LEASE_SECONDS))
        if overdue:
            with self.registry.write() as tx:
                jobs.expire(tx, now)


def _with_unmatched(job: Job, seen: tuple[Worker, ...], now: datetime) -> Job:
    missing = unmatched(job, seen, now=now)
    return job if missing is None else msgspec.structs.replace(job, unmatched=missing)


def _check_request(request: JobRequest) -> None:
    if not request.spec:
        raise InvalidInput("spec", "is empty", allowed="what the worker is to build, measure or evaluate")
    size = len(msgspec.json.encode(request.spec))
    if size > MAX_SPEC_BYTES:
        raise InvalidInput("spec", f"is {size} bytes long", allowed=f"at most {MAX_SPEC_BYTES} bytes")
    check_spec(request.kind, request.spec)
