"""Holm's procedure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.domain.multiple_tests import holm

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_a_worked_example():
    """The p-values of Holm's procedure as it is taught: 0.01, 0.04, 0.03, 0.005."""
    found = holm([0.01, 0.04, 0.03, 0.005], alpha=0.05)
    assert [each.p_value for each in found] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [each.level for each in found] == pytest.approx([0.05 / 3, 0.05 / 2, 0.05 / 2, 0.05 / 4])


@given(p_values)
def test_the_level_says_the_same_as_the_adjusted_value(drawn):
    for p, each in zip(drawn, holm(drawn, alpha=0.05), strict=True):
        assert (each.p_value <= 0.05) == (p <= each.level)
        assert p <= each.p_value <= 1
        assert 0.05 / len(drawn) <= each.level <= 0.05


@given(p_values)
def test_order_is_kept(drawn):
    found = holm(drawn, alpha=0.05)
    ranked = sorted(zip(drawn, found, strict=True), key=lambda pair: pair[0])
    adjusted = [each.p_value for _, each in ranked]
    assert adjusted == sorted(adjusted)


def test_one_test_is_left_alone():
    (only,) = holm([0.04], alpha=0.05)
    assert (only.p_value, only.level) == (0.04, 0.05)
