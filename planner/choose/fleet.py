"""Fleet: which variant, placement and number of replicas for each demand, so that all bounds hold on the devices there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from planner.choose.fleet_options import (
    Offer,
    check_hardware,
    offers,
    options_of,
    unplaceable,
)
from planner.choose.fleet_program import Program
from planner.choose.fleet_repair import Repair
from planner.choose.index import Index
from planner.domain.figure import Interval
from planner.domain.fleet import (
    Assignment,
    Fleet,
    FleetAnswer,
    FleetObjective,
    NotPlaced,
    Placed,
    PoolUse,
    Unplaceable,
)
from planner.domain.price import Price
from planner.domain.scenario import Scenario
from planner.domain.units import Unit
from planner.errors import InvalidInput

_IMPROVED = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stock:
    """The pool with devices by id, in the order they were given, and their prices."""

    ids: list[str]
    counts: list[int]
    prices: list[Price | None]

    def per_device(self, fleet: Fleet) -> list[float]:
        """Return what one device of each type counts for: its price when the cheapest is asked for, else one."""
        if fleet.objective is not FleetObjective.CHEAPEST:
            return [1.0] * len(self.ids)
        missing = [name for name, price in zip(self.ids, self.prices, strict=True) if price is None]
        if missing:
            raise InvalidInput(
                "objective",
                f"is cheapest, and no price is given for {', '.join(missing)}",
                allowed="`prices` in the fleet, a price file (`--prices`), or another objective",
            )
        return [price.per_hour for price in self.prices if price is not None]


def stock(fleet: Fleet, index: Index, prices: Mapping[str, Price]) -> _Stock:
    """Return the pool against the index. Raises NotFound for an unknown device, InvalidInput for one given twice.

    `prices` are by device id; those of the fleet itself, by any name of the device, come first.
    """
    devices = {index.device(name).id: count for name, count in fleet.pool.items()}
    if len(devices) < len(fleet.pool):
        raise InvalidInput("pool", "names one device type twice", allowed="each type once")
    own = {index.device(name).id: price for name, price in fleet.prices.items()}
    known = {device_id: own.get(device_id) or prices.get(device_id) for device_id in devices}
    currencies = sorted({price.currency for price in known.values() if price is not None})
    if len(currencies) > 1:
        raise InvalidInput("prices", f"are in {' and '.join(currencies)}", allowed="one currency")
    return _Stock(ids=list(devices), counts=list(devices.values()), prices=list(known.values()))


def place(
    fleet: Fleet,
    scenarios: Sequence[Scenario],
    index: Index,
    *,
    prices: Mapping[str, Price],
    now: datetime,
    version: str,
) -> FleetAnswer:
    """Return the best assignment of the fleet whose demands mean `scenarios`, or why there is none.

    Exact: no assignment of one variant and placement per demand, among the placements tried, is better by the objective.
    Raises NotFound for an unknown device or model, InvalidInput.
    """
    held = stock(fleet, index, prices)
    per_device = held.per_device(fleet)
    for demand, scenario in zip(fleet.demands, scenarios, strict=True):
        check_hardware(demand.name, scenario, held.ids)
    found = [
        offer
        for number, scenario in enumerate(scenarios)
        for kind, device_id in enumerate(held.ids)
        for offer in offers(
            _with_price(scenario, held.prices[kind]),
            index,
            demand=number,
            kind=kind,
            device_id=device_id,
            cautious=fleet.cautious,
            now=now,
        )
    ]
    problem = _Problem(
        fleet=fleet,
        held=held,
        per_device=per_device,
        offers=found,
        rates=[demand.requests_per_second for demand in fleet.demands],
    )
    share = f"{fleet.max_utilization:.0%}"
    warnings = (
        f"Replicas complete requests at their throughput, of which {share} is planned with; queueing is not in the bounds.",
    )
    solution = problem.solved(held.counts)
    result = (
        problem.placed(solution, warnings)
        if solution is not None
        else NotPlaced(
            unplaceable=problem.unplaceable(scenarios, index, now),
            relaxations=tuple(problem.repair().relaxations()),
            warnings=warnings,
        )
    )
    return FleetAnswer(
        fleet=fleet, result=result, revision=index.revision, as_of=now, planner_version=version
    )


def _with_price(scenario: Scenario, price: Price | None) -> Scenario:
    return scenario if price is None else msgspec.structs.replace(scenario, price=price)


@dataclass(frozen=True, slots=True)
class _Solution:
    program: Program
    chosen: list[int]
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Problem:
    """A fleet with everything that its demands could be served by."""

    fleet: Fleet
    held: _Stock
    per_device: list[float]
    offers: list[Offer]
    rates: list[float]

    def solved(self, counts: list[int]) -> _Solution | None:
        """Return the optimum on `counts` devices of each type, None when there is none."""
        headroom = self.fleet.objective is FleetObjective.MOST_HEADROOM
        options = options_of(
            self.offers,
            self.rates,
            max_utilization=self.fleet.max_utilization,
            spare=counts if headroom else None,
        )
        program = Program(
            [option for option in options if option.devices <= counts[option.kind]], counts, len(self.rates)
        )
        cost = program.cost(self.per_device)
        if headroom:
            chosen = program.least_busy(program.penalty, program.devices)
            value = max((float(program.utilization[position]) for position in chosen or ()), default=0.0)
        else:
            chosen = program.cheapest(cost, program.penalty, program.devices, program.utilization)
            value = float(sum(cost[position] for position in chosen or ()))
        return None if chosen is None else _Solution(program, chosen, value)

    def placed(self, solution: _Solution, warnings: tuple[str, ...]) -> Placed:
        """Return a solution as the answer."""
        assignments: list[Assignment] = []
        used = [0] * len(self.held.ids)
        for number, position in enumerate(solution.chosen):
            option = solution.program.options[position]
            offer = self.offers[option.source]
            used[option.kind] += option.devices
            assignments.append(self._assignment(offer, number, option.devices // offer.devices))
        pool = tuple(self._use(kind, taken, solution) for kind, taken in enumerate(used))
        prices = [use.price for use in pool if use.used]
        known = [price for price in prices if price is not None]
        complete = len(known) == len(prices)
        return Placed(
            assignments=tuple(assignments),
            pool=pool,
            devices=sum(used),
            worst_utilization=max(assignment.utilization.value for assignment in assignments),
            cost_per_hour=sum(use.used * use.price.per_hour for use in pool if use.used and use.price)
            if complete
            else None,
            currency=known[0].currency if complete else None,
            warnings=warnings,
        )

    def _use(self, kind: int, used: int, solution: _Solution) -> PoolUse:
        total = self.held.counts[kind]
        more = self.solved([count + (other == kind) for other, count in enumerate(self.held.counts)])
        return PoolUse(
            device_id=self.held.ids[kind],
            total=total,
            used=used,
            left=total - used,
            binding=more is not None and more.value < solution.value * (1 - _IMPROVED),
            price=self.held.prices[kind],
        )

    def _assignment(self, offer: Offer, number: int, replicas: int) -> Assignment:
        rate = self.rates[number]
        capacity = offer.capacity_figure()
        ends, share = capacity.interval, rate / replicas
        utilization = msgspec.structs.replace(
            capacity,
            value=share / capacity.value,
            unit=Unit.RATIO,
            interval=Interval(lo=share / ends.hi, hi=share / ends.lo, confidence=ends.confidence)
            if ends is not None and ends.lo > 0
            else None,
        )
        return Assignment(
            demand=self.fleet.demands[number].name,
            device_id=self.held.ids[offer.kind],
            devices_per_replica=offer.devices,
            replicas=replicas,
            concurrency=offer.concurrency,
            requests_per_second=rate,
            capacity=capacity,
            utilization=utilization,
            candidate=offer.candidate(),
        )

    def unplaceable(
        self, scenarios: Sequence[Scenario], index: Index, now: datetime
    ) -> tuple[Unplaceable, ...]:
        """Return why demands without any offer have none, for each type of the pool."""
        lost = set(range(len(self.rates))) - {offer.demand for offer in self.offers}
        return tuple(
            unplaceable(self.fleet.demands[number].name, scenarios[number], index, device_id=name, now=now)
            for number in sorted(lost)
            for name in self.held.ids
        )

    def repair(self) -> Repair:
        """Return what looks for the least changes that make the fleet feasible."""
        return Repair(
            fleet=self.fleet,
            ids=self.held.ids,
            counts=self.held.counts,
            per_device=self.per_device,
            offers=self.offers,
            rates=self.rates,
        )
