from __future__ import annotations

import msgspec
import pytest

from planner.domain.workload import Workload
from planner.errors import InvalidInput, NotFound
from tests.worker.campaign.conftest import SHAPE, STEPS, campaign_of
from worker.campaign.points import choose_points
from worker.campaign.specification import Machine
from worker.campaign.units import ShapeWork, units_of
from worker.measure.latency import Repetition
from worker.recipes import parse_recipe

pytestmark = pytest.mark.worker


def test_a_step_becomes_a_unit_for_every_model_and_recipe_in_its_order(catalogue):
    units = units_of(campaign_of(STEPS), catalogue)
    assert [unit.title for unit in units] == ["shape tiny bf16", "shape tiny int8-weight-only"]
    first, second = (unit.work for unit in units)
    assert isinstance(first, ShapeWork)
    assert isinstance(second, ShapeWork)
    assert second.variant_id == "published:tiny/int8"  # the plainest of those with the scheme
    assert [str(point) for point in first.conditions.workloads] == [
        "8 in, 4 out, concurrency 1",
        "8 in, 4 out, concurrency 2",
        "32 in, 4 out, concurrency 1",
        "32 in, 4 out, concurrency 2",
    ]
    assert len({unit.key for unit in units}) == 2


def test_a_key_is_of_what_decides_the_result_and_not_of_the_points_or_the_estimate(catalogue):
    def keys(text):
        return [unit.key for unit in units_of(campaign_of(text), catalogue)]

    assert keys(STEPS) == keys(STEPS)
    assert keys(STEPS) == keys(STEPS.replace("[2, 1]", "[1, 2, 4]"))
    assert keys(STEPS) == keys(STEPS.replace("start_seconds = 5", "flops = 1e12"))
    assert keys(STEPS) != keys(STEPS.replace("least = 2", "least = 3"))
    assert (
        keys(STEPS)[1]
        != keys(STEPS.replace('"int8_weight_only"', '{ recipe = "int8_weight_only", compute = "float16" }'))[
            1
        ]
    )


def test_the_same_unit_of_two_steps_is_done_once(catalogue):
    again = STEPS[STEPS.index("[[steps]]") :]
    assert len(units_of(campaign_of(STEPS + again), catalogue)) == 2


def test_unknown_models_and_schemes_nobody_has_are_named(catalogue):
    with pytest.raises(NotFound, match="no model `tinny`"):
        units_of(campaign_of(STEPS.replace('"tiny"', '"tinny"')), catalogue)
    with pytest.raises(InvalidInput, match="no variant of `tiny` under `int8-dynamic`"):
        units_of(campaign_of(STEPS.replace('"int8_weight_only"', '"int8_dynamic"')), catalogue)
    with pytest.raises(InvalidInput, match="all are beyond its context"):
        units_of(campaign_of(STEPS.replace("[32, 8, 4096]", "[4096]")), catalogue)


def _points(**machine):
    return choose_points(
        SHAPE,
        parse_recipe("bf16").scheme,
        batches=(4, 1),
        contexts=(64, 16),
        output_tokens=4,
        repetition=Repetition(warmup=1, least=1, most=1, budget_seconds=0.01),
        point_limit_seconds=1.0,
        machine=Machine(**{"compile_seconds": 0.0, **machine}),
    )


def test_points_come_cheapest_first():
    found = _points(bandwidth=1e9)
    assert found.workloads[0] == Workload(input_tokens=16, output_tokens=4, concurrency=1)
    assert found.workloads[-1] == Workload(input_tokens=64, output_tokens=4, concurrency=4)
    assert not found.left_out


def test_points_that_cannot_be_are_left_out_with_their_reason():
    weights = 2 * SHAPE.parameters
    cache = 2 * SHAPE.kv_elements(68) * 4
    memory = _points(memory_bytes=weights + cache - 1)
    assert [
        (left.workload.input_tokens, left.workload.concurrency, left.reason) for left in memory.left_out
    ] == [(64, 4, "larger_than_memory")]
    # 2 runs of a prompt of 256 tokens at 2 operations a parameter
    slow = _points(flops=2 * 2 * SHAPE.linear_parameters * 256 * 0.99)
    assert [(left.workload.concurrency, left.reason) for left in slow.left_out] == [(4, "time_limit")]
    assert "estimated at 1 s, over the limit of 1 s a point" in str(slow.left_out[0].detail)
    assert msgspec.json.encode(slow)
