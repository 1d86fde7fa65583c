"""Parallelism that a question names: it is kept to, refused with the reason, and left to the planner as a relaxation."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.choose.asked_split import PARALLELISM, any_split
from planner.choose.planner import plan
from planner.domain.outcome import Infeasible, Recommended
from planner.domain.scenario import Hardware, ModelSelector, Scenario, SelectorKind
from planner.domain.units import GIB
from planner.errors import InvalidInput
from tests.choose.records import generate
from tests.choose.test_placements import scenarios

INDEX = generate(60, seed=5).index()
OF_13B = ModelSelector(kind=SelectorKind.SIZE, size_billions=13)


def asked(scenario: Scenario, **parallelism: int) -> Scenario:
    assert scenario.hardware is not None
    hardware = msgspec.structs.replace(scenario.hardware, **parallelism)
    return msgspec.structs.replace(scenario, hardware=hardware)


@settings(max_examples=40, deadline=None)
@given(scenarios, st.data())
def test_asked_parallelism_is_kept_to_and_asking_for_what_is_best_changes_nothing(
    scenario: Scenario, data: st.DataObject
) -> None:
    assert scenario.hardware is not None
    free = plan(scenario, INDEX)
    count = scenario.hardware.count
    tensor = data.draw(st.integers(1, count))
    pipeline = data.draw(st.integers(1, count // tensor))
    outcome = plan(asked(scenario, tensor_parallel=tensor, pipeline_parallel=pipeline), INDEX)
    if isinstance(outcome, Recommended):
        memory = outcome.chosen.memory
        assert (memory.tensor_parallel, memory.pipeline_parallel) == (tensor, pipeline)
        assert isinstance(free, Recommended) or pipeline & (pipeline - 1)
    elif isinstance(free, Recommended):
        offered = {relaxation.key: relaxation for relaxation in outcome.relaxations}
        assert offered[PARALLELISM].scenario == any_split(scenario)
    if isinstance(free, Recommended):
        best = free.chosen.memory
        same = asked(scenario, tensor_parallel=best.tensor_parallel, pipeline_parallel=best.pipeline_parallel)
        again = plan(same, INDEX)
        assert isinstance(again, Recommended)
        assert again.chosen.variant_id == free.chosen.variant_id


@settings(max_examples=30, deadline=None)
@given(scenarios, st.data())
def test_replicas_asked_for_find_room(scenario: Scenario, data: st.DataObject) -> None:
    assert scenario.hardware is not None
    replicas = data.draw(st.integers(1, scenario.hardware.count))
    outcome = plan(asked(scenario, replicas=replicas), INDEX)
    if isinstance(outcome, Recommended):
        assert scenario.hardware.count // outcome.chosen.memory.devices >= replicas
        check = next(check for check in outcome.chosen.checks if check.key == PARALLELISM)
        assert check.asked == f"{replicas} replicas"


def test_a_degree_that_does_not_divide_the_heads_is_named() -> None:
    hardware = Hardware(memory_bytes=80 * GIB, count=8, tensor_parallel=7)
    outcome = plan(Scenario(model=OF_13B, hardware=hardware), INDEX)
    assert isinstance(outcome, Infeasible)
    assert outcome.conflict == (PARALLELISM,)
    assert "heads" in outcome.eliminations[0].reason
    assert [relaxation.key for relaxation in outcome.relaxations] == [PARALLELISM]


@pytest.mark.parametrize(
    ("parallelism", "field"),
    [({"tensor_parallel": 5}, "tensor_parallel"), ({"tensor_parallel": 2, "replicas": 3}, "replicas"), ({"pipeline_parallel": 0}, "pipeline_parallel")],
)  # fmt: skip
def test_more_than_there_are_devices_is_refused(parallelism: dict[str, int], field: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        msgspec.convert({"memory_bytes": GIB, "count": 4, **parallelism}, Hardware)
