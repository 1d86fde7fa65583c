from __future__ import annotations

import msgspec
import pytest

from planner.catalogue import load_catalogue
from planner.domain.decode_limit import MATRIX_SHARE, bandwidth_share, describe
from planner.domain.profile import Environment, MemoryUse, Profile


def profile(variant: str) -> Profile:
    """The newest profile of the 13B shape that ships."""
    found = [
        p
        for p in load_catalogue().profiles
        if p.variant_id == f"published:llama-2-13b/{variant}" and p.id.startswith("measured:h200")
    ]
    return max(found, key=lambda p: p.measured_at or p.id)


def test_a_step_that_reads_everything_once_at_copy_speed_has_share_one() -> None:
    measured = profile("fp16")
    point = measured.points[0]
    bandwidth = measured.environment.facts["copy_bandwidth_bytes_per_second"]
    assert isinstance(bandwidth, float)
    assert point.tpot_seconds is not None
    assert point.tpot_seconds.p50 is not None
    size = round(bandwidth * point.tpot_seconds.p50)
    whole = msgspec.structs.replace(point, memory=MemoryUse(weights_bytes=size - 1000, kv_cache_bytes=1000))
    assert bandwidth_share(measured, whole) == pytest.approx(1, rel=1e-6)
    assert bandwidth_share(msgspec.structs.replace(measured, devices=2), whole) == pytest.approx(
        0.5, rel=1e-6
    )


def test_what_is_near_the_limit_says_so_and_what_is_not_says_why() -> None:
    assert "% of the copy bandwidth" in str(describe(profile("fp16")))
    assert ":" not in str(describe(profile("fp16")))
    assert "its products run by nvjet" in str(describe(profile("fp8-dynamic")))


@pytest.mark.parametrize(
    ("share", "says"), [(0.9, "products take 90%"), (0.2, "only 20% of the device's time; the rest")]
)
def test_the_reason_is_the_share_of_products(share: float, says: str) -> None:
    measured = profile("fp8-dynamic")
    environment = msgspec.structs.replace(
        measured.environment, facts={**measured.environment.facts, MATRIX_SHARE: share}
    )
    assert says in str(describe(msgspec.structs.replace(measured, environment=environment)))


def test_nothing_is_said_where_something_was_not_measured() -> None:
    measured = profile("fp16")
    assert describe(msgspec.structs.replace(measured, environment=Environment())) is None
    bare = tuple(msgspec.structs.replace(point, memory=MemoryUse()) for point in measured.points)
    assert describe(msgspec.structs.replace(measured, points=bare)) is None
    assert describe(msgspec.structs.replace(measured, points=())) is None
