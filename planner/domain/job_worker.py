"""Workers as a server knows them, and what a queued job waits for that none of them states."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from planner.domain.job import Job, JobKind, JobState, Unmatched
from planner.domain.job_requirement import unmet

RECENT_SECONDS: Final = 120.0
"""A worker that was heard of within this time counts as connected; an idle one asks every few seconds."""
KEPT_SECONDS: Final = 30 * 86_400.0
"""How long a worker that is gone stays listed."""


class WorkerState(StrEnum):
    """What a worker is up to, as far as the server has heard."""

    IDLE = "idle"
    WORKING = "working"
    DRAINING = "draining"
    AWAY = "away"


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker by its name: what it states, and when it was heard of."""

    name: str
    capabilities: tuple[str, ...]
    kinds: tuple[JobKind, ...]
    """Kinds of job it takes; empty takes any."""
    first_seen_at: datetime
    last_seen_at: datetime
    draining: bool = False
    """It says that it takes no more jobs."""
    drain_asked: bool = False
    """It was told to take no more jobs, until it is resumed."""

    def is_recent(self, now: datetime) -> bool:
        """Return whether it counts as connected."""
        return now - self.last_seen_at <= timedelta(seconds=RECENT_SECONDS)

    def takes_jobs(self, now: datetime) -> bool:
        """Return whether it is connected and not draining."""
        return self.is_recent(now) and not self.draining and not self.drain_asked

    def takes_kind(self, kind: JobKind) -> bool:
        """Return whether it takes jobs of this kind."""
        return not self.kinds or kind in self.kinds


class WorkerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as it is listed: with its state and the job it runs."""

    worker: Worker
    state: WorkerState
    job_id: str | None = None


def row(worker: Worker, *, job_id: str | None, now: datetime) -> WorkerRow:
    """Return the worker with its state; `job_id` is the job whose lease it holds."""
    if worker.draining or worker.drain_asked:
        state = WorkerState.DRAINING if job_id or worker.is_recent(now) else WorkerState.AWAY
    elif job_id:
        state = WorkerState.WORKING
    else:
        state = WorkerState.IDLE if worker.is_recent(now) else WorkerState.AWAY
    return WorkerRow(worker=worker, state=state, job_id=job_id)


def unmatched(job: Job, workers: Collection[Worker], *, now: datetime) -> Unmatched | None:
    """Return what keeps a queued job from every worker seen recently; None when one could take it, or it is not queued."""
    if job.state is not JobState.QUEUED:
        return None
    wanted = job.requirements
    within = f"seen in the last {RECENT_SECONDS / 60:.0f} minutes"
    here = [worker for worker in workers if worker.takes_jobs(now)]
    if not here:
        return Unmatched(requirements=wanted, message=f"no worker was {within}")
    of_kind = [worker for worker in here if worker.takes_kind(job.kind)]
    if not of_kind:
        return Unmatched(requirements=wanted, message=f"no worker {within} takes {job.kind.value} jobs")
    missing = [unmet(wanted, frozenset(worker.capabilities)) for worker in of_kind]
    if not all(missing):
        return None
    nowhere = tuple(text for text in wanted if all(text in each for each in missing))
    if nowhere:
        return Unmatched(requirements=nowhere, message=f"no worker {within} meets {', '.join(nowhere)}")
    nearest = min(missing, key=len)
    return Unmatched(
        requirements=nearest,
        message=f"no single worker {within} meets every requirement; the nearest one lacks {', '.join(nearest)}",
    )
