"""What each demand of a fleet may be served by: variants on placements, judged as any question is.

Every type of the pool, a few device counts, and unless it is asked for several concurrencies are tried. Of all that
satisfy the demand's bounds, those are kept that no other one on as many devices beats on capacity, certainty and loss.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
import numpy as np

from planner.choose.candidate import candidate_at
from planner.choose.feasible import Assessment, assess_selected
from planner.choose.fleet_program import Option
from planner.choose.frontier import pareto
from planner.choose.index import Index
from planner.choose.planner import plan
from planner.choose.rank import counted_loss
from planner.choose.setting import resolve
from planner.domain.figure import Figure
from planner.domain.fleet import Unplaceable
from planner.domain.outcome import Candidate, Infeasible
from planner.domain.scenario import Hardware, Origin, Scenario
from planner.domain.units import Unit
from planner.errors import InvalidInput
from planner.estimate.calibration import CENTRAL

COUNTS: Final = (1, 2, 4, 8)
"""Devices of one replica that are tried."""
CONCURRENCIES: Final = (1, 4, 16, 64, 256)
"""Tried where the demand does not say how many requests a replica works on."""
UNKNOWN_LOSS: Final = 10.0
"""Penalty of a loss that is not known, above any that is."""
PER_TIER: Final = 100.0
DEPRECATED_TIER: Final = 4
"""Above every tier there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One variant on one placement for one demand."""

    demand: int
    kind: int
    devices: int
    """Of one replica."""
    capacity: float
    """Requests per second of one replica that are planned with."""
    penalty: float
    assessment: Assessment
    position: int

    @property
    def concurrency(self) -> int:
        """Requests a replica works on at the same time."""
        return self.assessment.setting.scenario.workload.concurrency

    def candidate(self) -> Candidate:
        """Return it with every figure and check."""
        return candidate_at(self.assessment, self.position)

    def capacity_figure(self) -> Figure:
        """Return the requests per second of one replica with the interval and basis of its throughput."""
        throughput = self.assessment.speeds.figure("per_token", CENTRAL, self.position)
        assert throughput is not None  # an offer has a known throughput
        tokens = self.assessment.setting.scenario.workload.output_tokens
        return throughput.scaled(1 / tokens, unit=Unit.REQUESTS_PER_SECOND)


def on(scenario: Scenario, device_id: str, count: int) -> Scenario | None:
    """Return `scenario` on `count` devices of a type; None when it names another type or another count."""
    hardware = scenario.hardware
    if hardware is None:
        hardware = Hardware(device_id=device_id)
    if hardware.device_id != device_id or (hardware.count > 1 and hardware.count != count):
        return None
    return msgspec.structs.replace(scenario, hardware=msgspec.structs.replace(hardware, count=count))


def check_hardware(name: str, scenario: Scenario, pool: list[str]) -> None:
    """Raise InvalidInput for a demand whose question names hardware that the pool does not have."""
    hardware = scenario.hardware
    if hardware is not None and hardware.device_id not in pool:
        raise InvalidInput(
            f"demands.{name}",
            f"asks for {hardware.describe()}, which is not in the pool",
            allowed="no hardware, or one of " + ", ".join(pool),
        )


def _counts(scenario: Scenario) -> tuple[int, ...]:
    """Return how many devices a replica may have: what is asked for, or what is tried."""
    hardware = scenario.hardware
    return COUNTS if hardware is None or hardware.count == 1 else (hardware.count,)


def _concurrencies(scenario: Scenario) -> list[Scenario]:
    if scenario.origin("workload.concurrency") is not Origin.DEFAULT:
        return [scenario]
    return [
        msgspec.structs.replace(
            scenario, workload=msgspec.structs.replace(scenario.workload, concurrency=concurrency)
        )
        for concurrency in CONCURRENCIES
    ]


def offers(
    scenario: Scenario,
    index: Index,
    *,
    demand: int,
    kind: int,
    device_id: str,
    cautious: bool,
    now: datetime,
) -> Iterator[Offer]:
    """Yield what serves a demand on one device type, the best per number of devices of a replica."""
    for count in _counts(scenario):
        placed = on(scenario, device_id, count)
        if placed is None:
            continue
        found = [
            offer
            for variant in _concurrencies(placed)
            for offer in _accepted(
                assess_selected(index, resolve(variant, index, now=now)),
                demand=demand,
                kind=kind,
                count=count,
                cautious=cautious,
            )
        ]
        if found:
            points = np.array([(-offer.capacity, offer.penalty) for offer in found])
            for position in pareto(points).tolist():
                yield found[position]


def _accepted(
    assessment: Assessment, *, demand: int, kind: int, count: int, cautious: bool
) -> Iterator[Offer]:
    """Yield the accepted positions that use exactly `count` devices and whose throughput is known, the best of them."""
    speed = assessment.speeds.of("per_token")
    seconds = speed.hi if cautious else speed.value
    usable = assessment.accepted & (assessment.terms.degree == count) & np.isfinite(seconds) & (seconds > 0)
    at = np.flatnonzero(usable)
    if not len(at):
        return
    loss = np.nan_to_num(counted_loss(assessment)[at], nan=UNKNOWN_LOSS)
    penalty = PER_TIER * assessment.tier[at] + np.minimum(loss, UNKNOWN_LOSS)
    behind = assessment.index.standing.order(assessment.rows[at])
    if behind is not None:
        penalty += PER_TIER * DEPRECATED_TIER * behind
    best = pareto(np.stack([seconds[at], penalty], axis=1).astype(np.float64))
    tokens = assessment.setting.scenario.workload.output_tokens
    for position in best.tolist():
        yield Offer(
            demand=demand,
            kind=kind,
            devices=count,
            capacity=1 / (float(seconds[at[position]]) * tokens),
            penalty=float(penalty[position]),
            assessment=assessment,
            position=int(at[position]),
        )


def replicas_for(rate: float, capacity: float, max_utilization: float) -> int:
    """Return the least number of replicas whose utilization is within the bound."""
    count = max(1, math.ceil(rate / (capacity * max_utilization) * (1 - 1e-12)))
    return count if rate <= count * capacity * max_utilization * (1 + 1e-9) else count + 1


def options_of(
    found: list[Offer],
    rates: list[float],
    *,
    max_utilization: float,
    spare: list[int] | None = None,
) -> list[Option]:
    """Return the options: each offer with its least number of replicas, and up to `spare` devices of its type with more."""
    options: list[Option] = []
    for source, offer in enumerate(found):
        rate = rates[offer.demand]
        least = replicas_for(rate, offer.capacity, max_utilization)
        most = least if spare is None else max(least, spare[offer.kind] // offer.devices)
        options += [
            Option(
                demand=offer.demand,
                kind=offer.kind,
                devices=offer.devices * replicas,
                utilization=rate / (offer.capacity * replicas),
                penalty=offer.penalty,
                source=source,
            )
            for replicas in range(least, most + 1)
        ]
    return _undominated(options)


def _undominated(options: list[Option]) -> list[Option]:
    """Drop options that another one for the same demand, type and devices is at least as good as."""
    groups: dict[tuple[int, int, int], list[int]] = {}
    for position, option in enumerate(options):
        groups.setdefault((option.demand, option.kind, option.devices), []).append(position)
    kept: list[int] = []
    for members in groups.values():
        points = np.array([(options[m].utilization, options[m].penalty) for m in members])
        kept += [members[position] for position in pareto(points).tolist()]
    return [options[position] for position in sorted(kept)]


def unplaceable(name: str, scenario: Scenario, index: Index, *, device_id: str, now: datetime) -> Unplaceable:
    """Return why no replica on a type serves a demand, by its largest placement that is tried."""
    placed = on(scenario, device_id, _counts(scenario)[-1])
    if placed is None:
        return Unplaceable(
            demand=name, device_id=device_id, conflict=(), reason="other hardware is asked for"
        )
    result = plan(placed, index, now=now)
    if isinstance(result, Infeasible):
        why = result.eliminations[0] if result.eliminations else None
        reason = f"nearest is {why.name}: {why.reason}" if why else "no variant of such a model is known"
        return Unplaceable(demand=name, device_id=device_id, conflict=result.conflict, reason=reason)
    reason = f"the throughput of {result.chosen.name} on it is not known, so that replicas cannot be counted"
    return Unplaceable(demand=name, device_id=device_id, conflict=(), reason=reason)
