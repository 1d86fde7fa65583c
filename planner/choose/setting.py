"""Setting: a scenario made concrete against an index: which rows, which device, how much memory, which runtime."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from planner.choose.index import Index
from planner.domain.constraint import RuntimeFilter
from planner.domain.device import Device, DeviceKind
from planner.domain.figure import Figure
from planner.domain.runtime import canonical
from planner.domain.scenario import Scenario, SelectorKind
from planner.errors import NotFound
from planner.estimate.capacity import capacity_of
from planner.estimate.columns import Booleans


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a scenario means on this index."""

    scenario: Scenario
    selected: Booleans
    """By row of the index: whether its model is meant."""
    device: Device | None
    devices: int
    capacity: Figure | None
    engine: str | None
    """Canonical name of the runtime that must be used, None for any."""
    now: datetime | None

    @property
    def accelerated(self) -> bool:
        """Whether the model runs on a GPU with a memory of its own."""
        hardware = self.scenario.hardware
        kind = self.device.kind if self.device else hardware.kind if hardware else DeviceKind.GPU
        return kind is DeviceKind.GPU


def resolve(scenario: Scenario, index: Index, *, now: datetime | None) -> Setting:
    """Return the setting of `scenario`. Raises NotFound for a device or model the index does not know."""
    hardware = scenario.hardware
    device = index.device(hardware.device_id) if hardware and hardware.device_id else None
    selector = scenario.model
    if selector.kind is SelectorKind.MODEL and selector.value not in index.models:
        raise NotFound("model", selector.value or "", nearest=index.nearest_models(selector.value or ""))
    meant = np.array([selector.selects(model) for model in index.model_list], dtype=np.bool_)
    runtime = next((c for c in scenario.constraints if isinstance(c, RuntimeFilter)), None)
    return Setting(
        scenario=scenario,
        selected=meant[index.model],
        device=device,
        devices=hardware.count if hardware else 1,
        capacity=capacity_of(device, hardware),
        engine=canonical(runtime.name) if runtime else None,
        now=now,
    )
