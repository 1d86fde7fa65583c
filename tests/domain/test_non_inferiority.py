"""The paired tests against a margin: against closed forms, other implementations, and their true error by enumeration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from planner.domain.evaluation import Document, ItemOutcome, PairedCounts
from planner.domain.figure import Basis
from planner.domain.loss import LossKind, counts_loss, perplexity_loss
from planner.domain.margin_test import normal_of_t, quantile, t_of_normal, tail
from planner.domain.non_inferiority import (
    CountsTest,
    RatioTest,
    constrained_shares,
    document_test,
    outcome_test,
)
from planner.errors import InvalidInput


def counts(both: int, base: int, variant: int, neither: int) -> PairedCounts:
    return PairedCounts(both_right=both, only_baseline=base, only_variant=variant, both_wrong=neither)


cells = st.tuples(st.integers(1, 400), st.integers(0, 60), st.integers(0, 60), st.integers(0, 400))


@pytest.mark.parametrize(("b", "c", "n", "share"), [(30, 20, 1000, 0.03), (12, 2, 44, 0.1), (5, 0, 100, 0.02), (3, 9, 250, 0.05)])  # fmt: skip
def test_constrained_shares_are_the_maximum_of_the_likelihood(b, c, n, share):
    observed = (n - b - c, b, c, 0)
    weights = (-share, 1 - share, -1 - share, -share)

    def negative(q: float):
        shares = (1 - 2 * q - share, q + share, q)
        return -sum(k * math.log(p) for k, p in zip(observed, shares, strict=False) if k)

    best = optimize.minimize_scalar(negative, bounds=(1e-12, (1 - share) / 2 - 1e-12), method="bounded", options={"xatol": 1e-12})  # fmt: skip
    found = constrained_shares(observed, weights)
    assert found[2] == pytest.approx(best.x, abs=2e-6)
    assert found[1] - found[2] == pytest.approx(share, abs=1e-9)
    assert sum(found) == pytest.approx(1)


def test_relative_constraint_holds_too():
    found = constrained_shares((700, 30, 20, 250), (-0.05, 0.95, -1.0, 0.0))
    assert (found[1] - found[2]) / (found[0] + found[1]) == pytest.approx(0.05)


def test_margin_nought_is_mcnemar():
    b, c = 40, 20
    test = CountsTest(counts(500, b, c, 440), LossKind.ABSOLUTE)
    z = (b - c - 0.5) / math.sqrt(b + c)
    assert test.p_above(0.0) == pytest.approx(tail(z), rel=1e-6)
    exact = stats.binomtest(b, b + c, 0.5, alternative="greater").pvalue
    assert test.p_above(0.0) == pytest.approx(exact, rel=0.15)


@pytest.mark.parametrize("items", [60, 140])
@pytest.mark.parametrize("share", [0.01, 0.03])
@pytest.mark.parametrize("other", [0.0, 0.01, 0.05])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_true_error_by_enumeration(items, share, other, alpha):
    """At the margin itself neither side errs more often than alpha, whatever the share of gains, however few items."""
    p = (1 - share - 2 * other, other + share, other)
    below = above = 0.0
    reach_b = int(items * p[1] + 6 * math.sqrt(items * p[1]) + 8)
    reach_c = int(items * p[2] + 6 * math.sqrt(items * p[2]) + 8) if other else 0
    for b in range(min(items, reach_b) + 1):
        for c in range(min(items - b, reach_c) + 1):
            chance = stats.multinomial.pmf((items - b - c, b, c), items, p)
            if chance < 1e-10:
                continue
            test = CountsTest(counts(items - b - c, b, c, 0), LossKind.ABSOLUTE)
            below += chance * (test.p_below(100 * share) <= alpha)
            above += chance * (test.p_above(100 * share) <= alpha)
    assert below <= alpha
    assert above <= alpha


@settings(max_examples=60, deadline=None)
@given(cells, st.sampled_from(LossKind), st.floats(0.002, 0.3))
def test_bounds_and_p_values_agree(drawn, kind, margin):
    made = counts(*drawn)
    test = CountsTest(made, kind)
    margin = margin if kind is LossKind.RELATIVE else 100 * margin
    upper, lower = test.upper(0.05), test.lower(0.05)
    assert 0 <= test.p_below(margin) <= 1
    if upper is not None:
        assert upper >= test.value - 1e-9
        if abs(upper - margin) > 1e-6:
            assert (upper < margin) == (test.p_below(margin) <= 0.05)
    if lower is not None:
        assert lower <= test.value + 1e-9
        if abs(lower - margin) > 1e-6:
            assert (lower > margin) == (test.p_above(margin) <= 0.05)


@settings(max_examples=60, deadline=None)
@given(cells, st.sampled_from(LossKind))
def test_never_below_and_above_at_once_and_better_never_fails(drawn, kind):
    test = CountsTest(counts(*drawn), kind)
    margin = 0.02 if kind is LossKind.RELATIVE else 2.0
    assert not (test.p_below(margin) <= 0.05 and test.p_above(margin) <= 0.05)
    if test.value <= margin:
        assert test.p_above(margin) > 0.05


@pytest.mark.parametrize("kind", LossKind)
def test_the_interval_is_close_to_the_bootstrap_of_the_same_counts(kind):
    made = counts(700, 60, 40, 200)
    figure = counts_loss(made, kind=kind, basis=Basis.MEASURED)
    test = CountsTest(made, kind)
    assert test.value == pytest.approx(figure.value)
    assert figure.interval is not None
    width = figure.interval.hi - figure.interval.lo
    assert test.upper(0.05) == pytest.approx(figure.interval.hi, abs=0.1 * width)
    assert test.lower(0.05) == pytest.approx(figure.interval.lo, abs=0.1 * width)


def test_a_baseline_without_a_right_item_is_no_yardstick():
    with pytest.raises(InvalidInput, match="no item right"):
        CountsTest(counts(0, 0, 3, 5), LossKind.RELATIVE)


def test_identical_answers_prove_little():
    few, many = (CountsTest(counts(n, 0, 0, n // 4), LossKind.ABSOLUTE) for n in (60, 2000))
    assert few.p_below(1.0) > 0.05
    assert many.p_below(1.0) < 0.01


def test_more_items_keep_what_they_promise():
    """With as many items as `needed` says, expected counts are decided."""
    test = CountsTest(counts(690, 30, 25, 255), LossKind.RELATIVE)
    more = test.more(0.05, 0.05)
    assert more is not None
    assert test.p_below(0.05) < 0.05 or more > 0
    open_test = CountsTest(counts(69, 4, 2, 25), LossKind.RELATIVE)
    more = open_test.more(0.05, 0.05)
    assert more is not None
    factor = (100 + more) / 100
    grown = counts(*(round(cell * factor) for cell in (69, 4, 2, 25)))
    assert CountsTest(grown, LossKind.RELATIVE).p_below(0.05) <= 0.05


def test_a_loss_at_the_margin_is_never_decided():
    test = CountsTest(counts(900, 10, 0, 90), LossKind.ABSOLUTE)
    assert test.more(test.value, 0.05) is None


def documents(seed: int, n: int, loss: float) -> list[Document]:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(50, 600, size=n)
    change = tokens * (math.log1p(loss) + rng.normal(0, 0.02, size=n))
    return [
        Document(id=str(i), tokens=int(t), baseline_nll=float(2.5 * t), variant_nll=float(2.5 * t + c))
        for i, (t, c) in enumerate(zip(tokens, change, strict=True))
    ]


def test_documents_have_the_interval_of_the_loss():
    drawn = documents(3, 120, 0.02)
    figure, test = perplexity_loss(drawn, basis=Basis.MEASURED), document_test(drawn)
    assert figure.interval is not None
    assert test.value == pytest.approx(figure.value)
    width = figure.interval.hi - figure.interval.lo
    assert test.upper(0.05) == pytest.approx(figure.interval.hi, abs=0.15 * width)
    assert test.lower(0.05) == pytest.approx(figure.interval.lo, abs=0.15 * width)


@pytest.mark.parametrize("skewed", [False, True])
def test_documents_err_seldom_at_the_margin(skewed):
    rng = np.random.default_rng(5)
    below = above = 0
    runs = 1500
    for _ in range(runs):
        tokens = rng.integers(50, 600, size=60).astype(float)
        noise = rng.exponential(0.02, size=60) - 0.02 if skewed else rng.normal(0, 0.02, size=60)
        # token-weighted: the true ratio of sums is the mean difference per token
        test = RatioTest((tokens * (math.log1p(0.02) + noise)).tolist(), tokens.tolist(), exponential=True)
        below += test.p_below(0.02) <= 0.05
        above += test.p_above(0.02) <= 0.05
    most = 0.085 if skewed else 0.065
    assert below / runs <= most
    assert above / runs <= most


def test_graded_scores_that_all_agree_follow_the_rule_of_three():
    outcomes = [ItemOutcome(id=str(i), baseline=0.5, variant=0.5) for i in range(100)]
    test = outcome_test(outcomes, LossKind.ABSOLUTE)
    assert test.p_below(1.0) == pytest.approx(math.exp(-1))
    assert test.upper(0.05) == pytest.approx(3.0, abs=0.01)
    assert test.p_above(1.0) == 1.0


def test_outcomes_are_counted_where_they_are_right_or_wrong():
    binary = [ItemOutcome(id=str(i), baseline=1.0, variant=float(i % 9 > 0)) for i in range(90)]
    assert isinstance(outcome_test(binary, LossKind.RELATIVE), CountsTest)
    graded = [*binary, ItemOutcome(id="x", baseline=0.5, variant=0.25)]
    test = outcome_test(graded, LossKind.RELATIVE)
    assert isinstance(test, RatioTest)
    assert test.value == pytest.approx(10.25 / 90.5)


def test_too_few_documents_are_refused():
    with pytest.raises(InvalidInput, match="say too little"):
        document_test(documents(1, 3, 0.0))


@pytest.mark.parametrize("degrees", [2, 3, 5, 10, 30, 200])
@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.001])
def test_student_tails_against_scipy(degrees, alpha):
    exact = stats.t.ppf(1 - alpha, degrees)
    ours = t_of_normal(quantile(alpha), degrees)
    assert 0.999 * exact <= ours <= exact * (1.3 if degrees < 5 else 1.02)
    assert normal_of_t(ours, degrees) == pytest.approx(quantile(alpha), rel=1e-9)
