"""The agent: leases jobs from a server, runs each in a child process, and hands results in.

    lease ─▶ run in a child ─▶ upload, register ─▶ complete
      │          │ heartbeats at the server's interval, from a thread
      │          ├ lease lost, job cancelled: the child is stopped, nothing is reported
      │          └ failed: the typed reason and the end of the log are reported
      └ none: wait and ask again

Asked to end (SIGTERM), it stops the child and gives the job back, so that another worker need not wait for the lease to
run out.
"""

from __future__ import annotations

import logging
import random
import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from planner.client import Client
from planner.domain.job import Failure, FailureReason, Job, JobKind, JobState, Lease
from planner.errors import LeaseLost, PlannerError, Unavailable
from worker.failure import JobStopped, failure_of
from worker.jobs import spec_of
from worker.runner import Runner
from worker.server import ServerFiles
from worker.sources import Resolver
from worker.submit import submit

IDLE_SECONDS: Final = 5.0
"""How long to wait when there is no job."""
_log = logging.getLogger("worker.agent")


class Agent:
    """Works off a server's jobs, one at a time. `capabilities` are what this machine states it can do."""

    def __init__(
        self,
        client: Client,
        *,
        name: str,
        capabilities: frozenset[str],
        work: Path,
        kinds: tuple[JobKind, ...] = (),
        idle_seconds: float = IDLE_SECONDS,
        allow_paths: bool = False,
    ) -> None:
        self._client = client
        self._name = name
        self._capabilities = capabilities
        self._kinds = kinds
        self._work = work
        self._idle = idle_seconds
        self._allow_paths = allow_paths
        self._ending = threading.Event()
        self._job_stop = threading.Event()

    def end(self) -> None:
        """Ask the agent to end: the job that runs is stopped and given back. Safe to call from a signal handler."""
        self._ending.set()
        self._job_stop.set()

    def run(self, *, once: bool = False) -> int:
        """Work until asked to end, or, with `once`, until one job is done or there is none. Returns jobs completed.

        Raises Unavailable with `once`; otherwise an unreachable server is waited for.
        """
        completed = 0
        while not self._ending.is_set():
            try:
                lease = self._client.lease(
                    worker=self._name, capabilities=self._capabilities, kinds=self._kinds
                )
            except Unavailable as error:
                if once:
                    raise
                _log.warning("%s; trying again", error)
                lease = None
            if lease is not None:
                completed += self._handle(lease)
            if once:
                break
            if lease is None:
                # Workers that idle together should not all ask at the same moment.
                self._ending.wait(self._idle * random.uniform(0.8, 1.2))  # noqa: S311  not for security
        return completed

    def _handle(self, lease: Lease) -> bool:
        """Run one leased job and report how it ended; True when it was completed."""
        job = lease.job
        _log.info("%s: %s job, attempt %d", job.id, job.kind.value, len(job.attempts))
        self._job_stop.clear()
        if self._ending.is_set():
            self._job_stop.set()
        out = self._work / "jobs" / f"{_file_name(job.id)}-{lease.token}"
        heart = _Heart(self._client, lease, self._job_stop)
        heart.start()
        try:
            result = self._perform(job, out, heart)
        except JobStopped:
            self._give_back(lease, heart)
            return False
        except LeaseLost as error:
            _log.warning("%s: %s", job.id, error)
            return False
        except Exception as error:  # noqa: BLE001  whatever it is, the server must hear of it
            _log.warning("%s: %s", job.id, error)
            self._fail(lease, failure_of(error))
            return False
        finally:
            heart.end()
            shutil.rmtree(out, ignore_errors=True)
        return self._complete(lease, result)

    def _perform(self, job: Job, out: Path, heart: _Heart) -> dict[str, Any]:
        resolver = Resolver(
            cache=self._work / "cache", files=ServerFiles(self._client), allow_paths=self._allow_paths
        )
        runner = Runner(resolver, stop=self._job_stop)
        result = runner.run(spec_of(job.kind, job.spec), out, report=heart.progress)
        if self._job_stop.is_set():
            raise JobStopped
        submit(self._client, out, result, report=heart.progress)
        content: dict[str, Any] = msgspec.to_builtins(result)
        return content

    def _complete(self, lease: Lease, result: dict[str, Any]) -> bool:
        try:
            self._client.complete(lease.job.id, token=lease.token, result=result)
        except PlannerError as error:
            _log.warning("%s: could not complete: %s", lease.job.id, error)
            return False
        _log.info("%s: completed", lease.job.id)
        return True

    def _give_back(self, lease: Lease, heart: _Heart) -> None:
        if heart.lost:
            _log.info("%s: stopped, %s", lease.job.id, heart.lost)
            return
        self._fail(lease, Failure(reason=FailureReason.WORKER_LOST, message="the worker was asked to end"))

    def _fail(self, lease: Lease, failure: Failure) -> None:
        try:
            self._client.fail(lease.job.id, token=lease.token, failure=failure)
        except PlannerError as error:
            _log.warning("%s: could not report the failure: %s", lease.job.id, error)
        else:
            _log.info("%s: failed, %s: %s", lease.job.id, failure.reason.value, failure.message)


class _Heart:
    """Tells the server, at its interval, that the job is alive; stops the job when the lease is no longer ours."""

    def __init__(self, client: Client, lease: Lease, stop: threading.Event) -> None:
        self._client = client
        self._lease = lease
        self._stop = stop
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._share: float | None = None
        self._message: str | None = None
        self._expires = lease.expires_at
        self.lost: str | None = None
        """Why the lease is gone; None while it is ours."""

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def progress(self, share: float, message: str) -> None:
        """Note how far the job is; the next beat carries it."""
        self._share, self._message = min(max(share, 0.0), 1.0), message[:500]

    def _beat(self) -> None:
        while not self._ended.wait(self._lease.heartbeat_seconds):
            try:
                job = self._client.heartbeat(
                    self._lease.job.id, token=self._lease.token, progress=self._share, message=self._message
                )
            except Unavailable:
                if datetime.now(UTC) > self._expires:
                    return self._lose("the server was away until the lease ran out")
            except PlannerError as error:
                return self._lose(error.message)
            else:
                if job.state is not JobState.LEASED:
                    return self._lose(f"the job is {job.state.value}")
                self._expires = job.lease_expires_at or self._expires
        return None

    def _lose(self, why: str) -> None:
        if not self._ended.is_set():
            self.lost = why
            self._stop.set()


def _file_name(job_id: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in job_id)[:80]
