"""Costs: by the price, the devices used and the throughput; as a figure, a bound and an objective."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from planner.choose.planner import plan
from planner.domain.constraint import CostBasis, CostLimit, LossLimit
from planner.domain.figure import Basis
from planner.domain.outcome import Candidate, Infeasible, Recommended, Verdict
from planner.domain.price import Price, PriceList
from planner.domain.scenario import Hardware, Objective, Scenario
from planner.domain.units import GIB
from planner.errors import InvalidInput
from tests.choose.records import GPU, NOW, generate

PRICE = Price(per_hour=0.72, currency="USD", source="contract")
INDEX = generate(80, seed=3).index()
ASKED = Scenario(
    hardware=Hardware(device_id=GPU.id), constraints=(LossLimit(limit=0.03),), price=PRICE,
    objective=Objective.CHEAPEST,
)  # fmt: skip


def candidates(result: Recommended | Infeasible) -> tuple[Candidate, ...]:
    assert isinstance(result, Recommended)
    return (result.chosen, *result.alternatives)


def token_cost(candidate: Candidate) -> float:
    assert candidate.cost is not None
    assert candidate.cost.per_million_tokens is not None
    return candidate.cost.per_million_tokens.value


def test_cost_follows_from_price_devices_and_throughput():
    result = plan(ASKED, INDEX, now=NOW)
    assert isinstance(result, Recommended)
    for candidate in candidates(result):
        cost, throughput = candidate.cost, candidate.latency.throughput
        assert cost is not None
        assert throughput is not None
        assert cost.per_hour.value == pytest.approx(0.72 * candidate.memory.devices)
        tokens = cost.per_million_tokens
        assert tokens is not None
        assert tokens.value == pytest.approx(cost.per_hour.value / 3600 / throughput.value * 1e6)
        assert tokens.basis is throughput.basis
        assert throughput.interval is not None
        assert tokens.interval is not None
        assert tokens.interval.hi == pytest.approx(cost.per_hour.value / 3600 / throughput.interval.lo * 1e6)
    assert any("USD" in reason for reason in result.reasons)


def test_the_cheapest_costs_least_per_token():
    result = plan(ASKED, INDEX, now=NOW)
    assert isinstance(result, Recommended)
    assert result.chosen.loss is not None
    equals = [c for c in candidates(result) if c.loss and c.loss.verdict == result.chosen.loss.verdict]
    assert len(candidates(result)) > 3
    assert token_cost(result.chosen) == min(map(token_cost, equals))
    assert result.frontier[0].cost is not None


def test_a_bound_admits_only_what_costs_at_most_that_and_its_relaxation_helps():
    least = token_cost(candidates(plan(ASKED, INDEX, now=NOW))[0])

    def bounded(limit: float) -> Scenario:
        return msgspec.structs.replace(ASKED, constraints=(*ASKED.constraints, CostLimit(limit=limit)))

    for candidate in candidates(plan(bounded(least * 1.2), INDEX, now=NOW)):
        assert token_cost(candidate) <= least * 1.2
    free = candidates(plan(msgspec.structs.replace(ASKED, constraints=()), INDEX, now=NOW))
    cheapest = min(map(token_cost, free))
    strict = plan(bounded(cheapest * 0.2), INDEX, now=NOW)
    assert isinstance(strict, Infeasible)
    offered = next(relaxation for relaxation in strict.relaxations if relaxation.key == "cost")
    assert isinstance(plan(offered.scenario, INDEX, now=NOW), Recommended)


def test_a_cost_by_the_hour_is_certain():
    limit = CostLimit(limit=0.72, per=CostBasis.HOUR, currency="USD")
    result = plan(msgspec.structs.replace(ASKED, constraints=(limit,)), INDEX, now=NOW)
    assert isinstance(result, Recommended)
    check = next(check for check in result.chosen.checks if check.key == "cost-per-hour")
    assert check.verdict is Verdict.MET
    tight = msgspec.structs.replace(ASKED, constraints=(CostLimit(limit=0.71, per=CostBasis.HOUR),))
    assert isinstance(plan(tight, INDEX, now=NOW), Infeasible)


def test_without_a_price_nothing_is_invented():
    asked = msgspec.structs.replace(ASKED, price=None)
    result = plan(asked, INDEX, now=NOW)
    assert isinstance(result, Recommended)
    assert result.chosen.cost is None
    assert any("Prices are not given" in warning for warning in result.warnings)
    bounded = plan(msgspec.structs.replace(asked, constraints=(CostLimit(limit=5.0),)), INDEX, now=NOW)
    assert isinstance(bounded, Infeasible)
    assert "no price of Test GPU 24GB is given" in bounded.eliminations[0].reason


def test_currencies_are_not_mixed():
    mixed = msgspec.structs.replace(ASKED, constraints=(CostLimit(limit=1.0, currency="EUR"),))
    with pytest.raises(InvalidInput, match=r"cost\.currency"):
        plan(mixed, INDEX, now=NOW)
    for per_hour, currency in ((0.0, "USD"), (1.0, "usd")):
        with pytest.raises(InvalidInput):
            Price(per_hour=per_hour, currency=currency)
    with pytest.raises(InvalidInput, match="several prices"):
        PriceList(prices={GPU.id: PRICE, GPU.name.lower(): Price(per_hour=1.0, currency="USD")}).of(GPU)


def test_energy_is_an_upper_bound_from_the_rated_power():
    records = generate(40, seed=3)
    device = msgspec.structs.replace(GPU, tdp_watts=300.0, memory_bytes=24 * GIB)

    result = plan(ASKED, replace(records, devices=(device,)).index(), now=NOW)
    assert isinstance(result, Recommended)
    energy, throughput = result.chosen.energy, result.chosen.latency.throughput
    assert energy is not None
    assert throughput is not None
    assert energy.value == pytest.approx(300 * result.chosen.memory.devices / throughput.value)
    assert energy.basis is Basis.MODELLED
    assert energy.interval is not None
    assert energy.interval.lo == 0
    assert energy.note is not None
    assert "upper bound" in energy.note
