"""Tests over runs, against SciPy and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from planner.domain.repeated_runs import RunsTest
from planner.errors import InvalidInput


def test_a_limit_is_the_t_test_of_logarithms():
    runs = [0.101, 0.105, 0.099, 0.108, 0.103, 0.104]
    test = RunsTest(runs)
    exact = stats.ttest_1samp(np.log(runs), math.log(0.11), alternative="less").pvalue
    assert test.p_below(0.11) == pytest.approx(exact, rel=0.15)
    assert test.value == pytest.approx(stats.gmean(runs))
    assert test.upper(0.05) > test.value > test.lower(0.05)
    assert test.p_below(test.upper(0.05)) == pytest.approx(0.05, rel=1e-6)


def test_a_regression_is_welchs_test():
    mine, theirs = [0.105, 0.107, 0.103, 0.108], [0.100, 0.101, 0.099, 0.102, 0.100]
    test = RunsTest(mine, theirs)
    exact = stats.ttest_ind(np.log(mine), np.log(theirs) + math.log1p(0.02), equal_var=False, alternative="greater").pvalue  # fmt: skip
    assert test.p_above(0.02) == pytest.approx(exact, rel=0.2)
    assert test.value == pytest.approx(stats.gmean(mine) / stats.gmean(theirs) - 1)


def test_runs_that_agree_exactly_are_exact():
    test = RunsTest([4.0, 4.0])
    assert (test.p_below(5.0), test.p_above(5.0)) == (0.0, 1.0)
    assert (test.p_below(3.0), test.p_above(3.0)) == (1.0, 0.0)
    assert test.upper(0.05) == pytest.approx(4.0)
    assert test.more(5.0, 0.05) is None


def test_one_run_or_none_shows_nothing():
    for runs in ([], [0.1], [0.1, 0.0]):
        with pytest.raises(InvalidInput, match="say too little"):
            RunsTest(runs)


@pytest.mark.parametrize("runs", [3, 5])
def test_noisy_runs_fail_seldom_at_the_margin(runs):
    """Ten percent of noise between runs: a threshold on one run of each would be a coin toss."""
    rng = np.random.default_rng(7)
    wrong = 0
    tries = 3000
    for _ in range(tries):
        mine, theirs = rng.lognormal(math.log(1.05), 0.1, runs), rng.lognormal(0, 0.1, runs)
        wrong += RunsTest(mine.tolist(), theirs.tolist()).p_above(0.05) <= 0.05
    assert wrong / tries <= 0.055


def test_as_many_more_as_it_asks_for_decide():
    rng = np.random.default_rng(1)
    decided = 0
    for _ in range(300):
        mine, theirs = rng.lognormal(0, 0.03, 4), rng.lognormal(0, 0.03, 4)
        test = RunsTest(mine.tolist(), theirs.tolist())
        more = test.more(0.05, 0.05)
        if test.p_below(0.05) <= 0.05 or more is None or more > 200:
            decided += test.p_below(0.05) <= 0.05
            continue
        grown = RunsTest([*mine, *rng.lognormal(0, 0.03, more)], [*theirs, *rng.lognormal(0, 0.03, more)])
        decided += grown.p_below(0.05) <= 0.05
    assert decided / 300 >= 0.75
