"""The vectorised planner against a plain loop over the same records."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.choose.planner import plan
from planner.domain.constraint import (
    Constraint,
    DiskLimit,
    FormatFilter,
    LatencyLimit,
    LatencyMetric,
    LossLimit,
    RuntimeFilter,
    SchemeFilter,
)
from planner.domain.outcome import Recommended
from planner.domain.scenario import Hardware, ModelSelector, Objective, Scenario, SelectorKind
from planner.domain.units import GIB
from planner.domain.workload import Workload
from tests.choose import oracle
from tests.choose.records import GPU, generate

selectors = st.sampled_from(
    [
        ModelSelector(),
        ModelSelector(kind=SelectorKind.SIZE, size_billions=13),
        ModelSelector(kind=SelectorKind.FAMILY, value="llama"),
        ModelSelector(kind=SelectorKind.MODEL, value="mistral-24b"),
    ]
)
hardware = st.one_of(
    st.none(),
    st.builds(
        Hardware,
        memory_bytes=st.integers(6, 60).map(lambda gib: gib * GIB),
        count=st.sampled_from([1, 1, 2, 3, 8]),
    ),
    st.just(Hardware(device_id=GPU.id)),
)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw None in three of four cases, so that scenarios with every constraint stay rare."""
    return st.integers(0, 3).flatmap(lambda draw: st.none() if draw else strategy)


constraints = st.tuples(
    maybe(
        st.builds(
            LossLimit,
            limit=st.sampled_from([0.0, 0.005, 0.01, 0.02, 0.05]),
            task=st.sampled_from([None, None, "mmlu"]),
            certified_only=st.booleans(),
        ),
    ),
    maybe(st.builds(DiskLimit, limit=st.integers(4, 60).map(lambda gb: gb * 10**9))),
    maybe(st.builds(RuntimeFilter, name=st.sampled_from(["vllm", "transformers", "llama.cpp"]))),
    maybe(st.builds(FormatFilter, name=st.sampled_from(["gguf", "safetensors"]))),
    maybe(st.builds(SchemeFilter, words=st.just(("int4", "int8")), exclude=st.just(False))),
    maybe(
        st.builds(
            LatencyLimit,
            metric=st.sampled_from([LatencyMetric.TTFT, LatencyMetric.TPOT]),
            limit=st.sampled_from([0.005, 0.02, 0.05, 0.3]),
            quantile=st.sampled_from(["p50", "p95", "mean"]),
        ),
    ),
)
scenarios = st.builds(
    Scenario,
    model=selectors,
    hardware=hardware,
    workload=st.builds(
        Workload,
        input_tokens=st.sampled_from([100, 1024, 1024, 6000]),
        output_tokens=st.sampled_from([16, 256]),
        concurrency=st.sampled_from([1, 7]),
    ),
    constraints=constraints.map(lambda found: tuple[Constraint, ...](c for c in found if c is not None)),
    objective=st.sampled_from([Objective.MOST_ACCURATE, Objective.SMALLEST, Objective.CHEAPEST]),
    risk=st.sampled_from([0.01, 0.05]),
)


def on_one_device(scenario: Scenario) -> bool:
    """Several devices and their placements are held against brute force in `test_placements`."""
    return scenario.hardware is None or scenario.hardware.count == 1


@settings(max_examples=100, deadline=None)
@given(scenario=scenarios.filter(on_one_device), seed=st.integers(0, 5))
def test_plan_agrees_with_a_plain_loop(scenario: Scenario, seed: int) -> None:
    records = generate(40, seed=seed, workload=scenario.workload)
    expected = oracle.answer(scenario, records)
    outcome = plan(scenario, records.index())
    chosen = outcome.chosen.variant_id if isinstance(outcome, Recommended) else None
    assert chosen == expected.chosen
    assert dict(outcome.eliminated) == dict(expected.fell)


@settings(max_examples=30, deadline=None)
@given(scenario=scenarios, seed=st.integers(0, 5), order=st.integers(0, 1000))
def test_order_of_records_never_changes_the_answer(scenario: Scenario, seed: int, order: int) -> None:
    records = generate(25, seed=seed, workload=scenario.workload)
    one = msgspec.json.encode(plan(scenario, records.index()))
    assert one == msgspec.json.encode(plan(scenario, records.shuffled(order).index()))
