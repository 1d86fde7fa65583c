"""What would make a fleet feasible: devices to add, demands to drop, or a lower rate of one demand.

Each is the least of its kind and is solved again before it is offered. The bounds of the demands, loss above all, are never
loosened here: a demand that cannot hold them on any device of the pool can only be dropped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from planner.choose.fleet_options import Offer, options_of
from planner.choose.fleet_program import Option, Program
from planner.domain.fleet import Fleet, FleetRelaxation


def round_rate(rate: float) -> float:
    """Return the largest rate of three significant digits that is at most `rate`."""
    step = 10.0 ** (math.floor(math.log10(rate)) - 2)
    return float(f"{math.floor(rate / step * (1 + 1e-12)) * step:.3g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """A fleet that cannot be placed, with everything that its demands could be served by."""

    fleet: Fleet
    ids: list[str]
    counts: list[int]
    per_device: list[float]
    offers: list[Offer]
    rates: list[float]

    def relaxations(self) -> Iterator[FleetRelaxation]:
        """Yield the verified ones: additions over all types and of each single type, drops, and lower rates."""
        yield from self._additions()
        yield from self._drops()
        yield from self._lower_rates()

    def _program(self, *, rates: list[float] | None = None) -> Program:
        return Program(self._options(rates or self.rates), self.counts, len(self.rates))

    def _options(self, rates: list[float]) -> list[Option]:
        return options_of(self.offers, rates, max_utilization=self.fleet.max_utilization)

    def _feasible(
        self,
        *,
        counts: list[int] | None = None,
        rates: list[float] | None = None,
        without: tuple[int, ...] = (),
    ) -> bool:
        """Return whether the changed fleet can be placed, solved anew."""
        kept = [number for number in range(len(self.rates)) if number not in without]
        options = [
            Option(
                demand=kept.index(option.demand),
                kind=option.kind,
                devices=option.devices,
                utilization=option.utilization,
                penalty=option.penalty,
            )
            for option in self._options(rates or self.rates)
            if option.demand in kept
        ]
        program = Program(options, counts or self.counts, len(kept))
        return not kept or program.cheapest(program.devices) is not None

    def _additions(self) -> Iterator[FleetRelaxation]:
        program = self._program()
        kinds = range(len(self.ids))
        seen: set[tuple[int, ...]] = set()
        for allowed in ([True] * len(self.ids), *([kind == one for kind in kinds] for one in kinds)):
            added = program.fewest_added(self.per_device, allowed)
            if added is None or tuple(added) in seen:
                continue
            seen.add(tuple(added))
            more = [count + extra for count, extra in zip(self.counts, added, strict=True)]
            if not self._feasible(counts=more):
                continue
            add = {name: extra for name, extra in zip(self.ids, added, strict=True) if extra}
            words = " and ".join(f"{extra} × {name}" for name, extra in add.items())
            yield FleetRelaxation(change=f"add {words}", add=add)

    def _drops(self) -> Iterator[FleetRelaxation]:
        dropped = self._program().fewest_dropped()
        if dropped is None or not self._feasible(without=tuple(dropped)):
            return
        names = tuple(self.fleet.demands[number].name for number in dropped)
        if len(names) < len(self.rates):
            yield FleetRelaxation(change=f"do without {' and '.join(names)}", drop=names)

    def _lower_rates(self) -> Iterator[FleetRelaxation]:
        for number, demand in enumerate(self.fleet.demands):
            rate = self._largest_rate(number)
            if rate is None or not 0 < rate < demand.requests_per_second:
                continue
            rates = [rate if other == number else own for other, own in enumerate(self.rates)]
            if self._feasible(rates=rates):
                yield FleetRelaxation(
                    change=f"serve {rate:g} instead of {demand.requests_per_second:g} requests/s of {demand.name}",
                    demand=demand.name,
                    requests_per_second=rate,
                )

    def _largest_rate(self, number: int) -> float | None:
        """Return the largest rate of one demand that fits beside the others."""
        others = [option for option in self._options(self.rates) if option.demand != number]
        own: list[Option] = []
        worth: list[float] = []
        for source, offer in enumerate(self.offers):
            if offer.demand != number:
                continue
            for replicas in range(1, self.counts[offer.kind] // offer.devices + 1):
                own.append(
                    Option(
                        demand=number,
                        kind=offer.kind,
                        devices=offer.devices * replicas,
                        utilization=self.fleet.max_utilization,
                        penalty=offer.penalty,
                        source=source,
                    )
                )
                worth.append(offer.capacity * replicas * self.fleet.max_utilization)
        program = Program([*others, *own], self.counts, len(self.rates))
        values = np.array([0.0] * len(others) + worth)
        best = program.largest(number, values)
        return None if best is None else round_rate(float(values[best]))
