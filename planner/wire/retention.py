"""What crosses HTTP about retention, pins and the collection of unused files, and their use cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, Protocol

import msgspec

from planner.domain.listing import Page
from planner.domain.pin import Pin
from planner.domain.retention import RetentionDecision, RetentionPolicy
from planner.wire.page import DEFAULT_LIMIT

GRACE_SECONDS: Final = 24 * 3600.0
"""Seconds that a file nobody names is left alone: an upload may be waiting for its registration."""
ROUND_SECONDS: Final = 10.0
"""Seconds after which one round of a collection ends; the next one goes on behind it."""


class RetentionRequest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A policy to apply, or, with `dry_run`, to try out."""

    policy: RetentionPolicy
    dry_run: bool = True
    actor: str | None = None


class RetentionReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy did or would do, variant by variant, by model and name."""

    policy_digest: str
    dry_run: bool
    decisions: tuple[RetentionDecision, ...]
    kept: int
    deleted: int
    bytes_unused: int
    """Bytes of files that no kept variant shares: what a collection can free."""


class CollectRequest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One round of a collection. `after` is the `next_after` of the round before."""

    dry_run: bool = True
    grace_seconds: Annotated[float, msgspec.Meta(ge=0, le=3.2e9)] = GRACE_SECONDS
    after: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")] = ""


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection, or a round of it, did or would do."""

    dry_run: bool
    files_seen: int
    files_removed: int
    bytes_removed: int
    files_young: int
    """Files that nothing names and that are younger than the grace period."""
    uploads_removed: int
    """Uploads that nobody has gone on with for the grace period, an hour at least."""
    records_removed: int
    """Entries in the list of files whose file is gone."""
    next_after: str | None
    """Where the next round begins; None when this was the last one."""

    @property
    def share(self) -> float:
        """How far the collection has come, 0 to 1: files are visited in the order of their hashes, which are spread evenly."""
        return 1.0 if self.next_after is None else int(self.next_after[:8], 16) / 2**32


class PinRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Keep a variant's files whatever a retention policy says."""

    variant: str
    reason: str
    actor: str | None = None


class Retention(Protocol):
    """Which files are kept."""

    def retention(self, request: RetentionRequest) -> RetentionReport:
        """Apply a policy, or say what it would do. Raises InvalidInput."""
        ...

    def collect(self, request: CollectRequest) -> Collected:
        """Remove files that nothing names, for a bounded time; unless `next_after` is None, call it again from there."""
        ...

    def pin(self, request: PinRequest) -> Pin:
        """Pin a variant. Raises NotFound, InvalidInput, Conflict."""
        ...

    def unpin(self, pin_id: str) -> Pin:
        """Take a pin away and return it. Raises NotFound."""
        ...

    def pins(
        self, *, variant: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[Pin]:
        """Return pins, the oldest first, those of one variant where it is given. Raises NotFound."""
        ...


def collect_all(
    service: Retention, request: CollectRequest, *, progress: Callable[[Collected], None] | None = None
) -> Collected:
    """Go through every round of a collection and return what they did together; `progress` gets that after each round."""
    total: Collected | None = None
    while True:
        done = service.collect(request)
        total = done if total is None else _added(total, done)
        if progress is not None:
            progress(total)
        if done.next_after is None:
            return total
        request = msgspec.structs.replace(request, after=done.next_after)


def _added(one: Collected, other: Collected) -> Collected:
    return Collected(
        dry_run=one.dry_run,
        files_seen=one.files_seen + other.files_seen,
        files_removed=one.files_removed + other.files_removed,
        bytes_removed=one.bytes_removed + other.bytes_removed,
        files_young=one.files_young + other.files_young,
        uploads_removed=one.uploads_removed + other.uploads_removed,
        records_removed=one.records_removed + other.records_removed,
        next_after=other.next_after,
    )
