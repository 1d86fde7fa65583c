"""Fleets over generated records: bounds hold, the pool suffices, the optimum is the optimum, and what is offered helps."""

from __future__ import annotations

from itertools import product
from typing import Any

import msgspec
import pytest

from planner.choose.fleet import place
from planner.choose.fleet_options import offers, options_of, replicas_for
from planner.choose.fleet_repair import round_rate
from planner.choose.index import Index
from planner.domain.constraint import LatencyLimit, LatencyMetric, LossLimit
from planner.domain.device import Device, DeviceKind, Peak
from planner.domain.fleet import Demand, Fleet, FleetObjective, NotPlaced, Placed
from planner.domain.price import Price
from planner.domain.scenario import Hardware, ModelSelector, Scenario, SelectorKind
from planner.domain.units import GIB
from planner.errors import InvalidInput, NotFound
from tests.choose.records import GPU, NOW, Records, generate

BIG = Device(
    id="gpu-80", name="Test GPU 80GB", kind=DeviceKind.GPU, vendor="Test", memory_bytes=80 * GIB,
    usable_bytes=79 * GIB, bandwidth_bytes_per_second=2.0e12, peak=Peak(bf16=4.0e14, int8=8.0e14),
)  # fmt: skip
PRICES = {
    GPU.id: Price(per_hour=1.0, currency="USD"),
    BIG.id: Price(per_hour=2.5, currency="USD"),
}


def size(billions: float, **parts: Any) -> Scenario:
    selector = ModelSelector(kind=SelectorKind.SIZE, size_billions=billions)
    return msgspec.structs.replace(Scenario(model=selector, constraints=(LossLimit(limit=0.02),)), **parts)


CHAT = size(8, constraints=(LossLimit(limit=0.02), LatencyLimit(metric=LatencyMetric.TPOT, limit=0.05)))


@pytest.fixture(scope="module")
def index() -> Index:
    records = generate(120, seed=5)
    return Records(
        records.models, records.variants, records.evaluations, records.profiles, (GPU, BIG)
    ).index()


def fleet(*rates: float, gpus: int = 4, bigs: int = 2, **parts: Any) -> Fleet:
    demands = tuple(
        Demand(name=f"d{number}", requests_per_second=rate, query="asked elsewhere")
        for number, rate in enumerate(rates)
    )
    return Fleet(pool={GPU.id: gpus, BIG.id: bigs}, demands=demands, **parts)


def answer(asked: Fleet, scenarios: list[Scenario], index: Index):
    return place(asked, scenarios, index, prices=PRICES, now=NOW, version="1").result


SCENARIOS = [CHAT, size(13), size(24)]


@pytest.mark.parametrize("objective", FleetObjective)
def test_every_bound_holds_and_the_pool_suffices(index: Index, objective: FleetObjective):
    asked = fleet(0.8, 0.5, 0.2, objective=objective)
    result = answer(asked, SCENARIOS, index)
    assert isinstance(result, Placed)
    for row, demand in zip(result.assignments, asked.demands, strict=True):
        assert row.demand == demand.name
        assert all(check.verdict.is_acceptable for check in row.candidate.checks)
        assert row.utilization.value <= asked.max_utilization * (1 + 1e-9)
        assert row.candidate.loss is not None
        assert row.candidate.loss.figure.value <= 0.02
        assert row.candidate.memory.devices == row.devices_per_replica
        assert row.utilization.interval is not None
    for use in result.pool:
        taken = sum(row.devices for row in result.assignments if row.device_id == use.device_id)
        assert (use.used, use.left) == (taken, use.total - taken)
        assert use.left >= 0
    assert result.currency == "USD"
    assert result.cost_per_hour == sum(use.used * PRICES[use.device_id].per_hour for use in result.pool)


@pytest.mark.parametrize("objective", FleetObjective)
@pytest.mark.parametrize("rates", [(0.8, 0.5, 0.2), (2.0, 1.0, 0.1), (0.1, 0.1, 0.1)])
def test_the_optimum_is_that_of_trying_everything(index: Index, objective: FleetObjective, rates):
    asked = fleet(*rates, objective=objective)
    result = answer(asked, SCENARIOS, index)
    found = [
        offer
        for number, scenario in enumerate(SCENARIOS)
        for kind, device in enumerate((GPU, BIG))
        for offer in offers(
            scenario, index, demand=number, kind=kind, device_id=device.id, cautious=False, now=NOW
        )
    ]
    pool = [4, 2]
    options = options_of(found, list(rates), max_utilization=asked.max_utilization, spare=pool)
    own = [[o for o in options if o.demand == number and o.devices <= pool[o.kind]] for number in range(3)]
    values = []
    for chosen in product(*own):
        used = [sum(o.devices for o in chosen if o.kind == kind) for kind in range(2)]
        if used[0] <= pool[0] and used[1] <= pool[1]:
            values.append(
                {
                    FleetObjective.FEWEST_DEVICES: sum(used),
                    FleetObjective.CHEAPEST: used[0] * 1.0 + used[1] * 2.5,
                    FleetObjective.MOST_HEADROOM: max(o.utilization for o in chosen),
                }[objective]
            )
    if not values:
        assert isinstance(result, NotPlaced)
        return
    assert isinstance(result, Placed)
    reached = {
        FleetObjective.FEWEST_DEVICES: result.devices,
        FleetObjective.CHEAPEST: result.cost_per_hour,
        FleetObjective.MOST_HEADROOM: result.worst_utilization,
    }[objective]
    assert reached == pytest.approx(min(values))


