"""The best placement of the best variant, against brute force over random catalogues, and what a placement carries."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.choose.planner import plan
from planner.domain.constraint import LatencyLimit, LatencyMetric, LossLimit, ThroughputFloor
from planner.domain.outcome import Infeasible, Recommended
from planner.domain.scenario import Hardware, ModelSelector, Objective, Scenario, SelectorKind
from planner.domain.units import GIB
from planner.domain.workload import Workload
from tests.choose.records import GPU, generate
from tests.scenarios import oracle


def bare(gib: int, each: int, nodes: int) -> Hardware:
    return Hardware(memory_bytes=gib * GIB, count=each * nodes, nodes=nodes)


def named(each: int, nodes: int) -> Hardware:
    return Hardware(device_id=GPU.id, count=each * nodes, nodes=nodes)


hardware = st.one_of(
    st.builds(
        bare,
        st.integers(4, 40),
        st.integers(1, 8),
        st.sampled_from([1, 1, 2]),
    ),
    st.builds(
        named,
        st.integers(1, 8),
        st.sampled_from([1, 2]),
    ),
)
scenarios = st.builds(
    Scenario,
    model=st.sampled_from([ModelSelector(), ModelSelector(kind=SelectorKind.SIZE, size_billions=13)]),
    hardware=hardware,
    workload=st.builds(
        Workload, input_tokens=st.sampled_from([100, 3000]), concurrency=st.sampled_from([1, 8])
    ),
    constraints=st.sampled_from(
        [
            (),
            (LossLimit(limit=0.02),),
            (LatencyLimit(metric=LatencyMetric.TPOT, limit=0.02),),
            (ThroughputFloor(limit=60), LossLimit(limit=0.05)),
        ]
    ),
    objective=st.sampled_from(Objective),
    rate=st.sampled_from([None, None, 0.5, 5.0]),
)


@settings(max_examples=60, deadline=None)
@given(scenario=scenarios, seed=st.integers(0, 4))
def test_the_optimum_is_exact_over_all_candidates_and_placements(scenario: Scenario, seed: int) -> None:
    index = generate(24, seed=seed, workload=scenario.workload).index()
    expected, outcome = oracle.answer(scenario, index), plan(scenario, index)
    if isinstance(outcome, Recommended):
        memory = outcome.chosen.memory
        found = (outcome.chosen.variant_id, memory.tensor_parallel, memory.pipeline_parallel)
        assert found == (expected.chosen, expected.tensor, expected.pipeline)
        assert outcome.eliminated.get("objective", 0) + 1 == expected.accepted
    else:
        assert expected.chosen is None
        for relaxation in outcome.relaxations:
            assert oracle.answer(relaxation.scenario, index).chosen == relaxation.variant_id


@settings(max_examples=30, deadline=None)
@given(scenario=scenarios, seed=st.integers(0, 4), more=st.integers(0, 20))
def test_more_memory_or_more_nodes_never_make_feasible_infeasible(
    scenario: Scenario, seed: int, more: int
) -> None:
    index = generate(24, seed=seed, workload=scenario.workload).index()
    if not isinstance(plan(scenario, index), Recommended):
        return
    before = scenario.hardware
    assert before is not None
    if before.memory_bytes is not None:
        larger = msgspec.structs.replace(before, memory_bytes=before.memory_bytes + more * GIB)
        assert isinstance(plan(msgspec.structs.replace(scenario, hardware=larger), index), Recommended)
    doubled = msgspec.structs.replace(before, count=before.count * 2, nodes=before.nodes * 2)
    assert isinstance(plan(msgspec.structs.replace(scenario, hardware=doubled), index), Recommended)


@settings(max_examples=25, deadline=None)
@given(scenario=scenarios, seed=st.integers(0, 4))
def test_what_a_placement_carries_is_the_most_that_fits(scenario: Scenario, seed: int) -> None:
    scenario = msgspec.structs.replace(scenario, constraints=(), rate=None, objective=Objective.MOST_ACCURATE)
    index = generate(24, seed=seed, workload=Workload(input_tokens=7)).index()
    outcome = plan(scenario, index)
    if not isinstance(outcome, Recommended):
        return
    chosen, placed = outcome.chosen, outcome.placements[0]
    longest = index.models[chosen.model_id].architecture.max_context
    assert placed.max_concurrency is not None
    assert placed.max_context is not None
    assert placed.max_concurrency >= scenario.workload.concurrency
    assert placed.max_context >= scenario.workload.context_tokens
    selector = ModelSelector(kind=SelectorKind.MODEL, value=chosen.model_id)

    def fits(**load: int) -> bool:
        workload = msgspec.structs.replace(scenario.workload, **load)
        asked = msgspec.structs.replace(scenario, model=selector, workload=workload)
        options = oracle.every_placement(asked, index)[index.rows[chosen.variant_id]]
        wanted = (placed.tensor_parallel, placed.pipeline_parallel)
        return any((o.tensor, o.pipeline) == wanted and "memory" not in o.fails for o in options)

    assert fits(concurrency=placed.max_concurrency)
    if placed.max_concurrency < 1_000_000:
        assert not fits(concurrency=placed.max_concurrency + 1)
    output = scenario.workload.output_tokens
    assert fits(input_tokens=placed.max_context - output)
    if placed.max_context != longest:
        assert not fits(input_tokens=placed.max_context - output + 1)


def test_a_rate_that_one_request_at_a_time_cannot_serve_is_offered_more_at_once() -> None:
    index = generate(24, seed=1, workload=Workload()).index()
    scenario = Scenario(hardware=Hardware(device_id=GPU.id), rate=1.0)
    outcome = plan(scenario, index)
    assert isinstance(outcome, Infeasible)
    offered = {relaxation.key: relaxation for relaxation in outcome.relaxations}
    relaxation = offered["workload.concurrency"]
    assert relaxation.scenario.workload.concurrency > 1
    served = plan(relaxation.scenario, index)
    assert isinstance(served, Recommended)
    assert served.chosen.serving is not None
    assert served.chosen.serving.replicas <= served.chosen.serving.available
    half = msgspec.structs.replace(
        scenario,
        workload=Workload(concurrency=relaxation.scenario.workload.concurrency // 2),
    )
    assert isinstance(plan(half, index), Infeasible)


def test_a_rate_is_offered_to_be_dropped_where_no_time_is_known() -> None:
    index = generate(24, seed=1).index()
    scenario = Scenario(hardware=Hardware(memory_bytes=40 * GIB), rate=1.0)
    outcome = plan(scenario, index)
    assert isinstance(outcome, Infeasible)
    assert [(relaxation.key, relaxation.after) for relaxation in outcome.relaxations] == [
        ("rate", "not limited")
    ]
    assert outcome.relaxations[0].scenario.rate is None
