"""Withdrawn measurements: which figures go, which stay, and that the reason stays with them."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from planner.catalogue import load_catalogue
from planner.catalogue.measured import Measured
from planner.catalogue.withdrawn import Withdrawal, withdraw
from planner.domain.figure import Basis
from planner.domain.profile import MemoryUse, Profile, ProfilePoint
from planner.domain.runtime import Runtime
from planner.domain.workload import Workload

WITHDRAWAL = Withdrawal(
    campaign="c",
    mode="compiled",
    measured_before=datetime(2026, 1, 2, tzinfo=UTC),
    first_point=1,
    reason="because",
)
MEMORY = MemoryUse(
    weights_bytes=1, kv_cache_bytes=2, peak_device_bytes=10, activation_bytes=3, fragmentation_bytes=4
)


def _measured(*, campaign: str = "c", mode: str = "compiled", day: int = 1) -> Measured:
    points = tuple(ProfilePoint(workload=Workload(input_tokens=n), memory=MEMORY) for n in (64, 128))
    profile = Profile(
        id=f"measured:{campaign}/x", variant_id="v", device_id="d", runtime=Runtime(name="transformers", mode=mode),
        basis=Basis.MEASURED, points=points, measured_at=datetime(2026, 1, day, tzinfo=UTC),
    )  # fmt: skip
    return Measured(profiles=(profile,))


def test_peaks_from_the_point_on_go_and_what_was_counted_stays() -> None:
    (found,) = withdraw(_measured(), [WITHDRAWAL]).profiles
    assert found.points[0].memory == MEMORY
    assert found.points[1].memory == MemoryUse(weights_bytes=1, kv_cache_bytes=2)
    assert found.points[1].facts["memory_withdrawn"] == "because"


def test_other_campaigns_modes_and_times_are_left_alone() -> None:
    for other in (_measured(campaign="cc"), _measured(mode="eager"), _measured(day=3)):
        assert withdraw(other, [WITHDRAWAL]) == other


def test_every_withdrawal_of_the_catalogue_takes_something_and_says_why() -> None:
    withdrawn = [
        point.facts["memory_withdrawn"]
        for profile in load_catalogue().profiles
        for point in profile.points
        if "memory_withdrawn" in point.facts
    ]
    assert withdrawn
    assert all(isinstance(reason, str) and len(reason) > 40 for reason in withdrawn)
    assert msgspec.json.decode(msgspec.json.encode(WITHDRAWAL), type=Withdrawal) == WITHDRAWAL
