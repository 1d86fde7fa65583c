from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import InvalidInput
from worker.recipes import knapsack
from worker.recipes.knapsack import Option, find_frontier

pytestmark = pytest.mark.worker

OPTIONS = st.lists(
    st.builds(Option, size=st.integers(0, 12), loss=st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0, 3.0])),
    min_size=1,
    max_size=3,
)
GROUPS = st.lists(OPTIONS, min_size=1, max_size=6)


def every_mix(groups):
    for choice in itertools.product(*(range(len(options)) for options in groups)):
        picked = [options[index] for options, index in zip(groups, choice, strict=True)]
        yield sum(option.size for option in picked), sum(option.loss for option in picked)


@given(GROUPS)
@settings(max_examples=150, deadline=None)
def test_the_frontier_is_that_of_trying_everything(groups):
    frontier = find_frontier(groups)
    mixes = set(every_mix(groups))
    undominated = {
        (size, loss)
        for size, loss in mixes
        if not any((s <= size and m < loss) or (s < size and m <= loss) for s, m in mixes)
    }
    assert set(zip(frontier.sizes.tolist(), frontier.losses.tolist(), strict=True)) == undominated
    assert (np.diff(frontier.sizes) > 0).all()
    assert (np.diff(frontier.losses) < 0).all()


@given(GROUPS, st.integers(0, 80), st.sampled_from([0.0, 0.25, 0.6, 1.0, 4.0]))
@settings(max_examples=150, deadline=None)
def test_every_budget_gets_the_optimum_of_trying_everything(groups, size, loss):
    frontier = find_frontier(groups)
    losses = [mix[1] for mix in every_mix(groups) if mix[0] <= size]
    point = frontier.largest_within(size)
    assert (point is None) == (not losses)
    if point is not None:
        assert frontier.losses[point] == min(losses)
    sizes = [mix[0] for mix in every_mix(groups) if mix[1] <= loss]
    point = frontier.smallest_within(loss)
    assert (point is None) == (not sizes)
    if point is not None:
        assert frontier.sizes[point] == min(sizes)


@given(GROUPS)
@settings(max_examples=100, deadline=None)
def test_the_choice_of_a_point_adds_up_to_it(groups):
    frontier = find_frontier(groups)
    for point in range(len(frontier)):
        picked = [options[index] for options, index in zip(groups, frontier.choice(point), strict=True)]
        assert sum(option.size for option in picked) == frontier.sizes[point]
        assert sum(option.loss for option in picked) == pytest.approx(frontier.losses[point])


def test_integer_programming_agrees_on_a_model_of_eighty_blocks():
    from scipy.optimize import Bounds, LinearConstraint, milp

    generator = np.random.default_rng(1)
    groups = []
    for _ in range(80):
        for parameters in (83, 704):
            loss = float(generator.gamma(2.0))
            groups.append(
                [
                    Option(size=16 * parameters, loss=0.0),
                    Option(size=8 * parameters, loss=loss / 50),
                    Option(size=4 * parameters, loss=loss),
                ]
            )
    budget = int(5.3 * sum(group[0].size for group in groups) / 16)
    began = time.perf_counter()
    frontier = find_frontier(groups)
    assert time.perf_counter() - began < 10
    point = frontier.largest_within(budget)
    flat = [option for group in groups for option in group]
    one_each = np.zeros((len(groups), len(flat)))
    for row in range(len(groups)):
        one_each[row, 3 * row : 3 * row + 3] = 1
    solved = milp(
        [option.loss for option in flat],
        constraints=[
            LinearConstraint(one_each, 1, 1),
            LinearConstraint([[option.size for option in flat]], -np.inf, budget),
        ],
        integrality=np.ones(len(flat)),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0.0, "time_limit": 10.0},
    )
    assert frontier.losses[point] <= solved.fun + 1e-6
    assert frontier.losses[point] >= solved.mip_dual_bound - 1e-6


def test_too_many_mixes_are_refused_and_not_approximated(monkeypatch):
    monkeypatch.setattr(knapsack, "MAX_POINTS", 100)
    groups = [[Option(size=2**bit, loss=0.0), Option(size=0, loss=2.0**bit)] for bit in range(10)]
    with pytest.raises(InvalidInput, match=r"recipe\.grouping"):
        find_frontier(groups)
