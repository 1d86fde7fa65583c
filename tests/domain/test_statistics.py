"""Paired statistics against SciPy, and what counts as chance and as noise."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from planner.domain.evaluation import Document, Evaluation, ItemOutcome
from planner.domain.figure import Basis, Figure, Interval
from planner.domain.loss import LossKind
from planner.domain.loss_basis import assess
from planner.domain.statistics import (
    above_chance,
    binomial_tail,
    length_ratio,
    mcnemar_p,
    minimum_detectable_perplexity_loss,
    minimum_detectable_score_loss,
    paired_counts,
    within_noise,
)
from planner.domain.units import Unit
from planner.errors import InvalidInput


def _outcomes(*pairs: tuple[float, float]) -> list[ItemOutcome]:
    return [ItemOutcome(id=str(at), baseline=base, variant=other) for at, (base, other) in enumerate(pairs)]


@given(st.integers(0, 300), st.integers(1, 300), st.floats(0.01, 0.99))
def test_binomial_tail_is_scipys(right, items, probability):
    right = min(right, items)
    assert binomial_tail(right, items, probability) == pytest.approx(
        float(stats.binom.sf(right - 1, items, probability)), rel=1e-9, abs=1e-300
    )


def test_binomial_tail_at_its_ends():
    assert (binomial_tail(0, 5, 0.0), binomial_tail(1, 5, 0.0), binomial_tail(5, 5, 1.0)) == (1.0, 0.0, 1.0)
    with pytest.raises(InvalidInput, match="right"):
        binomial_tail(6, 5, 0.5)


def test_counts_come_from_outcomes_unless_one_is_graded():
    outcomes = _outcomes((1, 1), (1, 0), (1, 0), (0, 1), (0, 0))
    counts = paired_counts(outcomes)
    assert counts is not None
    assert (counts.both_right, counts.only_baseline, counts.only_variant, counts.both_wrong) == (1, 2, 1, 1)
    assert mcnemar_p(counts) == 1.0
    assert paired_counts([*outcomes, *_outcomes((0.5, 1))]) is None


def test_a_loss_of_the_minimum_effect_is_found_4_times_in_5():
    rng = np.random.default_rng(0)
    items, flips = 2000, 0.05
    effect = minimum_detectable_score_loss(
        _outcomes(*[(1, 0)] * 50, *[(0, 1)] * 50, *[(1, 1)] * 1150, *[(0, 0)] * 750)
    )
    assert effect is not None
    points = effect * 0.6
    lost, won = (flips + points) / 2, (flips - points) / 2
    found = sum(
        stats.binomtest(int(cells[0]), int(cells[:2].sum())).pvalue < 0.05
        for cells in rng.multinomial(items, [lost, won, 1 - lost - won], size=400)
    )
    assert 0.7 < found / 400 < 0.88
    assert minimum_detectable_score_loss(_outcomes((0, 1))) is None


def test_few_items_without_a_flip_still_miss_small_losses():
    effect = minimum_detectable_score_loss(_outcomes(*[(1, 1)] * 100))
    assert effect is not None
    assert effect > 0.03


def test_the_minimum_perplexity_loss_shrinks_with_documents():
    def effect(count: int) -> float | None:
        rng = np.random.default_rng(1)
        return minimum_detectable_perplexity_loss(
            [
                Document(id=str(at), tokens=100, baseline_nll=200.0, variant_nll=200.0 + float(change))
                for at, change in enumerate(rng.normal(0, 2, size=count))
            ]
        )

    few, many = effect(25), effect(400)
    assert few is not None
    assert many is not None
    assert few / many == pytest.approx(4, rel=0.35)
    assert many == pytest.approx(math.expm1(2.8 * 0.02 / 20), rel=0.15)
    assert effect(3) is None


def test_length_ratio_is_that_of_the_sums_and_covers():
    pairs = [(10, 8), (20, 17), (30, 27), (5, 5)]
    outcomes = [
        ItemOutcome(id=str(at), baseline=1, variant=1, baseline_tokens=base, variant_tokens=other)
        for at, (base, other) in enumerate(pairs)
    ]
    ratio = length_ratio(outcomes, basis=Basis.MEASURED)
    assert ratio is not None
    assert ratio.value == pytest.approx(57 / 65)
    assert ratio.interval is not None
    assert ratio.interval.lo < ratio.value < ratio.interval.hi
    assert length_ratio(_outcomes((1, 1)), basis=Basis.MEASURED) is None


@pytest.mark.parametrize(
    ("score", "items", "chance", "above"),
    [
        (0.25, 1000, 0.25, False),
        (0.28, 100, 0.25, False),
        (0.28, 1000, 0.25, True),
        (0.0, 50, 0.02, False),
        (0.3, 50, 0.02, True),
        (1.0, 2, 0.5, False),
    ],
)
def test_above_chance(score, items, chance, above):
    assert above_chance(score, items, chance) is above


def _evaluation(identifier: str, loss: float, **more: object) -> Evaluation:
    evaluation = Evaluation(
        id=identifier,
        variant_id="v",
        task="t",
        metric="acc",
        higher_is_better=True,
        basis=Basis.MEASURED,
        baseline_score=0.5,
        variant_score=0.5,
        relative_loss=Figure(value=loss, unit=Unit.RATIO, basis=Basis.MEASURED),
        items=10,
    )
    return msgspec.structs.replace(evaluation, **more)


def test_a_loss_no_larger_than_noise_is_within_it():
    floor = Figure(
        value=0.0,
        unit=Unit.RATIO,
        basis=Basis.MEASURED,
        interval=Interval(lo=-0.01, hi=0.02, confidence=0.9),
    )
    assert within_noise(_evaluation("e", 0.015)) is None
    assert within_noise(_evaluation("e", 0.015, noise_floor=floor)) is True
    assert within_noise(_evaluation("e", -0.021, noise_floor=floor)) is False


def test_the_same_items_count_once():
    """The length-normalised metric of equally many items, and the run over more items, before others."""
    acc = _evaluation("a", 0.1, dataset_digest="d")
    norm = _evaluation("n", 0.2, dataset_digest="d", metric="acc_norm")
    longer = _evaluation("l", 0.4, dataset_digest="e", items=20)
    shorter = _evaluation("s", 0.9, dataset_digest="e")
    unnamed = [_evaluation(name, 0.3) for name in ("x", "y")]
    answer = assess([acc, norm, longer, shorter, *unnamed], kind=LossKind.RELATIVE, task=None)
    assert answer is not None
    assert answer.figure.evidence == ("n", "l", "x", "y")
    assert answer.figure.value == pytest.approx((0.2 + 0.4 + 0.3 + 0.3) / 4)
    named = assess([acc, norm], kind=LossKind.RELATIVE, task="acc")
    assert named is not None
    assert named.figure.value == 0.1
