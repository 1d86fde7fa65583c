"""Jobs and their lease rules.

             lease                    complete
    QUEUED ─────────▶ LEASED ───────────────────▶ SUCCEEDED
      ▲  │               │  fail, not retryable or no attempts left
      │  │ cancel        ├──────────────────────▶ FAILED
      │  └──▶ CANCELLED ◀┤ cancel
      └──────────────────┘ fail, retryable, or the lease expires with attempts left

Every lease carries a token (a fencing number): a write with an old token is refused, so a worker that was thought lost
cannot write over its successor. A retry is a new attempt; the old one is kept.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec

LEASE_SECONDS: Final = 60.0
"""How long a lease lasts without a heartbeat."""
HEARTBEAT_SECONDS: Final = 15.0
"""How often the server asks to hear from a worker: four chances before a lease expires."""
MAX_ATTEMPTS: Final = 3


class JobState(StrEnum):
    """Where a job is in its life; the last three are final."""

    QUEUED = "queued"
    LEASED = "leased"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True when nothing can happen to the job any more."""
        return self in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}


class FailureReason(StrEnum):
    """Why an attempt ended without a result."""

    WORKER_LOST = "worker_lost"
    OOM_DEVICE = "oom_device"
    OOM_HOST = "oom_host"
    KERNEL_UNSUPPORTED = "kernel_unsupported"
    ARTIFACT_CORRUPT = "artifact_corrupt"
    RELOAD_MISMATCH = "reload_mismatch"
    INVALID_JOB = "invalid_job"
    TAINTED_MEASUREMENT = "tainted_measurement"
    NETWORK = "network"
    CRASHED = "crashed"
    TIMEOUT = "timeout"

    @property
    def is_retryable(self) -> bool:
        """True when another attempt can end differently; deterministic failures are never retried."""
        return self in {
            FailureReason.WORKER_LOST,
            FailureReason.TAINTED_MEASUREMENT,
            FailureReason.NETWORK,
            FailureReason.CRASHED,
            FailureReason.TIMEOUT,
        }


class JobKind(StrEnum):
    """What a worker is asked to do."""

    BUILD = "build"
    MEASURE = "measure"
    EVALUATE = "evaluate"


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A typed failure with the message and the end of the log."""

    reason: FailureReason
    message: str
    log_tail: str | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One try at a job by one worker."""

    number: int
    worker: str
    token: int
    started_at: datetime
    ended_at: datetime | None = None
    progress: float | None = None
    message: str | None = None
    failure: Failure | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A unit of work for a worker. `job_spec` checks the shape of `spec`; the worker's structs check the rest."""

    id: str
    kind: JobKind
    spec: dict[str, Any]
    state: JobState = JobState.QUEUED
    requires: tuple[str, ...] = ()
    """Capabilities a worker must state to be given this job, such as "cuda" or "device:h200-sxm"."""
    attempts: tuple[Attempt, ...] = ()
    max_attempts: int = MAX_ATTEMPTS
    lease_expires_at: datetime | None = None
    result: dict[str, Any] | None = None
    created_at: datetime | None = None

    @property
    def current(self) -> Attempt | None:
        """The attempt that holds the lease, if any."""
        return self.attempts[-1] if self.attempts and self.state is JobState.LEASED else None


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker gets: the job, its fencing token, and when and how often to report."""

    job: Job
    token: int
    expires_at: datetime
    heartbeat_seconds: float


def can_lease(job: Job, capabilities: frozenset[str]) -> bool:
    """Return whether a worker with these capabilities may take the job."""
    return job.state is JobState.QUEUED and set(job.requires) <= capabilities


def lease(job: Job, *, worker: str, token: int, now: datetime) -> Job:
    """Return the job leased to `worker`. The caller has checked `can_lease`."""
    attempt = Attempt(number=len(job.attempts) + 1, worker=worker, token=token, started_at=now)
    return msgspec.structs.replace(
        job,
        state=JobState.LEASED,
        attempts=(*job.attempts, attempt),
        lease_expires_at=now + timedelta(seconds=LEASE_SECONDS),
    )


def holds_lease(job: Job, token: int) -> bool:
    """Return whether `token` is the one that may write to the job now."""
    return job.current is not None and job.current.token == token


def renew(job: Job, *, now: datetime, progress: float | None, message: str | None) -> Job:
    """Return the job with its lease extended and the attempt's progress noted."""
    attempt = msgspec.structs.replace(job.attempts[-1], progress=progress, message=message)
    return msgspec.structs.replace(
        job, attempts=(*job.attempts[:-1], attempt), lease_expires_at=now + timedelta(seconds=LEASE_SECONDS)
    )


def complete(job: Job, *, result: dict[str, Any], now: datetime) -> Job:
    """Return the job succeeded with `result`."""
    attempt = msgspec.structs.replace(job.attempts[-1], ended_at=now, progress=1.0)
    return msgspec.structs.replace(
        job,
        state=JobState.SUCCEEDED,
        attempts=(*job.attempts[:-1], attempt),
        result=result,
        lease_expires_at=None,
    )


def fail(job: Job, *, failure: Failure, now: datetime) -> Job:
    """Return the job after a failed attempt: queued again when that can help and attempts are left, else failed."""
    attempt = msgspec.structs.replace(job.attempts[-1], ended_at=now, failure=failure)
    again = failure.reason.is_retryable and len(job.attempts) < job.max_attempts
    return msgspec.structs.replace(
        job,
        state=JobState.QUEUED if again else JobState.FAILED,
        attempts=(*job.attempts[:-1], attempt),
        lease_expires_at=None,
    )


def expire(job: Job, *, now: datetime) -> Job:
    """Return the job with its lost attempt recorded, when its lease has run out; otherwise unchanged."""
    if job.state is not JobState.LEASED or job.lease_expires_at is None or job.lease_expires_at > now:
        return job
    return fail(
        job,
        failure=Failure(reason=FailureReason.WORKER_LOST, message="no heartbeat before the lease expired"),
        now=now,
    )


def cancel(job: Job, *, now: datetime) -> Job:
    """Return the job cancelled; a final job is returned unchanged."""
    if job.state.is_final:
        return job
    attempts = job.attempts
    if job.current is not None:
        attempts = (*attempts[:-1], msgspec.structs.replace(attempts[-1], ended_at=now, message="cancelled"))
    return msgspec.structs.replace(job, state=JobState.CANCELLED, attempts=attempts, lease_expires_at=None)
