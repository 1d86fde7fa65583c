from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.measure.distribution import distribution, median_interval, relative_half_width

pytestmark = pytest.mark.worker
samples = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=150)


@given(samples)
def test_percentiles_are_ordered_and_only_those_the_samples_support(values):
    result = distribution(values)
    known = [q for q in (result.p50, result.p90, result.p95, result.p99) if q is not None]
    assert known == sorted(known)
    assert (result.p90 is not None) == (len(values) >= 10)
    assert (result.p95 is not None) == (len(values) >= 20)
    assert (result.p99 is not None) == (len(values) >= 100)
    assert (result.p50_interval is not None) == (len(values) >= 5)
    if result.p50_interval is not None and result.p50 is not None:
        assert result.p50_interval.lo <= result.p50 <= result.p50_interval.hi
        assert result.p50_interval.confidence >= 0.9


def test_five_samples_give_their_range_with_its_exact_coverage():
    interval = median_interval([3.0, 1.0, 2.0, 5.0, 4.0])
    assert interval is not None
    assert (interval.lo, interval.hi) == (1.0, 5.0)
    assert interval.confidence == pytest.approx(1 - 2 * 0.5**5)


@pytest.mark.parametrize("n", [8, 25, 101])
def test_the_interval_covers_the_true_median_as_often_as_it_says(n):
    rng = np.random.default_rng(7)
    trials, hits, stated = 1500, 0, 0.0
    for _ in range(trials):
        interval = median_interval(rng.lognormal(0, 1, n).tolist())
        assert interval is not None
        hits += interval.lo <= 1.0 <= interval.hi
        stated = interval.confidence
    assert hits / trials == pytest.approx(stated, abs=4 * math.sqrt(stated * (1 - stated) / trials))


def test_the_half_width_shrinks_with_more_samples():
    rng = np.random.default_rng(0)
    few, many = (relative_half_width(rng.normal(1, 0.05, n).tolist()) for n in (8, 800))
    assert few is not None
    assert many is not None
    assert many < few / 4
    assert relative_half_width([1.0]) is None
