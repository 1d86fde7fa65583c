"""Setting: a scenario made concrete against an index: which rows, which device, how much memory, which runtime."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from planner.choose.index import Index
from planner.domain.constraint import CostLimit, RuntimeFilter
from planner.domain.device import Device, DeviceKind
from planner.domain.figure import Figure
from planner.domain.partition import partitioned
from planner.domain.runtime import canonical
from planner.domain.scenario import Hardware, Scenario, SelectorKind
from planner.errors import InvalidInput, NotFound
from planner.estimate.capacity import capacity_of
from planner.estimate.columns import Booleans, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a scenario means on this index."""

    scenario: Scenario
    meant: Booleans
    """By position in the index's `model_list`: whether the model is meant."""
    models: Integers
    """By row of the index: position of its model in `model_list`."""
    device: Device | None
    devices: int
    nodes: int
    """Machines the devices are in, the same number in each."""
    capacity: Figure | None
    engine: str | None
    """Canonical name of the runtime that must be used, None for any."""
    now: datetime | None

    def means(self, row: int) -> bool:
        """Return whether the model of a row of the index is meant."""
        return bool(self.meant[self.models[row]])

    @property
    def selected(self) -> Booleans:
        """By row of the index: whether its model is meant."""
        return self.meant[self.models]

    @property
    def accelerated(self) -> bool:
        """Whether the model runs on a GPU with a memory of its own."""
        hardware = self.scenario.hardware
        kind = self.device.kind if self.device else hardware.kind if hardware else DeviceKind.GPU
        return kind is DeviceKind.GPU

    @property
    def splittable(self) -> bool:
        """Whether one replica may span devices: slices of a GPU cannot reach each other's memory."""
        hardware = self.scenario.hardware
        return hardware is None or hardware.partition is None


def _device_of(hardware: Hardware | None, index: Index) -> Device | None:
    if hardware is None or hardware.device_id is None:
        return None
    device = index.device(hardware.device_id)
    return device if hardware.partition is None else partitioned(device, hardware.partition)


def _check_currency(scenario: Scenario) -> None:
    """Refuse a cost limit in another currency than that of the price: rates of exchange are not known."""
    for constraint in scenario.constraints:
        if (
            isinstance(constraint, CostLimit)
            and scenario.price is not None
            and constraint.currency not in {None, scenario.price.currency}
        ):
            raise InvalidInput(
                "cost.currency",
                f"is {constraint.currency}, and the price is in {scenario.price.currency}",
                allowed=scenario.price.currency,
            )


def resolve(scenario: Scenario, index: Index, *, now: datetime | None) -> Setting:
    """Return the setting of `scenario`. Raises NotFound for a device or model the index does not know, InvalidInput."""
    hardware = scenario.hardware
    device = _device_of(hardware, index)
    _check_currency(scenario)
    selector = scenario.model
    if selector.kind is SelectorKind.MODEL and selector.value not in index.models:
        raise NotFound("model", selector.value or "", nearest=index.nearest_models(selector.value or ""))
    runtime = next((c for c in scenario.constraints if isinstance(c, RuntimeFilter)), None)
    return Setting(
        scenario=scenario,
        meant=index.meant_by(selector),
        models=index.model,
        device=device,
        devices=hardware.count if hardware else 1,
        nodes=hardware.nodes if hardware else 1,
        capacity=capacity_of(device, hardware),
        engine=canonical(runtime.name) if runtime else None,
        now=now,
    )
