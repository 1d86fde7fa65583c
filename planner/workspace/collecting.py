"""Collection: files that nothing in the registry names are removed, a little at a time, whoever writes meanwhile.

A file goes only when three things hold at one moment, with the revision locked so that no registration can begin to need
it: nothing names it, nobody has counted on it for the grace period, and it is still the file that was looked at. Whatever
ends the process, what is left is a store with fewer unused files: removing one needs no second step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice

from planner.artifacts.local import LocalStore
from planner.registry import Registry, blob_references
from planner.wire.retention import ROUND_SECONDS, Collected, CollectRequest

BATCH = 1_000
"""Files that are looked at, and at most removed, under one lock."""
UPLOAD_GRACE_SECONDS = 3600.0
"""Seconds without a write before which no upload counts as abandoned, however short the grace period for files is."""


def collect(
    registry: Registry,
    store: LocalStore,
    request: CollectRequest,
    *,
    clock: Callable[[], float] = time.time,
    round_seconds: float = ROUND_SECONDS,
) -> Collected:
    """Return what one round did: it ends once `round_seconds` have passed, after at least one batch."""
    unused_since = clock() - request.grace_seconds
    began = time.monotonic()
    uploads = 0
    if not request.after:
        abandoned = max(request.grace_seconds, UPLOAD_GRACE_SECONDS)
        uploads = store.sweep(older_than=abandoned, dry_run=request.dry_run)
    with registry.read() as tx:
        named = blob_references.named(tx)
    seen = removed = freed = young = 0
    last: str | None = None
    digests = store.digests(after=request.after)
    while batch := list(islice(digests, BATCH)):
        seen += len(batch)
        last = batch[-1]
        unused, fresh = _unused(store, batch, named, unused_since)
        young += fresh
        sizes = list(_removed(registry, store, unused, unused_since, dry_run=request.dry_run))
        removed, freed = removed + len(sizes), freed + sum(sizes)
        if len(batch) < BATCH or time.monotonic() - began > round_seconds:
            break
    finished = last is None or next(digests, None) is None
    return Collected(
        dry_run=request.dry_run,
        files_seen=seen,
        files_removed=removed,
        bytes_removed=freed,
        files_young=young,
        uploads_removed=uploads,
        records_removed=_forgotten(registry, store, dry_run=request.dry_run) if finished else 0,
        next_after=None if finished else last,
    )


def _unused(
    store: LocalStore, batch: list[str], named: set[str], unused_since: float
) -> tuple[list[str], int]:
    """Return the files of a batch that nothing names and nobody counts on, and how many are merely too young."""
    unused: list[str] = []
    young = 0
    for sha256 in batch:
        used = None if sha256 in named else store.used_at(sha256)
        if used is not None and used <= unused_since:
            unused.append(sha256)
        elif used is not None:
            young += 1
    return unused, young


def _removed(
    registry: Registry, store: LocalStore, unused: list[str], unused_since: float, *, dry_run: bool
) -> Iterator[int]:
    """Remove what is still unused once no other writer can be at work, and yield the sizes."""
    if not unused:
        return
    if dry_run:
        yield from (size for sha256 in unused if (size := store.size(sha256)) is not None)
        return
    with registry.write() as tx:
        tx.lock_revision()
        still = sorted(set(unused) - blob_references.named(tx, set(unused)))
        gone: list[str] = []
        for sha256 in still:
            size = store.remove(sha256, unused_since=unused_since)
            if size is not None:
                gone.append(sha256)
                yield size
        blob_references.forget(tx, gone)


def _forgotten(registry: Registry, store: LocalStore, *, dry_run: bool) -> int:
    """Take off the list what has no file and is not named: a collection may have ended between file and entry."""
    with registry.read() as tx:
        lost = {sha256 for sha256 in blob_references.recorded(tx) if store.size(sha256) is None}
        lost -= blob_references.named(tx, lost) if lost else set()
    if not lost or dry_run:
        return len(lost)
    with registry.write() as tx:
        tx.lock_revision()
        absent = [sha256 for sha256 in sorted(lost) if store.size(sha256) is None]
        blob_references.forget(tx, absent)
    return len(absent)
