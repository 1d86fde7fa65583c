"""Sweeps: their grammar, and curves whose every point and change is the planner's own answer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.choose.index import Index
from planner.choose.planner import plan
from planner.choose.sweep import RESOLUTION, sweep
from planner.choose.sweep_range import MAX_POINTS, parse_range
from planner.domain.constraint import LatencyLimit, LatencyMetric, LossLimit
from planner.domain.loss import LossKind
from planner.domain.outcome import Recommended
from planner.domain.scenario import Hardware, Objective, Scenario
from planner.domain.sweep import Scale
from planner.domain.units import GIB
from planner.errors import InvalidInput
from tests.choose.records import GPU, generate

INDEXES = {seed: generate(50, seed=seed).index() for seed in range(3)}
ON_CARD = Scenario(hardware=Hardware(memory_bytes=24 * GIB), constraints=(LossLimit(limit=0.02),))
ON_GPU = Scenario(
    hardware=Hardware(device_id=GPU.id), constraints=(LatencyLimit(metric=LatencyMetric.TPOT, limit=0.05),)
)


def chosen(scenario: Scenario, index: Index) -> str | None:
    outcome = plan(scenario, index)
    return outcome.chosen.variant_id if isinstance(outcome, Recommended) else None


@pytest.mark.parametrize(
    ("text", "lo", "hi", "points", "scale"),
    [
        ("memory=8GiB..80GiB/50", 8 * GIB, 80 * GIB, 50, Scale.LOG),
        ("vram = 8GB .. 80GB / 10 : linear", 8 * GIB, 80 * GIB, 10, Scale.LINEAR),
        ("loss=0%..5%", 0.0, 0.05, 25, Scale.LINEAR),
        ("loss=0.1%..5%:log", 0.001, 0.05, 25, Scale.LOG),
        ("ttft=50ms..2s", 0.05, 2.0, 25, Scale.LOG),
        ("concurrency=1..256/9", 1, 256, 9, Scale.LOG),
        ("context=1k..32k", 1024, 32768, 25, Scale.LOG),
        ("devices=1..8/8:lin", 1, 8, 8, Scale.LINEAR),
        ("disk=1GB..20GB", 1e9, 20e9, 25, Scale.LOG),
    ],
)
def test_ranges_are_read(text: str, lo: float, hi: float, points: int, scale: Scale) -> None:
    over = parse_range(text, ON_CARD)
    assert (over.points, over.scale) == (points, scale)
    assert [over.lo, over.hi] == pytest.approx([lo, hi])
    values = over.values()
    assert (values[0], values[-1]) == (over.lo, over.hi)
    assert list(values) == sorted(set(values))
    assert len(values) <= points


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("memory", "over"),
        ("memory=8GiB", "over"),
        ("colour=1..2", "over"),
        ("latency=1ms..2ms", "over"),
        ("memory=80GiB..8GiB", "over.to"),
        ("memory=8GiB..80GiB/201", "over.points"),
        ("memory=8GiB..80GiB/0", "over.points"),
        ("memory=lots..80GiB", "over.from"),
        ("memory=8GiB..x", "over.to"),
        ("loss=0%..5%:log", "over.from"),
        ("loss=1..5", "over.from"),
        ("context=10..32k", "over.from"),
        ("devices=1..5000", "hardware.count"),
        ("x" * 300, "over"),
    ],
)
def test_what_is_no_range_is_refused_by_name(text: str, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_range(text, ON_CARD)
    assert refused.value.details["field"] == field


def test_latency_is_the_one_limit_there_is() -> None:
    assert parse_range("latency=1ms..2s", ON_GPU).dial.name == "tpot"


def test_an_absolute_loss_is_swept_in_points() -> None:
    scenario = Scenario(constraints=(LossLimit(limit=1.0, kind=LossKind.ABSOLUTE),))
    over = parse_range("loss=0.5pp..4pp/8", scenario)
    assert (over.lo, over.hi) == (0.5, 4.0)
    assert over.dial.show(2.0) == "2 pp"


RANGES = st.sampled_from(
    [
        (ON_CARD, "memory=2GiB..120GiB/9"),
        (ON_CARD, "loss=0%..6%/9"),
        (ON_CARD, "concurrency=1..400/7"),
        (ON_CARD, "context=512..20k/7"),
        (ON_GPU, "tpot=1ms..200ms/9"),
        (ON_GPU, "throughput=1..2000/7"),
    ]
)


@settings(max_examples=8, deadline=None)
@given(
    case=RANGES,
    seed=st.sampled_from(sorted(INDEXES)),
    objective=st.sampled_from([Objective.MOST_ACCURATE, Objective.SMALLEST, Objective.FASTEST]),
)
def test_points_and_changes_are_the_planners_answers(
    case: tuple[Scenario, str], seed: int, objective: Objective
) -> None:
    base, text = case
    scenario = Scenario(hardware=base.hardware, constraints=base.constraints, objective=objective)
    index = INDEXES[seed]
    over = parse_range(text, scenario)
    curve = sweep(scenario, index, over)
    assert curve == sweep(scenario, index, over)
    for point in curve.points:
        assert point.variant_id == chosen(over.dial.put(scenario, point.value), index)
    # From one end to the other, each change leads to the next, and stands where it is said to.
    at = curve.points[0].variant_id
    for each in curve.breakpoints:
        assert each.before_id == at
        at = each.after_id
        assert each.before_id == chosen(over.dial.put(scenario, each.below), index)
        assert each.after_id == chosen(over.dial.put(scenario, each.value), index)
        apart = each.value - each.below
        assert apart == 1 if over.dial.whole else apart <= RESOLUTION * each.value
    assert at == curve.points[-1].variant_id


@pytest.mark.parametrize("seed", sorted(INDEXES))
def test_more_memory_and_looser_limits_keep_what_was_feasible(seed: int) -> None:
    for text in ("memory=1GiB..200GiB/40", "loss=0%..20%/40"):
        curve = sweep(ON_CARD, INDEXES[seed], parse_range(text, ON_CARD))
        feasible = [point.outcome == "recommended" for point in curve.points]
        assert feasible == sorted(feasible)
        counts = [point.accepted for point in curve.points]
        assert counts == sorted(counts)


def test_a_tighter_loss_never_betters_the_optimum() -> None:
    """Where the fewest bytes are asked for, they never grow as the limit on loss rises."""
    scenario = Scenario(
        constraints=(LossLimit(limit=0.02, certified_only=True),), objective=Objective.SMALLEST
    )
    for index in INDEXES.values():
        curve = sweep(scenario, index, parse_range("loss=0%..8%/30", scenario))
        smallest = [
            index.variants[point.variant_id].weight_bytes.value
            for point in curve.points
            if point.variant_id is not None
        ]
        assert len(smallest) > 10
        assert smallest == sorted(smallest, reverse=True)
        assert smallest[0] > smallest[-1]


def test_at_most_so_many_points() -> None:
    assert len(parse_range(f"memory=1GiB..900GiB/{MAX_POINTS}", ON_CARD).values()) == MAX_POINTS
