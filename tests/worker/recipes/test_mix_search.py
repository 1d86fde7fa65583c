from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import InvalidInput
from worker.recipes.knapsack import Option, find_frontier
from worker.recipes.mix_search import NEIGHBOURS, MixSearch
from worker.recipes.sensitivity import Deviation

pytestmark = pytest.mark.worker

LOSSES = [0.002, 0.03, 0.004, 0.011, 0.02, 0.007, 0.001, 0.016]
FRONTIER = find_frontier([[Option(16, 0.0), Option(4, loss)] for loss in LOSSES])


def search(factor: float, *, frontier=FRONTIER, losses=LOSSES):
    """A model whose true loss is the predicted one times a factor."""

    def measure(choice):
        kl = factor * sum(loss for loss, option in zip(losses, choice, strict=True) if option)
        return Deviation(kl=kl, loss=math.expm1(kl), upper=math.expm1(kl))

    return MixSearch(frontier, measure)


@pytest.mark.parametrize("factor", [0.2, 0.7, 1.0, 1.8, 4.0])
def test_the_smallest_mix_within_a_loss_is_found_though_the_prediction_is_off(factor):
    found = search(factor).within_loss(0.05, trials=12)
    assert found.measured.upper <= 0.05
    smaller = [
        point for point in range(found.point) if math.expm1(factor * float(FRONTIER.losses[point])) <= 0.05
    ]
    assert not smaller


@given(st.floats(0.05, 20), st.floats(0.001, 0.2), st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_a_loss_budget_is_never_exceeded_nor_the_number_of_trials(factor, budget, trials):
    searching = search(factor)
    try:
        found = searching.within_loss(budget, trials=trials)
    except InvalidInput:
        assert all(trial.measured.upper > budget for trial in searching.trials)
    else:
        assert found.measured.upper <= budget
        assert found.size == min(trial.size for trial in searching.trials if trial.measured.upper <= budget)
    assert 1 <= len(searching.trials) <= trials


def test_a_size_budget_takes_the_measured_best_of_the_point_and_its_neighbours():
    frontier = find_frontier([[Option(16, 0.0), Option(4, loss)] for loss in (0.01, 0.02, 0.03)])
    worse_than_predicted = {40: 0.5}

    def measure(choice):
        size = sum(4 if option else 16 for option in choice)
        kl = worse_than_predicted.get(size, 0.1)
        return Deviation(kl=kl, loss=kl, upper=kl)

    searching = MixSearch(frontier, measure)
    found = searching.within_size(45)
    assert [trial.size for trial in searching.trials] == [36, 24, 12]
    assert len(searching.trials) == 1 + NEIGHBOURS
    assert found.size == 36
    found = MixSearch(frontier, lambda choice: Deviation(kl=-sum(choice), loss=0, upper=0)).within_size(48)
    assert found.size == 24


def test_a_size_no_mix_has_is_refused():
    with pytest.raises(ValueError, match="as small as 31"):
        search(1.0).within_size(31)
