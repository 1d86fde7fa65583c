"""Jobs: queued, leased to workers, kept alive, ended."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from planner.domain.job import Failure, Job, JobKind, JobState, Lease
from planner.domain.job_spec import check_spec
from planner.domain.listing import Page
from planner.errors import InvalidInput
from planner.registry import jobs
from planner.wire.page import DEFAULT_LIMIT
from planner.wire.requests import JobRequest
from planner.workspace.identifiers import new_id
from planner.workspace.opened import Opened

MAX_SPEC_BYTES: Final = 256 * 1024
MAX_CAPABILITIES: Final = 256


class Working(Opened):
    """Implements `planner.wire.service.Working`."""

    def create_job(self, request: JobRequest) -> Job:
        """Queue a job. Raises InvalidInput naming the field of a specification that no worker could do."""
        _check_request(request)
        job = Job(
            id=new_id(),
            kind=request.kind,
            spec=request.spec,
            requires=tuple(dict.fromkeys(request.requires)),
            max_attempts=request.max_attempts,
            created_at=self.now(),
        )
        with self.registry.write() as tx:
            jobs.create(tx, job)
        return job

    def jobs(
        self,
        *,
        state: JobState | None = None,
        kind: JobKind | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[Job]:
        """Return jobs, newest first."""
        with self.registry.read() as tx:
            return jobs.page(tx, state=state, kind=kind, limit=limit, cursor=cursor)

    def job(self, job_id: str) -> Job:
        """Return a job."""
        with self.registry.read() as tx:
            return jobs.get(tx, job_id)

    def lease(
        self, *, worker: str, capabilities: frozenset[str] = frozenset(), kinds: tuple[JobKind, ...] = ()
    ) -> Lease | None:
        """Give `worker` the oldest job it can do, after taking back leases that ran out."""
        if len(capabilities) > MAX_CAPABILITIES:
            raise InvalidInput(
                "capabilities", f"{len(capabilities)} are too many", allowed=f"at most {MAX_CAPABILITIES}"
            )
        with self.registry.write() as tx:
            return jobs.lease(
                tx,
                worker=worker,
                capabilities=capabilities,
                kinds=frozenset(kinds) if kinds else None,
                now=self.now(),
            )

    def heartbeat(
        self, job_id: str, *, token: int, progress: float | None = None, message: str | None = None
    ) -> Job:
        """Extend a lease."""
        with self.registry.write() as tx:
            return jobs.heartbeat(tx, job_id, token=token, progress=progress, message=message, now=self.now())

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


def _check_request(request: JobRequest) -> None:
    if not request.spec:
        raise InvalidInput("spec", "is empty", allowed="what the worker is to build, measure or evaluate")
    size = len(msgspec.json.encode(request.spec))
    if size > MAX_SPEC_BYTES:
        raise InvalidInput("spec", f"is {size} bytes long", allowed=f"at most {MAX_SPEC_BYTES} bytes")
    check_spec(request.kind, request.spec)
