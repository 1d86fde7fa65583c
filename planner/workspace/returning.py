"""Variants whose bytes are handed in again: what their state means for that, and the return of deleted ones."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from planner.artifacts.store import BlobStore
from planner.domain.lifecycle import LifecycleState
from planner.domain.variant import Artifact, Variant
from planner.errors import Conflict
from planner.registry import Registry, lifecycle
from planner.wire import acting

RETURNED = "its files were registered again"


def take_back(
    registry: Registry, store: BlobStore, known: Variant, *, dry_run: bool, now: datetime
) -> tuple[str, ...]:
    """Make a deleted variant whose files are back active again, and return what is to be said of its state.

    Raises Conflict when a file was collected meanwhile.
    """
    with registry.read() as tx:
        state = lifecycle.get(tx, known.id)
    if state.state is LifecycleState.ACTIVE:
        return ()
    if state.state is not LifecycleState.DELETED:
        return (f"it is {state.describe()}",)
    if not dry_run:
        with registry.write() as tx:
            tx.lock_revision()
            check_held(store, known.artifacts)
            lifecycle.put(tx, known.id, LifecycleState.ACTIVE, reason=RETURNED, actor=acting.actor(), now=now)
    return (f"it was {state.describe()}; {RETURNED}, so it is active",)


def check_held(store: BlobStore, artifacts: Iterable[Artifact]) -> None:
    """Raise Conflict unless every file is in the store. Inside a transaction that locks the revision this stays so."""
    gone = [artifact.sha256 for artifact in artifacts if not store.touch(artifact.sha256)]
    if gone:
        raise Conflict(
            f"{len(gone)} files were collected as unused meanwhile; upload them again", missing=gone
        )
