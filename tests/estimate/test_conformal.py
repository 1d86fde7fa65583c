"""Conformal intervals: coverage holds on fresh data, widths never narrow with distance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.estimate.calibration import assumed_halves, calibrated, widths_of
from planner.estimate.conformal import CONFIDENCE, Distance, Width, halves, quantile, scale

METRICS = ("ttft", "tpot", "end_to_end", "per_token")


def test_the_quantile_counts_the_one_to_come() -> None:
    assert quantile(np.arange(1.0, 10.0), 0.9) == 9
    assert quantile(np.arange(1.0, 11.0), 0.9) == 10
    assert quantile(np.arange(1.0, 9.0), 0.9) == math.inf
    assert quantile(np.zeros(0)) == math.inf


def test_intervals_cover_what_comes_next() -> None:
    random = np.random.default_rng(7)
    covered = []
    for _ in range(400):
        residuals = np.abs(random.standard_t(3, size=61))
        covered.append(residuals[60] <= quantile(residuals[:60]))
    assert CONFIDENCE - 0.05 < np.mean(covered) < CONFIDENCE + 0.06


@given(
    st.dictionaries(st.sampled_from(list(Distance)), st.tuples(st.floats(0, 3), st.integers(0, 60))),
    st.sampled_from(METRICS),
)
def test_farther_evidence_is_never_narrower(given: dict[Distance, tuple[float, int]], metric: str) -> None:
    widths = calibrated(metric, {d: Width(half, points, 6) for d, (half, points) in given.items()})
    found = [widths[distance].half for distance in Distance]
    assert found == sorted(found)
    for distance, (half, points) in given.items():
        if points >= 30:
            assert widths[distance].half >= half


def test_without_calibration_the_assumed_width_stands() -> None:
    widths = calibrated("tpot", {})
    assert [widths[d].half for d in Distance] == pytest.approx([assumed_halves("tpot")[d] for d in Distance])
    assert not any(width.calibrated for width in widths.values())


def test_a_variants_own_points_age_with_every_octave_up_to_what_other_devices_say() -> None:
    reach = np.array([0.0, 1.0, 3.0, 50.0])
    away = np.full(4, Distance.INSIDE, dtype=np.int64)
    found = halves(widths_of("tpot"), away, reach)
    assert (np.diff(found) > 0).all()
    assert found[-1] == widths_of("tpot")[Distance.DEVICE].half
    assert scale(np.array([Distance.VARIANT]), np.array([9.0])).tolist() == [1.0]
