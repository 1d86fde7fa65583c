"""Retention: policies tried out and applied, pins, and the collection of files that are not needed any more."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from planner.choose.losses import is_baseline
from planner.domain.listing import Page
from planner.domain.pin import Pin
from planner.domain.retention import RetentionDecision, RetentionPolicy, decide
from planner.registry import pins, retention, variants
from planner.registry.identifiers import new_id
from planner.registry.transaction import Transaction
from planner.wire import acting
from planner.wire.page import DEFAULT_LIMIT
from planner.wire.retention import (
    Collected,
    CollectRequest,
    PinRequest,
    RetentionReport,
    RetentionRequest,
)
from planner.workspace.collecting import collect
from planner.workspace.opened import Opened


class Retention(Opened):
    """Implements `planner.wire.retention.Retention`."""

    def retention(self, request: RetentionRequest) -> RetentionReport:
        """Apply a policy, or say what it would do; deciding and deleting are one transaction."""
        policy = request.policy
        if request.dry_run:
            with self.registry.read() as tx:
                decisions = self._decide(tx, policy)
                unused = _bytes_unused(tx, decisions)
        else:
            with self.registry.write() as tx:
                tx.lock_revision()
                decisions = self._decide(tx, policy)
                unused = _bytes_unused(tx, decisions)
                retention.delete(
                    tx,
                    decisions,
                    reason=f"not kept by retention policy {policy.digest[:12]}",
                    actor=acting.actor(request.actor, otherwise="retention"),
                    now=self.now(),
                )
        kept = sum(each.kept for each in decisions)
        return RetentionReport(
            policy_digest=policy.digest,
            dry_run=request.dry_run,
            decisions=decisions,
            kept=kept,
            deleted=len(decisions) - kept,
            bytes_unused=unused,
        )

    def _decide(self, tx: Transaction, policy: RetentionPolicy) -> tuple[RetentionDecision, ...]:
        now = self.now()
        needed = retention.needed(tx, alias_history=timedelta(days=policy.alias_history_days), now=now)
        return decide(retention.stored(tx, is_baseline), policy, needed=needed, now=now)

    def collect(self, request: CollectRequest) -> Collected:
        """Remove files that nothing names, for a bounded time."""
        return collect(self.registry, self.store, request)

    def pin(self, request: PinRequest) -> Pin:
        """Pin a variant by any of its names."""
        with self.registry.write() as tx:
            return pins.add(
                tx,
                variants.get(tx, request.variant).id,
                id_=new_id(),
                reason=request.reason,
                actor=acting.actor(request.actor),
                now=self.now(),
            )

    def unpin(self, pin_id: str) -> Pin:
        """Take a pin away."""
        with self.registry.write() as tx:
            return pins.remove(tx, pin_id)

    def pins(
        self, *, variant: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[Pin]:
        """Return pins, the oldest first."""
        with self.registry.read() as tx:
            variant_id = None if variant is None else variants.get(tx, variant).id
            return pins.page(tx, variant_id=variant_id, limit=limit, cursor=cursor)


def _bytes_unused(tx: Transaction, decisions: Iterable[RetentionDecision]) -> int:
    """Return the bytes of files that only variants without a reason to be kept have."""
    goes = {each.variant_id for each in decisions if not each.kept}
    if not goes:
        return 0
    sizes, shared = retention.files(tx, goes)
    return sum(size for sha256, size in sizes.items() if sha256 not in shared)
