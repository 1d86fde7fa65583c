"""Withdrawn measurements: figures of our own campaigns that later turned out to say something else than they were taken for.

A campaign's file is what its bundles hold and is never edited. What is known against some of its figures is written
beside it, with the reason, and takes those figures out of the catalogue when it is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from planner.catalogue.measured import Measured
from planner.domain.profile import MemoryUse, Profile


class Withdrawal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The memory peaks of a campaign's profiles from a point on; tensors that were counted one by one stay."""

    campaign: str
    mode: str
    """Of the runtime."""
    measured_before: datetime
    first_point: int
    """Index of the first point of a profile whose peaks are withdrawn."""
    reason: str


def _without_peaks(memory: MemoryUse) -> MemoryUse:
    return MemoryUse(
        weights_bytes=memory.weights_bytes,
        kv_cache_bytes=memory.kv_cache_bytes,
        graph_bytes=memory.graph_bytes,
    )


def _applies(withdrawal: Withdrawal, profile: Profile) -> bool:
    return (
        profile.id.startswith(f"measured:{withdrawal.campaign}/")
        and profile.runtime.mode == withdrawal.mode
        and profile.measured_at is not None
        and profile.measured_at < withdrawal.measured_before
    )


def _after(withdrawal: Withdrawal, profile: Profile) -> Profile:
    points = tuple(
        point
        if position < withdrawal.first_point
        else msgspec.structs.replace(
            point,
            memory=_without_peaks(point.memory),
            facts={**point.facts, "memory_withdrawn": withdrawal.reason},
        )
        for position, point in enumerate(profile.points)
    )
    return msgspec.structs.replace(profile, points=points)


def withdraw(measured: Measured, withdrawals: Iterable[Withdrawal]) -> Measured:
    """Return what was measured without what was withdrawn; each point that lost its peaks says why in its facts."""
    profiles = measured.profiles
    for withdrawal in withdrawals:
        profiles = tuple(_after(withdrawal, p) if _applies(withdrawal, p) else p for p in profiles)
    return msgspec.structs.replace(measured, profiles=profiles)
