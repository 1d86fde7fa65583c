"""Jobs and their lease rules.

             lease                    complete
    QUEUED ─────────▶ LEASED ───────────────────▶ SUCCEEDED
      ▲  │               │  fail, not retryable or no attempts left
      │  │ cancel        ├──────────────────────▶ FAILED
      │  └──▶ CANCELLED ◀┤ cancel
      ├──────────────────┤ fail, retryable, or the lease expires with attempts left
      │                  │ the same end on two workers
      └───── PARKED ◀────┘
       release  └──▶ CANCELLED

Every lease carries a token (a fencing number): a write with an old token is refused, so a worker that was thought lost
cannot write over its successor. A retry is a new attempt; the old one is kept. A job that ends two different workers in
the same way is suspected of killing whatever runs it: it is parked with its evidence until somebody releases it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec

from planner.domain.job_requirement import unmet

LEASE_SECONDS: Final = 60.0
"""How long a lease lasts without a heartbeat."""
HEARTBEAT_SECONDS: Final = 15.0
"""How often the server asks to hear from a worker: four chances before a lease expires."""
MAX_ATTEMPTS: Final = 3
ELSEWHERE_SECONDS: Final = 30.0
"""How long after a failed attempt the job is kept for other workers than the one that failed."""
MAX_RETURNS: Final = 100
"""How often a job may be given back unfinished, which counts as no attempt, before it fails."""


class JobState(StrEnum):
    """Where a job is in its life. A parked one waits for a person."""

    QUEUED = "queued"
    LEASED = "leased"
    PARKED = "parked"
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
    GIVEN_BACK = "given_back"
    """The worker was asked to end and returned the job: nobody's failure."""
    OOM_DEVICE = "oom_device"
    OOM_HOST = "oom_host"
    DISK_FULL = "disk_full"
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
        """True when another attempt can end differently on the same kind of device."""
        return self in {
            FailureReason.WORKER_LOST,
            FailureReason.GIVEN_BACK,
            FailureReason.OOM_HOST,
            FailureReason.DISK_FULL,
            FailureReason.TAINTED_MEASUREMENT,
            FailureReason.NETWORK,
            FailureReason.CRASHED,
            FailureReason.TIMEOUT,
        }

    @property
    def is_of_the_device(self) -> bool:
        """True when the same would happen again on every device of the kind, but perhaps not on another kind."""
        return self in {FailureReason.OOM_DEVICE, FailureReason.KERNEL_UNSUPPORTED}

    @property
    def takes_the_worker(self) -> bool:
        """True when the attempt may have ended the worker, or would have without its child process."""
        return self in {FailureReason.WORKER_LOST, FailureReason.CRASHED, FailureReason.OOM_HOST}


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

    @property
    def signature(self) -> str:
        """What two failures have in common when they are the same one: reason and message without their numbers."""
        return f"{self.reason.value}: {_NUMBERS.sub('#', self.message)}"


_NUMBERS: Final = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?")


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
    device: str | None = None
    """The kind of device, as the worker stated it, such as "device:h200-sxm"."""
    draining: bool = False
    """The worker had been asked to end, so that its silence says nothing about the job."""

    @property
    def counts(self) -> bool:
        """False for an attempt that was given back, which uses up none of the job's."""
        return self.failure is None or self.failure.reason is not FailureReason.GIVEN_BACK


