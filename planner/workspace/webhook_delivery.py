"""Courier: the thread of a server that delivers events, and tries again what failed.

Every server process has one. They share the work through claims in the database, so that one of them alone tries a
delivery at a time, and what a killed one had claimed is taken up by another, or by itself when it is back.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from datetime import timedelta
from typing import Final

from planner.domain.webhook import Outcome
from planner.errors import PlannerError
from planner.registry import events, webhooks
from planner.registry.webhooks import Claimed
from planner.workspace.apart import run_apart
from planner.workspace.opened import Opened
from planner.workspace.webhook_sending import send

POLL_SECONDS: Final = 1.0
STOP_SECONDS: Final = 5.0
"""How long a server that stops waits for receivers."""
BATCH: Final = 8
"""Deliveries that are tried at once; all of them end well within a claim."""
KEEP_DAYS: Final = 30
"""How long an event can be replayed."""
_PRUNE_EVERY: Final = 3600

log = logging.getLogger(__name__)


class Courier:
    """Delivers until it is stopped. `poll_seconds` is the longest a due delivery waits to be noticed."""

    def __init__(self, workspace: Opened, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._workspace = workspace
        self._poll_seconds = poll_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    def start(self) -> None:
        """Begin delivering."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more, and wait a little for the attempts under way: one that is left is made again later."""
        self._stopping.set()
        self._thread.join(timeout=STOP_SECONDS)

    def deliver_due(self) -> int:
        """Try every delivery that is due now, once; return how many were tried."""
        count = 0
        while not self._stopping.is_set():
            claimed = self._claim()
            if not claimed:
                return count
            run_apart(self._attempt(claimed))
            count += len(claimed)
        return count

    def _run(self) -> None:
        rounds = 0
        while not self._stopping.is_set():
            try:
                self.deliver_due()
                if rounds % int(_PRUNE_EVERY / self._poll_seconds) == 0:
                    self._prune()
            except PlannerError as error:
                # The database is away for a while: what is due stays due.
                log.warning("webhooks: %s", error.message)
            except Exception:
                log.exception("webhooks: delivering failed, and goes on")
            rounds += 1
            self._stopping.wait(self._poll_seconds)

    def _claim(self) -> tuple[Claimed, ...]:
        now = self._workspace.now()
        with self._workspace.registry.read() as tx:
            if not webhooks.has_due(tx, now):
                return ()
        with self._workspace.registry.write() as tx:
            return webhooks.claim(tx, now=now, limit=BATCH)

    async def _attempt(self, claimed: tuple[Claimed, ...]) -> None:
        await asyncio.gather(*(self._deliver(each) for each in claimed))

    async def _deliver(self, claimed: Claimed) -> None:
        allowed = self._workspace.settings.webhook_loopback
        outcome = await send(claimed.webhook.url, claimed.secret, claimed.event, loopback_allowed=allowed)
        await asyncio.to_thread(self._settle, claimed, outcome)

    def _settle(self, claimed: Claimed, outcome: Outcome) -> None:
        spread = random.random()  # noqa: S311 - spreads attempts, guards nothing
        now = self._workspace.now()
        with self._workspace.registry.write() as tx:
            webhooks.settle(tx, claimed, outcome, spread=spread, now=now)

    def _prune(self) -> None:
        before = self._workspace.now() - timedelta(days=KEEP_DAYS)
        with self._workspace.registry.write() as tx:
            events.prune(tx, before)