def test_what_is_offered_helps_when_it_is_applied(index: Index):
    asked = fleet(40.0, 4.0, 0.2, gpus=3, bigs=1)
    result = answer(asked, SCENARIOS, index)
    assert isinstance(result, NotPlaced)
    assert result.unplaceable == ()
    kinds = set()
    for relaxation in result.relaxations:
        pool = {name: count + relaxation.add.get(name, 0) for name, count in asked.pool.items()}
        kept = [
            (
                demand
                if demand.name != relaxation.demand or relaxation.requests_per_second is None
                else msgspec.structs.replace(demand, requests_per_second=relaxation.requests_per_second),
                scenario,
            )
            for demand, scenario in zip(asked.demands, SCENARIOS, strict=True)
            if demand.name not in relaxation.drop
        ]
        changed = msgspec.structs.replace(asked, pool=pool, demands=tuple(demand for demand, _ in kept))
        assert isinstance(answer(changed, [scenario for _, scenario in kept], index), Placed)
        kinds.add("add" if relaxation.add else "drop" if relaxation.drop else "rate")
        if relaxation.add and len(relaxation.add) == 1:
            (name,) = relaxation.add
            fewer = msgspec.structs.replace(asked, pool={**pool, name: pool[name] - 1})
            assert isinstance(answer(fewer, SCENARIOS, index), NotPlaced)
    assert {"add", "drop"} <= kinds


def test_more_devices_never_make_it_infeasible_or_worse(index: Index):
    few = answer(fleet(0.8, 0.5, 0.2, gpus=3, bigs=1), SCENARIOS, index)
    many = answer(fleet(0.8, 0.5, 0.2, gpus=6, bigs=3), SCENARIOS, index)
    assert isinstance(many, Placed)
    if isinstance(few, Placed):
        assert many.devices <= few.devices


def test_a_bound_that_holds_nowhere_is_named_and_never_loosened(index: Index):
    impossible = size(
        8, constraints=(LossLimit(limit=0.0001), LatencyLimit(metric=LatencyMetric.TPOT, limit=1e-6))
    )
    result = answer(fleet(0.5, 0.5), [CHAT, impossible], index)
    assert isinstance(result, NotPlaced)
    assert {(row.demand, row.device_id) for row in result.unplaceable} == {("d1", GPU.id), ("d1", BIG.id)}
    assert all("tpot" in row.conflict for row in result.unplaceable)
    assert {relaxation.drop for relaxation in result.relaxations} == {("d1",)}


def test_a_demand_that_names_a_device_stays_on_it(index: Index):
    named = msgspec.structs.replace(CHAT, hardware=Hardware(device_id=BIG.id))
    result = answer(fleet(0.1), [named], index)
    assert isinstance(result, Placed)
    assert result.assignments[0].device_id == BIG.id
    with pytest.raises(InvalidInput, match="not in the pool"):
        answer(fleet(0.1), [msgspec.structs.replace(CHAT, hardware=Hardware(memory_bytes=GIB))], index)


def test_being_cautious_takes_at_least_as_many_devices(index: Index):
    middle = answer(fleet(1.0, gpus=64, bigs=64), [CHAT], index)
    careful = answer(fleet(1.0, gpus=64, bigs=64, cautious=True), [CHAT], index)
    assert isinstance(middle, Placed)
    assert isinstance(careful, Placed)
    assert careful.devices >= middle.devices


def test_errors_name_what_is_wrong(index: Index):
    with pytest.raises(NotFound, match="gpu-99"):
        answer(msgspec.structs.replace(fleet(1.0), pool={"gpu-99": 1}), [CHAT], index)
    with pytest.raises(InvalidInput, match="no price is given for gpu-24"):
        place(fleet(1.0, objective=FleetObjective.CHEAPEST), [CHAT], index, prices={}, now=NOW, version="1")
    with pytest.raises(InvalidInput, match="one currency"):
        answer(fleet(1.0, prices={GPU.id: Price(per_hour=1, currency="EUR")}), [CHAT], index)
    bad: dict[str, Any]
    for bad in (
        {"requests_per_second": 0.0, "query": "q"},
        {"requests_per_second": 1.0},
        {"requests_per_second": 1.0, "query": "q", "scenario": Scenario()},
    ):
        with pytest.raises(InvalidInput):
            Demand(name="d", **bad)
    with pytest.raises(InvalidInput, match="different name"):
        Fleet(pool={GPU.id: 1}, demands=fleet(1.0).demands * 2)


def test_replicas_and_rates_are_rounded_to_the_safe_side():
    assert [replicas_for(rate, 1.0, 0.5) for rate in (0.1, 0.5, 0.51, 1.0)] == [1, 1, 2, 2]
    for rate in (0.8829, 12.3456, 1.0, 0.0301):
        assert 0.99 * rate < round_rate(rate) <= rate
