"""Variants whose bytes are handed in again: what their state means for that, and the return of deleted ones."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from planner.artifacts.store import BlobStore
from planner.domain.lifecycle import LifecycleState, VariantState
from planner.domain.variant import Artifact, Variant
from planner.errors import Conflict
from planner.registry import Registry, lifecycle
from planner.registry.transaction import Transaction
from planner.wire import acting

RETURNED = "its files were registered again"


def take_back(
    registry: Registry, store: BlobStore, known: Variant, *, dry_run: bool, now: datetime
) -> tuple[str, ...]:
    """Bring a deleted variant back whose files are there again, and return what is to be said of its state.

    It comes back as it was before it was deleted: whoever may register has no way around a quarantine. Raises Conflict
    when a file was collected meanwhile.
    """
    with registry.read() as tx:
        state = lifecycle.get(tx, known.id)
        before = _before_deletion(tx, known.id)
    if state.state is LifecycleState.ACTIVE:
        return ()
    if state.state is not LifecycleState.DELETED:
        return (f"it is {state.describe()}",)
    if not dry_run:
        with registry.write() as tx:
            tx.lock_revision()
            check_held(store, known.artifacts)
            lifecycle.put(tx, known.id, LifecycleState.ACTIVE, reason=RETURNED, actor=acting.actor(), now=now)
            if before is not None:
                lifecycle.put(
                    tx,
                    known.id,
                    before.state,
                    reason=before.reason,
                    replacement_id=_still_active(tx, before.replacement_id),
                    actor=acting.actor(),
                    now=now,
                )
    became = "active" if before is None else f"as before {before.describe()}"
    return (f"it was {state.describe()}; {RETURNED}, so it is {became}",)


def _before_deletion(tx: Transaction, variant_id: str) -> VariantState | None:
    """Return the state that a variant was in before it was deleted, None for an active one."""
    states = lifecycle.history(tx, variant_id).history
    before = next((each for each in states if each.state is not LifecycleState.DELETED), None)
    return None if before is None or before.state is LifecycleState.ACTIVE else before


def _still_active(tx: Transaction, replacement_id: str | None) -> str | None:
    if replacement_id is None or lifecycle.get(tx, replacement_id).state is not LifecycleState.ACTIVE:
        return None
    return replacement_id


def check_held(store: BlobStore, artifacts: Iterable[Artifact]) -> None:
    """Raise Conflict unless every file is in the store. Inside a transaction that locks the revision this stays so."""
    gone = [artifact.sha256 for artifact in artifacts if not store.touch(artifact.sha256)]
    if gone:
        raise Conflict(
            f"{len(gone)} files were collected as unused meanwhile; upload them again", missing=gone
        )
