from __future__ import annotations

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from planner.domain.figure import Basis, Interval
from planner.domain.profile import Distribution, Profile, ProfilePoint
from planner.domain.runtime import Runtime
from planner.domain.speed_comparison import SpeedVerdict, compare_speed, judge_ratio
from planner.domain.workload import Workload
from planner.errors import InvalidInput

POINT = Workload(input_tokens=128, output_tokens=64)
OTHER = Workload(input_tokens=256, output_tokens=64)


def _times(p50: float, half: float | None) -> Distribution:
    interval = None if half is None else Interval(lo=p50 * (1 - half), hi=p50 * (1 + half), confidence=0.9)
    return Distribution(samples=20, mean=p50, p50=p50, p50_interval=interval)


def _profile(
    p50: float, half: float | None = 0.01, *, workload: Workload = POINT, version: str = "1"
) -> Profile:
    point = ProfilePoint(
        workload=workload, ttft_seconds=_times(p50, half), tpot_seconds=_times(p50 / 10, half)
    )
    return Profile(
        id="p",
        variant_id="v",
        device_id="d",
        runtime=Runtime(name="transformers", version=version, mode="eager"),
        basis=Basis.MEASURED,
        points=(point,),
    )


@pytest.mark.parametrize(
    ("judged", "reference", "half", "expected"),
    [
        (1.0, 1.0, 0.01, "same"),
        (1.02, 1.0, 0.01, "same"),
        (0.8, 1.0, 0.01, "fast"),
        (1.25, 1.0, 0.01, "slow"),
        (1.04, 1.0, 0.01, "ambiguous"),
        (1.0, 1.0, 0.10, "ambiguous"),
        (0.5, 1.0, None, "ambiguous"),
    ],
)
def test_medians_are_judged_by_their_intervals(judged, reference, half, expected):
    found = compare_speed(_profile(judged, half), _profile(reference, half))
    assert [(point.metric, point.verdict) for point in found.points] == [
        ("ttft", expected),
        ("tpot", expected),
    ]
    assert found.points[0].ratio == pytest.approx(judged / reference)
    assert found.differences == ()


@given(st.floats(0.01, 100), st.floats(0.5, 1), st.floats(1, 2), st.floats(0, 0.5))
def test_a_verdict_turned_round_is_its_opposite(ratio, below, above, tolerance):
    lo, hi, most = ratio * below, ratio * above, 1 + tolerance
    edges = [abs(number * edge - 1) for number in (lo, hi, ratio) for edge in (most, 1 / most, 1)]
    assume(min(edges) > 1e-9)  # rounding decides exactly on an edge
    verdict = judge_ratio(ratio, lo, hi, tolerance=tolerance)
    back = judge_ratio(1 / ratio, 1 / hi, 1 / lo, tolerance=tolerance)
    opposites = {SpeedVerdict.FAST: SpeedVerdict.SLOW, SpeedVerdict.SLOW: SpeedVerdict.FAST}
    assert back is opposites.get(verdict, verdict)


def test_points_of_one_profile_alone_and_what_else_differs_are_named():
    found = compare_speed(_profile(1, version="2"), _profile(1, workload=OTHER))
    assert found.points == ()
    assert found.only_in_one == (POINT, OTHER)
    assert found.differences == ("runtime: transformers 2 eager, reference transformers 1 eager",)
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found


def test_a_tolerance_out_of_range_is_named():
    with pytest.raises(InvalidInput, match="tolerance"):
        compare_speed(_profile(1), _profile(1), tolerance=1)
