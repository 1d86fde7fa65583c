"""The agent: leases jobs from a server, runs each in a child process, and hands results in.

    lease ─▶ run in a child ─▶ upload, register ─▶ complete
      │          │ signs of life with progress and log, from a thread, until the end is reported
      │          ├ lease lost, job cancelled: the child is stopped, nothing is reported
      │          └ failed: the typed reason and the end of the log are reported
      ├ none: wait and ask again
      └ told to drain: end

Asked once to end (SIGTERM), it drains: the running job is finished and no other is taken. Asked twice, it stops the child
and gives the job back, so that another worker need not wait for the lease to run out.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from planner.client import Client
from planner.domain.job import Failure, FailureReason, Job, JobKind, Lease
from planner.errors import Draining, LeaseLost, OutOfSpace, PlannerError, Unavailable
from worker.failure import JobStopped, failure_of
from worker.heartbeat import Heartbeat
from worker.job_folders import job_folder, sweep
from worker.jobs import spec_of
from worker.runner import LOG_FILE, Runner
from worker.server import ServerFiles
from worker.sources import Resolver
from worker.submit import submit

T = TypeVar("T")

IDLE_SECONDS: Final = 5.0
"""How long to wait when there is no job."""
LONGEST_PAUSE_SECONDS: Final = 15.0
"""Between tries to reach a server that is away."""
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
        self._draining = threading.Event()
        self._ending = threading.Event()
        self._job_stop = threading.Event()
        self._heart: Heartbeat | None = None

    def drain(self) -> None:
        """Ask the agent to finish the job that runs and take no more. Safe to call from a signal handler."""
        self._draining.set()
        if self._heart is not None:
            self._heart.beat_soon()

    def end(self) -> None:
        """Ask the agent to end now: the job that runs is stopped and given back. Safe to call from a signal handler."""
        self._ending.set()
        self._job_stop.set()
        self.drain()

    def drain_or_end(self) -> None:
        """Drain when asked for the first time, end when asked again."""
        if self._draining.is_set():
            _log.info("asked again to end: the job is given back")
            self.end()
        else:
            _log.info("asked to end: finishing the job that runs; asked again, it is given back")
            self.drain()

    def run(self, *, once: bool = False) -> int:
        """Work until asked to end, or, with `once`, until one job is done or there is none. Returns jobs completed.

        Raises Unavailable with `once`; otherwise an unreachable server is waited for.
        """
        swept = sweep(self._work)
        if swept:
            _log.info("removed %d folders of jobs that were cut short", swept)
        completed = 0
        while not self._draining.is_set():
            try:
                lease = self._client.lease(
                    worker=self._name, capabilities=self._capabilities, kinds=self._kinds
                )
            except Draining as error:
                _log.info("%s", error)
                break
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
                self._draining.wait(self._idle * random.uniform(0.8, 1.2))  # noqa: S311  not for security
        return completed

    def _handle(self, lease: Lease) -> bool:
        """Run one leased job and report how it ended; True when it was completed."""
        job = lease.job
        _log.info("%s: %s job, attempt %d", job.id, job.kind.value, len(job.attempts))
        self._job_stop.clear()
        if self._ending.is_set():
            self._job_stop.set()
        try:
            with job_folder(self._work, f"{job.id}-{lease.token}") as out:
                return self._run(lease, out)
        except OSError as error:  # no room even for the folder
            self._fail(lease, failure_of(error))
            return False

    def _run(self, lease: Lease, out: Path) -> bool:
        job = lease.job
        heart = Heartbeat(self._client, lease, self._job_stop, out / LOG_FILE, draining=self._draining)
        self._heart = heart
        heart.start()
        try:
            result = self._perform(lease, out, heart)
            heart.flush()
            self._keep_trying(heart, lambda: self._client.complete(job.id, token=lease.token, result=result))
        except JobStopped:
            self._give_back(lease, heart)
        except LeaseLost as error:
            _log.warning("%s: %s", job.id, error)
        except Exception as error:  # noqa: BLE001  whatever it is, the server must hear of it
            heart.flush()
            if heart.lost is None:
                self._fail(lease, failure_of(error), heart=heart)
        else:
            _log.info("%s: completed", job.id)
            return True
        finally:
            self._heart = None
            heart.end()
        return False

    def _perform(self, lease: Lease, out: Path, heart: Heartbeat) -> dict[str, Any]:
        """Do the job and hand in what came of it; returns the result for the job."""
        job: Job = lease.job
        resolver = Resolver(
            cache=self._work / "cache", files=ServerFiles(self._client), allow_paths=self._allow_paths
        )
        runner = Runner(resolver, stop=self._job_stop)
        result = runner.run(spec_of(job.kind, job.spec), out, report=heart.progress)
        # Whoever lost the lease while it computed must add nothing: asked now, and again by the server at every write.
        if not self._keep_trying(heart, heart.check):
            raise JobStopped
        with self._client.under_lease(job.id, token=lease.token) as client:
            self._keep_trying(heart, lambda: submit(client, out, result, report=heart.progress))
        content: dict[str, Any] = msgspec.to_builtins(result)
        return content

    def _keep_trying(self, heart: Heartbeat, action: Callable[[], T]) -> T:
        """Return what `action` does, tried again while the server is away and the lease can be ours.

        Raises JobStopped when the job is to stop, Unavailable when the server stayed away too long.
        """
        pause = 0.2
        while True:
            if self._job_stop.is_set():
                raise JobStopped
            try:
                return action()
            except OutOfSpace:
                raise
            except Unavailable as error:
                if not heart.is_held():
                    raise
                _log.warning("%s; trying again", error)
                self._job_stop.wait(pause * random.uniform(0.8, 1.2))  # noqa: S311  not for security
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _give_back(self, lease: Lease, heart: Heartbeat) -> None:
        if heart.lost:
            _log.info("%s: stopped, %s", lease.job.id, heart.lost)
            return
        self._fail(lease, Failure(reason=FailureReason.GIVEN_BACK, message="the worker was asked to end"))

    def _fail(self, lease: Lease, failure: Failure, *, heart: Heartbeat | None = None) -> None:
        def report() -> Job:
            return self._client.fail(lease.job.id, token=lease.token, failure=failure)

        try:
            if heart is None:
                report()
            else:
                self._keep_trying(heart, report)
        except JobStopped:
            if heart is not None and heart.lost is None:  # asked to end meanwhile: one last try
                self._fail(lease, failure)
        except PlannerError as error:
            _log.warning("%s: could not report %s: %s", lease.job.id, failure.reason.value, error)
        else:
            _log.info("%s: failed, %s: %s", lease.job.id, failure.reason.value, failure.message)
