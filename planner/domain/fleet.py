"""Fleets: several demands, each a scenario with a request rate, on a fixed pool of devices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from planner.domain.figure import Figure
from planner.domain.outcome import Candidate
from planner.domain.price import Price
from planner.domain.scenario import Scenario
from planner.errors import InvalidInput

MAX_DEMANDS: Final = 16
MAX_TYPES: Final = 8
MAX_DEVICES: Final = 1024
"""Most devices of one type."""
MAX_RATE: Final = 1e6
"""Most requests per second of one demand."""
DEFAULT_UTILIZATION: Final = 0.8
"""Share of a replica's throughput that is planned with, so that bursts find room; a choice of ours."""


class FleetObjective(StrEnum):
    """What is optimized among the assignments that satisfy every demand. Ties go to the surer and then the lesser loss."""

    FEWEST_DEVICES = "fewest-devices"
    CHEAPEST = "cheapest"
    """Least price per hour of the devices in use; every type of the pool needs a price."""
    MOST_HEADROOM = "most-headroom"
    """Least utilization of the busiest demand."""


class Demand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is to be served: a question in words or a scenario, and how many requests arrive per second.

    A question that names a device is served on that type only. Its bounds are kept as they are. The concurrency of a
    replica is chosen, unless it is asked for.
    """

    name: str
    requests_per_second: float
    query: str | None = None
    scenario: Scenario | None = None

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > 100:
            raise InvalidInput("demands.name", "is empty or too long", allowed="1 to 100 characters")
        if (self.query is None) == (self.scenario is None):
            raise InvalidInput(
                f"demands.{self.name}",
                "has a query and a scenario, or neither",
                allowed="exactly one of the two",
            )
        if not (math.isfinite(self.requests_per_second) and 0 < self.requests_per_second <= MAX_RATE):
            raise InvalidInput(
                f"demands.{self.name}.requests_per_second",
                f"{self.requests_per_second} is out of range",
                allowed=f"more than 0, at most {MAX_RATE:g}",
            )


class Fleet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Demands on a pool: how many devices of each type there are. A type with none can only be offered as an addition."""

    pool: dict[str, int]
    demands: tuple[Demand, ...]
    objective: FleetObjective = FleetObjective.FEWEST_DEVICES
    max_utilization: float = DEFAULT_UTILIZATION
    cautious: bool = False
    """Plan with the lower end of each throughput's interval instead of its middle."""
    prices: dict[str, Price] = {}
    """By device, before those of the price file."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.pool) <= MAX_TYPES:
            raise InvalidInput(
                "pool", f"has {len(self.pool)} types", allowed=f"1 to {MAX_TYPES} device types"
            )
        for name, count in self.pool.items():
            if not 0 <= count <= MAX_DEVICES:
                raise InvalidInput(f"pool.{name}", f"{count} is out of range", allowed=f"0 to {MAX_DEVICES}")
        if not 1 <= len(self.demands) <= MAX_DEMANDS:
            raise InvalidInput("demands", f"{len(self.demands)} are given", allowed=f"1 to {MAX_DEMANDS}")
        names = [demand.name for demand in self.demands]
        if len(set(names)) < len(names):
            raise InvalidInput("demands.name", "is given twice", allowed="a different name for each demand")
        if not 0 < self.max_utilization <= 1:
            raise InvalidInput(
                "max_utilization", f"{self.max_utilization} is out of range", allowed="more than 0, at most 1"
            )


class Assignment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One demand served: which variant, where, and how many replicas of it share the requests."""

    demand: str
    device_id: str
    devices_per_replica: int
    replicas: int
    concurrency: int
    """Requests a replica works on at the same time."""
    requests_per_second: float
    capacity: Figure
    """Requests per second that one replica completes at that concurrency."""
    utilization: Figure
    """Share of the capacity of all replicas that the demand takes."""
    candidate: Candidate

    @property
    def devices(self) -> int:
        """Devices of all replicas."""
        return self.devices_per_replica * self.replicas


class PoolUse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an assignment takes of one device type."""

    device_id: str
    total: int
    used: int
    left: int
    binding: bool
    """With one more of this type the objective would be better, which was computed."""
    price: Price | None = None


class Placed(
    msgspec.Struct, frozen=True, kw_only=True, tag="placed", tag_field="outcome", omit_defaults=True
):
    """Every demand is served within its bounds. No other assignment is better by the objective."""

    assignments: tuple[Assignment, ...]
    pool: tuple[PoolUse, ...]
    devices: int
    worst_utilization: float
    cost_per_hour: float | None = None
    """Of the devices in use, in the currency of the prices; None unless each has one."""
    currency: str | None = None
    warnings: tuple[str, ...] = ()


class Unplaceable(msgspec.Struct, frozen=True, kw_only=True):
    """A demand that no number of devices of a type can serve, and why."""

    demand: str
    device_id: str
    conflict: tuple[str, ...]
    """Keys of constraints that cannot hold together there; empty when only the throughput is not known."""
    reason: str


class FleetRelaxation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The least change of one kind that makes the fleet feasible, verified by solving it again. Bounds stay as they are."""

    change: str
    """In words: devices to add, demands to drop, or a lower rate of one demand."""
    add: Mapping[str, int] = {}
    drop: tuple[str, ...] = ()
    demand: str | None = None
    requests_per_second: float | None = None


class NotPlaced(
    msgspec.Struct, frozen=True, kw_only=True, tag="infeasible", tag_field="outcome", omit_defaults=True
):
    """The pool cannot serve every demand within its bounds."""

    unplaceable: tuple[Unplaceable, ...]
    """Empty when each demand could be served alone on enough devices: then the pool is too small."""
    relaxations: tuple[FleetRelaxation, ...]
    warnings: tuple[str, ...] = ()


class FleetAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a fleet is answered with. The same fleet at the same revision and time gives it again; it is not stored."""

    fleet: Fleet
    result: Placed | NotPlaced
    revision: int
    as_of: datetime
    planner_version: str
