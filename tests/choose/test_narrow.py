"""A plan that judges only what it can show says, to the byte, what one that judges every row says."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from unittest.mock import patch

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.choose import narrow
from planner.choose.acceptable import accepts_any
from planner.choose.feasible import assess_rows
from planner.choose.index import Index
from planner.choose.least import Values, least, smallest
from planner.choose.planner import plan
from planner.choose.rank import rank
from planner.choose.setting import resolve
from planner.choose.survey import Survey, is_by_row
from planner.domain.constraint import Constraint, CostBasis, CostLimit, ThroughputFloor
from planner.domain.lifecycle import LifecycleState, VariantState
from planner.domain.price import Price
from planner.domain.scenario import Hardware, Objective, Scenario
from planner.domain.units import GIB
from tests.choose.records import GPU, NOW, generate
from tests.choose.test_oracle import constraints, maybe, scenarios

EVERY_ROW = 10**9
INDEXES: dict[tuple[int, int], Index] = {}


def index_of(size: int, seed: int) -> Index:
    """Return an index of `size` variants; of odd seeds, some are withheld and some deprecated."""
    if (size, seed) not in INDEXES:
        records = generate(size, seed=seed, profiled=(0.0, 0.05, 0.2)[seed % 3])
        states = [
            VariantState(
                variant_id=variant.id,
                state=LifecycleState.QUARANTINED if number % 2 else LifecycleState.DEPRECATED,
                reason="for the test",
                actor="test",
                changed_at=NOW,
                number=1,
            )
            for number, variant in enumerate(records.variants[:: max(size // 20, 1)])
        ]
        INDEXES[size, seed] = Index.build(
            models=records.models,
            variants=records.variants,
            evaluations=records.evaluations,
            profiles=records.profiles,
            devices=records.devices,
            states=states if seed % 2 else (),
        )
    return INDEXES[size, seed]


@contextmanager
def judging(few: int) -> Generator[None]:
    """Judge every row in full up to `few` of them."""
    with patch.object(narrow, "FEW", few):
        yield


limits = st.tuples(
    constraints,
    maybe(st.builds(ThroughputFloor, limit=st.sampled_from([10.0, 50.0, 500.0]))),
    maybe(st.builds(CostLimit, limit=st.sampled_from([0.1, 1.0, 5.0]), per=st.sampled_from(list(CostBasis)))),
).map(lambda drawn: (*drawn[0], *drawn[1:]))
hardware = st.one_of(
    st.none(),
    st.builds(
        Hardware,
        memory_bytes=st.integers(1, 60).map(lambda gib: gib * GIB),
        count=st.sampled_from([1, 1, 1, 2, 4]),
    ),
    st.builds(Hardware, device_id=st.just(GPU.id), count=st.sampled_from([1, 1, 1, 2])),
)


@st.composite
def questions(draw: st.DrawFn) -> Scenario:
    asked = draw(scenarios)
    found: tuple[Constraint | None, ...] = draw(limits)
    return msgspec.structs.replace(
        asked,
        hardware=draw(hardware),
        constraints=tuple(limit for limit in found if limit is not None),
        objective=draw(st.sampled_from(list(Objective))),
        price=draw(st.sampled_from([None, Price(per_hour=2.0, currency="USD", source="test")])),
        rate=draw(st.sampled_from([None, None, 2.0])),
    )


@settings(max_examples=50, deadline=None)
@given(scenario=questions(), size=st.sampled_from([60, 700, 3000]), seed=st.integers(0, 5))
def test_a_narrowed_plan_is_the_full_plan_to_the_byte(scenario: Scenario, size: int, seed: int) -> None:
    index = index_of(size, seed)
    with judging(EVERY_ROW):
        full = msgspec.json.encode(plan(scenario, index))
    with judging(0):
        assert msgspec.json.encode(plan(scenario, index)) == full


@settings(max_examples=30, deadline=None)
@given(scenario=questions(), seed=st.integers(0, 5))
def test_a_survey_knows_every_failure_of_every_row(scenario: Scenario, seed: int) -> None:
    index = index_of(700, seed)
    setting = resolve(scenario, index, now=None)
    every = assess_rows(index, setting, np.arange(len(index), dtype=np.int64))
    survey = Survey(index, setting, np.arange(index.layout.kinds, dtype=np.int64))
    assert sorted(survey.rows.tolist()) == list(range(len(index)))
    assert (survey.failures == every.failures[:, survey.rows]).all()
    out = [judgement.accepted for judgement in every.judgements if is_by_row(judgement)]
    rows = np.flatnonzero(np.logical_and.reduce(out)) if out else every.rows
    assert accepts_any(index, setting, rows) == bool(every.accepted.any())


@settings(max_examples=30, deadline=None)
@given(scenario=questions(), seed=st.integers(0, 5))
def test_the_best_alone_is_the_first_of_all(scenario: Scenario, seed: int) -> None:
    index = index_of(700, seed)
    setting = resolve(scenario, index, now=None)
    every = assess_rows(index, setting, np.flatnonzero(setting.selected))
    order = rank(every, at_least=1)
    first = int(every.rows[order[0]]) if len(order) else None
    with judging(0):
        assert narrow.best_selected(index, setting) == first


@given(
    values=st.lists(st.integers(0, 5), min_size=1, max_size=60),
    copies=st.sampled_from([1, 200]),
    share=st.floats(0, 1),
)
def test_the_smallest_are_found_whatever_a_sample_guesses(
    values: list[int], copies: int, share: float
) -> None:
    many = np.array(values * copies, dtype=np.float64)
    count = max(int(share * len(many)), 1)
    assert smallest(many, count) == np.sort(many)[count - 1]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40), st.integers(1, 10))
def test_the_least_by_several_keys_hold_the_first_of_the_sorted(
    rows: list[tuple[int, int]], count: int
) -> None:
    table = np.array(rows, dtype=np.float64)
    keys: tuple[Values, ...] = (lambda at: table[at, 0], lambda at: table[at, 1], lambda at: at)
    found = least(np.arange(len(rows)), count, keys)
    assert set(sorted(range(len(rows)), key=lambda at: (rows[at], at))[:count]) <= set(found.tolist())
    assert len(found) == min(count, len(rows))


@pytest.mark.parametrize("seed", [0, 1])
def test_kinds_stand_together_and_grow_heavier(seed: int) -> None:
    index = index_of(700, seed)
    layout, weights = index.layout, index.columns.weight_bytes
    assert sorted(layout.row.tolist()) == list(range(len(index)))
    for number, (start, end) in enumerate(zip(layout.starts[:-1], layout.starts[1:], strict=True)):
        rows = layout.row[start:end]
        assert (np.diff(weights[rows]) >= 0).all()
        assert (layout.kind[rows] == number).all()
        assert len({(index.records[int(row)].model_id, index.records[int(row)].scheme) for row in rows}) == 1
