"""The test that may be looked at whenever there is more."""

from __future__ import annotations

import math

import numpy as np
import pytest

from planner.domain.anytime_test import AnytimeTest
from planner.domain.certification import Certifier
from planner.domain.evaluation import Decision
from planner.errors import InvalidInput
from tests.domain.test_certification import answers, documents


@pytest.mark.parametrize(("loss", "decision"), [(0.0, Decision.CERTIFIED), (0.15, Decision.VIOLATED)])
def test_it_decides_what_a_certification_decides(loss, decision):
    difference, base = answers(np.random.default_rng(2), 3000, loss)
    certifier = Certifier(0.05, bounded=True)
    for each in zip(difference, base, strict=True):
        certifier.add(*map(float, each))
    assert certifier.decision is decision
    test = AnytimeTest(difference.tolist(), base.tolist(), margin=0.05, bounded=True)
    shown = test.p_below(0.05) if decision is Decision.CERTIFIED else test.p_above(0.05)
    assert shown <= 0.05
    assert max(test.p_below(0.05), test.p_above(0.05)) > 0.05


def test_looking_after_every_batch_keeps_the_error():
    """At the margin itself, twenty looks at growing evidence err no more often than one may."""
    wrong = 0
    runs = 120
    for seed in range(runs):
        difference, base = answers(np.random.default_rng(seed), 2000, 0.05)
        for stop in range(100, 2001, 100):
            test = AnytimeTest(difference[:stop].tolist(), base[:stop].tolist(), margin=0.05, bounded=True)
            if test.p_below(0.05) <= 0.05:
                wrong += 1
                break
    assert wrong / runs <= 0.05


def test_bounds_hold_the_loss_and_agree_with_the_p_values():
    difference, base = answers(np.random.default_rng(4), 4000, 0.03)
    test = AnytimeTest(difference.tolist(), base.tolist(), margin=0.05, bounded=True)
    upper, lower = test.upper(0.05), test.lower(0.05)
    assert upper is not None
    assert lower is not None
    assert lower < test.value < upper
    assert lower <= 0.03 <= upper
    assert test.p_below(2 * upper) <= 0.05


def test_points_are_a_hundred_times_the_share():
    difference, base = answers(np.random.default_rng(4), 2000, 0.0)
    share = AnytimeTest(difference.tolist(), [1.0] * len(base), margin=0.03, bounded=True)
    points = AnytimeTest(difference.tolist(), [1.0] * len(base), margin=3.0, bounded=True, percent=True)
    assert points.value == pytest.approx(100 * share.value)
    assert points.p_below(3.0) == pytest.approx(share.p_below(0.03))


def test_documents_give_a_loss_of_perplexity():
    difference, tokens = documents(np.random.default_rng(1), 200, 0.02)
    test = AnytimeTest(difference.tolist(), tokens.tolist(), margin=0.05, bounded=False)
    assert test.value == pytest.approx(math.expm1(difference.sum() / tokens.sum()))
    assert test.p_below(0.05) <= 0.01
    assert test.p_above(0.05) == 1.0


def test_more_items_shrink_as_evidence_grows():
    difference, base = answers(np.random.default_rng(3), 4000, 0.02)
    few = AnytimeTest(difference[:500].tolist(), base[:500].tolist(), margin=0.05, bounded=True).more(
        0.05, 0.05
    )
    assert few is not None
    assert few > 0


def test_nothing_to_divide_by_is_refused():
    with pytest.raises(InvalidInput, match="scores nothing"):
        AnytimeTest([0.0], [0.0], margin=0.05, bounded=True)
