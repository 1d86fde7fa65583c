"""The signs of life of one leased job: progress and log go with each, and the answer says whether the lease is ours.

A server that is away is no reason to drop work: nobody can be given the job meanwhile, and if somebody was, the next
answer says so. Only after a long silence is the job stopped. Time is measured on this machine's own steady clock, so
that a clock that is wrong ends no lease.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from pathlib import Path
from typing import Final

from planner.client import Client
from planner.domain.job import JobState, Lease
from planner.errors import PlannerError, Unavailable
from worker.log_feed import LogFeed

AWAY_SECONDS: Final = 600.0
"""How long after the lease has run out a job goes on while no server answers."""
SHIP_SECONDS: Final = 2.0
"""How soon after the last sign of life new lines of the log or progress are sent, without waiting for the next one."""
_log = logging.getLogger("worker.heartbeat")


class Heartbeat:
    """Keeps one lease alive from a thread; sets `stop` when the lease is lost. `log` is the file the job prints to."""

    def __init__(
        self, client: Client, lease: Lease, stop: threading.Event, log: Path, *, draining: threading.Event
    ) -> None:
        self._client = client
        self._lease = lease
        self._stop = stop
        self._draining = draining
        self._feed = LogFeed(log)
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._sending = threading.Lock()
        self._share: float | None = None
        self._message: str | None = None
        self._told: tuple[float | None, str | None] = (None, None)
        self._renewed = time.monotonic()
        self.lost: str | None = None
        """Why the lease is gone; None while it is ours."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Stop; the lease is left as it is."""
        self._ended.set()
        self._wake.set()
        self._thread.join()

    def progress(self, share: float, message: str) -> None:
        """Note how far the job is."""
        self._share, self._message = min(max(share, 0.0), 1.0), message[:500]

    def beat_soon(self) -> None:
        """Give a sign of life now: something changed that the server should know."""
        self._wake.set()

    def check(self) -> bool:
        """Ask the server whether the lease is ours, and return it. Raises Unavailable when none answers."""
        self._beat()
        return self.lost is None

    def flush(self) -> None:
        """Send what is left of the log, so that it is there before the end is reported."""
        with contextlib.suppress(Unavailable):
            while self.lost is None and self._feed.has_more():
                before = self._feed.next()
                self._beat()
                if before is None or self._feed.next() == before:
                    return

    def is_held(self) -> bool:
        """Return whether the lease can still be ours by this machine's clock."""
        return self.lost is None and self._silence() <= self._lease.lease_seconds + AWAY_SECONDS

    def _silence(self) -> float:
        return time.monotonic() - self._renewed

    def _run(self) -> None:
        last = time.monotonic()
        while not self._ended.is_set() and self.lost is None:
            self._wake.wait(min(SHIP_SECONDS, self._lease.heartbeat_seconds))
            if self._ended.is_set():
                return
            due = time.monotonic() - last >= self._lease.heartbeat_seconds
            if not (due or self._wake.is_set() or self._has_news()):
                continue
            self._wake.clear()
            try:
                self._beat()
            except Unavailable as error:
                # Tried again soon: when the server is back, the holder should be heard before others ask for the job.
                _log.warning("%s: %s", self._lease.job.id, error)
                if not self.is_held():
                    self._lose("no server answered until long after the lease ran out")
            else:
                last = time.monotonic()

    def _has_news(self) -> bool:
        return self._feed.has_more() or self._told != (self._share, self._message)

    def _beat(self) -> None:
        """Send one sign of life. Raises Unavailable when no server answers."""
        with self._sending:
            chunk = self._feed.next()
            told = (self._share, self._message)
            try:
                job = self._client.heartbeat(
                    self._lease.job.id,
                    token=self._lease.token,
                    progress=told[0],
                    message=told[1],
                    log=chunk,
                    draining=self._draining.is_set(),
                )
            except Unavailable:
                raise
            except PlannerError as error:
                self._lose(error.message)
                return
            if job.state is not JobState.LEASED:
                self._lose(f"the job is {job.state.value}")
                return
            self._renewed = time.monotonic()
            self._told = told
            if chunk is not None:
                self._feed.sent(chunk)

    def _lose(self, why: str) -> None:
        if not self._ended.is_set() and self.lost is None:
            self.lost = why
            self._stop.set()
