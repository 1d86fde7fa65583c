"""The integer program of a fleet against trying every combination."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.choose.fleet_program import Option, Program

POOLS = st.lists(st.integers(0, 5), min_size=1, max_size=3)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    pool = draw(POOLS)
    demands = draw(st.integers(1, 3))
    options = [
        Option(
            demand=demand,
            kind=draw(st.integers(0, len(pool) - 1)),
            devices=draw(st.integers(1, 4)),
            utilization=draw(st.integers(1, 80)) / 100,
            penalty=draw(st.integers(0, 20)) / 10,
        )
        for demand in range(demands)
        for _ in range(draw(st.integers(1, 4)))
    ]
    return Program(options, pool, demands)


def combinations(program: Program, *, pool: list[float] | None = None, optional: bool = False):
    """Every choice of one option per demand (or none, when optional) that the pool holds."""
    limit = program.pool if pool is None else np.array(pool)
    own = [
        [p for p, option in enumerate(program.options) if option.demand == d] for d in range(program.demands)
    ]
    for chosen in product(*([None, *each] if optional else each for each in own)):
        used = np.zeros(len(limit))
        for position in chosen:
            if position is not None:
                used[program.options[position].kind] += program.options[position].devices
        if (used <= limit).all():
            yield chosen


@settings(max_examples=120, deadline=None)
@given(programs(), st.lists(st.integers(1, 9), min_size=3, max_size=3))
def test_the_cheapest_is_cheapest_and_ties_go_to_the_lesser_penalty(program: Program, prices: list[int]):
    cost = program.cost([float(price) for price in prices[: len(program.pool)]])
    found = program.cheapest(cost, program.penalty)
    values = [(sum(cost[p] for p in c), sum(program.penalty[p] for p in c)) for c in combinations(program)]
    if not values:
        assert found is None
        return
    assert found is not None
    assert tuple(found) in set(combinations(program))
    best = min(values)
    np.testing.assert_allclose([cost[found].sum(), program.penalty[found].sum()], best, atol=1e-6)


@settings(max_examples=120, deadline=None)
@given(programs())
def test_the_busiest_demand_is_least_busy(program: Program):
    found = program.least_busy(program.penalty, program.devices)
    values = [max(program.utilization[p] for p in c) for c in combinations(program)]
    if not values:
        assert found is None
        return
    assert found is not None
    assert tuple(found) in set(combinations(program))
    worst = min(values)
    assert program.utilization[found].max() == worst
    penalties = [
        sum(program.penalty[p] for p in c)
        for c in combinations(program)
        if max(program.utilization[p] for p in c) <= worst
    ]
    np.testing.assert_allclose(program.penalty[found].sum(), min(penalties), atol=1e-6)


@settings(max_examples=80, deadline=None)
@given(programs())
def test_as_few_demands_are_dropped_as_can_be(program: Program):
    dropped = program.fewest_dropped()
    fewest = min(chosen.count(None) for chosen in combinations(program, optional=True))
    assert dropped is not None
    assert len(dropped) == fewest
    assert any(
        [d for d, position in enumerate(chosen) if position is None] == dropped
        for chosen in combinations(program, optional=True)
    )


@settings(max_examples=80, deadline=None)
@given(programs())
def test_as_few_devices_are_added_as_can_be(program: Program):
    kinds = len(program.pool)
    added = program.fewest_added([1.0] * kinds, [True] * kinds)
    assert added is not None
    assert any(combinations(program, pool=(program.pool + added).tolist()))
    if sum(added):
        for fewer in product(range(sum(added) + 1), repeat=kinds):
            if sum(fewer) < sum(added):
                assert not any(combinations(program, pool=(program.pool + fewer).tolist()))