class Unmatched(msgspec.Struct, frozen=True, kw_only=True):
    """Why no worker will take a queued job as things are: the requirements that none states, and a sentence."""

    requirements: tuple[str, ...]
    message: str


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A unit of work for a worker. `job_spec` checks the shape of `spec`; the worker's structs check the rest."""

    id: str
    kind: JobKind
    spec: dict[str, Any]
    state: JobState = JobState.QUEUED
    requires: tuple[str, ...] = ()
    """What a worker must state to be given this job, such as "cuda" or "vram>=24GiB"; see `job_requirement`."""
    attempts: tuple[Attempt, ...] = ()
    max_attempts: int = MAX_ATTEMPTS
    lease_expires_at: datetime | None = None
    result: dict[str, Any] | None = None
    created_at: datetime | None = None
    parked_because: str | None = None
    """Which workers the job ended, and how; None unless it is parked."""
    forgiven: int = 0
    """How many attempts, from the first one, stopped counting when the job was released."""
    unmatched: Unmatched | None = None
    """Computed when a queued job is read, from the workers seen recently; never stored."""

    @property
    def current(self) -> Attempt | None:
        """The attempt that holds the lease, if any."""
        return self.attempts[-1] if self.attempts and self.state is JobState.LEASED else None

    @property
    def judged(self) -> tuple[Attempt, ...]:
        """The attempts that count."""
        return tuple(attempt for attempt in self.attempts[self.forgiven :] if attempt.counts)

    @property
    def requirements(self) -> tuple[str, ...]:
        """What is required of a worker now: as asked, and to be none of the kinds of device where the job cannot run."""
        failed = (
            attempt.device
            for attempt in self.judged
            if attempt.device and attempt.failure and attempt.failure.reason.is_of_the_device
        )
        return (*self.requires, *dict.fromkeys(f"!{device}" for device in failed))

    @property
    def kept_from(self) -> tuple[str, datetime] | None:
        """The worker whose attempt failed last and the time until which others come first; None without one."""
        last = self.attempts[-1] if self.state is JobState.QUEUED and self.attempts else None
        if last is None or last.ended_at is None or not last.counts or len(self.attempts) == self.forgiven:
            return None
        return last.worker, last.ended_at + timedelta(seconds=ELSEWHERE_SECONDS)


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker gets: the job, its fencing token, and when and how often to report.

    `lease_seconds` is how long the lease lasts from each report on, so that a worker needs no clock that agrees.
    """

    job: Job
    token: int
    expires_at: datetime
    heartbeat_seconds: float
    lease_seconds: float = LEASE_SECONDS


def device_of(capabilities: AbstractSet[str]) -> str | None:
    """Return the kind of device of a worker with these capabilities: a GPU's before the processor's."""
    stated = sorted(word for word in capabilities if word.startswith("device:"))
    return next(
        (word for word in stated if not word.startswith("device:cpu:")), stated[0] if stated else None
    )


def can_lease(
    job: Job, capabilities: AbstractSet[str], *, worker: str | None = None, now: datetime | None = None
) -> bool:
    """Return whether a worker with these capabilities may take the job; with `worker` and `now`, whether it may now."""
    kept = job.kept_from
    if kept is not None and now is not None and kept[0] == worker and now < kept[1]:
        return False
    return job.state is JobState.QUEUED and not unmet(job.requirements, capabilities)


def lease(job: Job, *, worker: str, token: int, now: datetime, device: str | None = None) -> Job:
    """Return the job leased to `worker`. The caller has checked `can_lease`."""
    attempt = Attempt(number=len(job.attempts) + 1, worker=worker, token=token, started_at=now, device=device)
    return msgspec.structs.replace(
        job,
        state=JobState.LEASED,
        attempts=(*job.attempts, attempt),
        lease_expires_at=now + timedelta(seconds=LEASE_SECONDS),
    )


def holds_lease(job: Job, token: int) -> bool:
    """Return whether `token` is the one that may write to the job now."""
    return job.current is not None and job.current.token == token


def renew(
    job: Job, *, now: datetime, progress: float | None, message: str | None, draining: bool = False
) -> Job:
    """Return the job with its lease extended and the attempt's progress noted."""
    attempt = msgspec.structs.replace(job.attempts[-1], progress=progress, message=message, draining=draining)
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


def fail(job: Job, *, failure: Failure, now: datetime, others: Iterable[AbstractSet[str]] = ()) -> Job:
    """Return the job after a failed attempt.

    Parked when it ended two workers in the same way. Queued again when attempts are left and another one can end
    differently: anywhere, or, for what lies in the kind of device, on one of `others`, the capabilities of connected
    workers that take such jobs. Else failed.
    """
    attempt = msgspec.structs.replace(job.attempts[-1], ended_at=now, failure=failure)
    tried = msgspec.structs.replace(
        job, attempts=(*job.attempts[:-1], attempt), state=JobState.FAILED, lease_expires_at=None
    )
    because = _poison(tried)
    if because is not None:
        return msgspec.structs.replace(tried, state=JobState.PARKED, parked_because=because)
    if not attempt.counts:
        returned = sum(not each.counts for each in tried.attempts)
        again = returned < MAX_RETURNS
    elif len(tried.judged) >= job.max_attempts:
        again = False
    elif failure.reason.is_of_the_device:
        again = attempt.device is not None and any(
            not unmet(tried.requirements, capabilities) for capabilities in others
        )
    else:
        again = failure.reason.is_retryable
    return msgspec.structs.replace(tried, state=JobState.QUEUED) if again else tried


def _poison(job: Job) -> str | None:
    """Return why the job must be suspected of ending its workers, None when it need not."""
    last = job.attempts[-1]
    if last.failure is None or not last.failure.reason.takes_the_worker or last.draining:
        return None
    signature = last.failure.signature
    for earlier in job.judged[:-1]:
        alike = earlier.failure is not None and earlier.failure.signature == signature
        if alike and earlier.worker != last.worker and not earlier.draining:
            return (
                f"attempts {earlier.number} on {earlier.worker} and {last.number} on {last.worker} ended alike: "
                f"{last.failure.reason.value}, {last.failure.message}"
            )
    return None


def expire(job: Job, *, now: datetime, log_tail: str | None = None) -> Job:
    """Return the job with its lost attempt recorded, when its lease has run out; otherwise unchanged."""
    if job.state is not JobState.LEASED or job.lease_expires_at is None or job.lease_expires_at > now:
        return job
    return fail(
        job,
        failure=Failure(
            reason=FailureReason.WORKER_LOST,
            message="no heartbeat before the lease expired",
            log_tail=log_tail,
        ),
        now=now,
    )


def release(job: Job) -> Job:
    """Return a parked job queued again, as if its attempts so far had not been. The caller has checked the state."""
    return msgspec.structs.replace(
        job, state=JobState.QUEUED, parked_because=None, forgiven=len(job.attempts)
    )


def cancel(job: Job, *, now: datetime) -> Job:
    """Return the job cancelled; a final job is returned unchanged."""
    if job.state.is_final:
        return job
    attempts = job.attempts
    if job.current is not None:
        attempts = (*attempts[:-1], msgspec.structs.replace(attempts[-1], ended_at=now, message="cancelled"))
    return msgspec.structs.replace(job, state=JobState.CANCELLED, attempts=attempts, lease_expires_at=None)
