"""What must hold of every answer, whatever the records and the question."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from planner.choose.conflict import conflict_of
from planner.choose.feasible import MODEL, assess_rows
from planner.choose.frontier import pareto
from planner.choose.index import Index
from planner.choose.planner import plan, why
from planner.choose.setting import resolve
from planner.domain.constraint import (
    Constraint,
    DiskLimit,
    LatencyLimit,
    LossLimit,
    ThroughputFloor,
)
from planner.domain.outcome import Infeasible, Recommended, Verdict
from planner.domain.scenario import Hardware, Objective, Scenario
from planner.domain.units import GIB
from tests.choose.records import generate
from tests.choose.test_oracle import scenarios

SEEDS = range(6)
INDEXES: dict[int, Index] = {}


def index_of(seed: int) -> Index:
    if seed not in INDEXES:
        INDEXES[seed] = generate(60, seed=seed).index()
    return INDEXES[seed]


def with_memory(scenario: Scenario, gib: int) -> Scenario:
    return msgspec.structs.replace(scenario, hardware=Hardware(memory_bytes=gib * GIB))


@settings(max_examples=80, deadline=None)
@given(scenario=scenarios, seed=st.sampled_from(SEEDS), gib=st.integers(1, 80), more=st.integers(0, 80))
def test_more_memory_never_makes_feasible_infeasible(
    scenario: Scenario, seed: int, gib: int, more: int
) -> None:
    index = index_of(seed)
    small, large = (plan(with_memory(scenario, size), index) for size in (gib, gib + more))
    if isinstance(small, Recommended):
        assert isinstance(large, Recommended)


def tightened(constraint: Constraint, factor: float) -> Constraint:
    match constraint:
        case LossLimit() | LatencyLimit():
            return msgspec.structs.replace(constraint, limit=constraint.limit * factor)
        case DiskLimit():
            return msgspec.structs.replace(constraint, limit=round(constraint.limit * factor))
        case ThroughputFloor():
            return msgspec.structs.replace(constraint, limit=constraint.limit / factor)
        case _:
            return constraint


@settings(max_examples=80, deadline=None)
@given(scenario=scenarios, seed=st.sampled_from(SEEDS), factor=st.floats(0.05, 1))
def test_tighter_constraints_never_improve_the_optimum(scenario: Scenario, seed: int, factor: float) -> None:
    index = index_of(seed)
    scenario = msgspec.structs.replace(scenario, objective=Objective.SMALLEST)
    tight = msgspec.structs.replace(
        scenario, constraints=tuple(tightened(constraint, factor) for constraint in scenario.constraints)
    )
    after = plan(tight, index)
    assume(isinstance(after, Recommended))
    before = plan(scenario, index)
    assert isinstance(before, Recommended)
    assert isinstance(after, Recommended)

    def best(outcome: Recommended) -> float:
        # Certified comes before likely, so sizes are compared over everything acceptable.
        shown = (outcome.chosen, *outcome.alternatives)
        return min(index.variants[candidate.variant_id].weight_bytes.value for candidate in shown)

    if len(before.alternatives) < 10:
        assert best(before) <= best(after)


@settings(max_examples=80, deadline=None)
@given(scenario=scenarios, seed=st.sampled_from(SEEDS))
def test_every_relaxation_works_when_applied(scenario: Scenario, seed: int) -> None:
    index = index_of(seed)
    outcome = plan(scenario, index)
    if not isinstance(outcome, Infeasible):
        return
    for relaxation in outcome.relaxations:
        applied = plan(relaxation.scenario, index)
        assert isinstance(applied, Recommended)
        assert applied.chosen.variant_id == relaxation.variant_id
        assert relaxation.before != relaxation.after


@settings(max_examples=80, deadline=None)
@given(scenario=scenarios, seed=st.sampled_from(SEEDS))
def test_relaxations_are_minimal_on_their_grid(scenario: Scenario, seed: int) -> None:
    index = index_of(seed)
    outcome = plan(scenario, index)
    if not isinstance(outcome, Infeasible):
        return
    for relaxation in outcome.relaxations:
        if "+" in relaxation.key or relaxation.change is None:
            continue
        less = one_step_less(scenario, relaxation.scenario, relaxation.key)
        if less is not None:
            assert isinstance(plan(less, index), Infeasible)


def one_step_less(asked: Scenario, relaxed: Scenario, key: str) -> Scenario | None:
    """Return the scenario one grid step nearer to what was asked, None where that is what was asked."""
    replace = msgspec.structs.replace
    if key == "memory":
        hardware = relaxed.hardware
        assert hardware is not None
        assert hardware.memory_bytes is not None
        return replace(relaxed, hardware=replace(hardware, memory_bytes=hardware.memory_bytes - GIB))
    if key == "devices":
        hardware = relaxed.hardware
        assert hardware is not None
        return replace(relaxed, hardware=replace(hardware, count=hardware.count // 2))
    if key.startswith("workload."):
        field = key.partition(".")[2]
        now, was = getattr(relaxed.workload, field), getattr(asked.workload, field)
        step = max(1, was // 16)
        if now + step > was:
            return None
        return replace(relaxed, workload=replace(relaxed.workload, **{field: now + step}))
    for number, constraint in enumerate(relaxed.constraints):
        if constraint.key != key:
            continue
        steps = {"loss": 0.001, "loss:mmlu": 0.001, "disk": 1e8, "ttft": 1e-3, "tpot": 1e-3}
        if isinstance(constraint, (LossLimit, DiskLimit, LatencyLimit)):
            limit = constraint.limit - steps[key] * (
                0.1 if isinstance(constraint, LatencyLimit) and constraint.limit < 0.01 else 1
            )
            kind = int if isinstance(constraint, DiskLimit) else float
            changed = replace(constraint, limit=max(kind(limit), kind(asked.constraints[number].limit)))  # type: ignore[union-attr]
            return replace(
                relaxed,
                constraints=(*relaxed.constraints[:number], changed, *relaxed.constraints[number + 1 :]),
            )
    return None


@settings(max_examples=80, deadline=None)
@given(scenario=scenarios, seed=st.sampled_from(SEEDS))
def test_conflicts_are_real_and_irreducible(scenario: Scenario, seed: int) -> None:
    index = index_of(seed)
    outcome = plan(scenario, index)
    if not isinstance(outcome, Infeasible):
        return
    setting = resolve(scenario, index, now=None)
    everything = assess_rows(index, setting, np.arange(len(index)))
    failing = {judgement.key: ~judgement.accepted for judgement in everything.judgements}
    failing[MODEL] = ~setting.selected

    def conflicts(keys: tuple[str, ...]) -> bool:
        return bool(np.logical_or.reduce([failing[key] for key in keys]).all()) if keys else not len(index)

    assert outcome.conflict == conflict_of(everything)
    assert conflicts(outcome.conflict)
    for key in outcome.conflict:
        assert not conflicts(tuple(other for other in outcome.conflict if other != key))


@settings(max_examples=40, deadline=None)
@given(scenario=scenarios, seed=st.sampled_from(SEEDS), pick=st.integers(0, 59))
def test_why_agrees_with_the_plan(scenario: Scenario, seed: int, pick: int) -> None:
    index = index_of(seed)
    outcome = plan(scenario, index)
    named = index.records[pick]
    candidate, elimination = why(scenario, index, named.id)
    chosen = isinstance(outcome, Recommended) and outcome.chosen.variant_id == named.id
    assert chosen is (elimination is None)
    accepted = all(check.verdict.is_acceptable for check in candidate.checks)
    assert accepted is (elimination is None or elimination.key == "objective")
    if elimination is not None and elimination.key != "objective":
        decisive = next(check for check in candidate.checks if not check.verdict.is_acceptable)
        assert decisive.key == elimination.key
    if chosen and isinstance(outcome, Recommended):
        assert candidate == outcome.chosen


@settings(max_examples=40, deadline=None)
@given(scenario=scenarios, seed=st.sampled_from(SEEDS))
def test_every_variant_is_accounted_for(scenario: Scenario, seed: int) -> None:
    index = index_of(seed)
    outcome = plan(scenario, index)
    others = len(index) - isinstance(outcome, Recommended)
    assert sum(outcome.eliminated.values()) == others
    assert all(elimination.reason for elimination in outcome.eliminations)
    assert len({elimination.variant_id for elimination in outcome.eliminations}) == len(outcome.eliminations)


@settings(max_examples=40, deadline=None)
@given(scenario=scenarios, seed=st.sampled_from(SEEDS))
def test_a_recommendation_has_only_acceptable_verdicts(scenario: Scenario, seed: int) -> None:
    outcome = plan(scenario, index_of(seed))
    if isinstance(outcome, Recommended):
        for candidate in (outcome.chosen, *outcome.alternatives):
            assert all(check.verdict.is_acceptable for check in candidate.checks)
            memory = next((check for check in candidate.checks if check.key == "memory"), None)
            assert memory is None or memory.verdict is Verdict.MET
            if candidate.memory.fit_probability is not None:
                assert candidate.memory.fit_probability >= 1 - scenario.risk - 1e-12


@given(st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, 2.0, np.inf])] * 3), min_size=1, max_size=30))
def test_the_frontier_is_exactly_the_undominated_points(rows: list[tuple[float, float, float]]) -> None:
    points = np.array(rows)
    found = {rows[position] for position in pareto(points).tolist()}

    def dominated(row: tuple[float, float, float]) -> bool:
        return any(all(a <= b for a, b in zip(other, row, strict=True)) and other != row for other in rows)

    assert found == {row for row in rows if not dominated(row)}
    assert len(pareto(points)) == len(found)
