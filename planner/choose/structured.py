"""Structured scenarios: what a preset named in one fills in, and where each part came from.

A question in words is read by `planner.choose.language`, which notes the origin of every part. A scenario that arrives as
a structure says less: what differs from the default was asked for, and a preset fills in what does not.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from planner.domain.scenario import Origin, Preset, Scenario
from planner.domain.workload import Workload
from planner.errors import InvalidInput


def complete(scenario: Scenario, presets: Mapping[str, Preset]) -> Scenario:
    """Return `scenario` with its preset filled in and the origin of each part noted.

    One that carries origins was read from words or completed before, and is returned as it is. Raises InvalidInput for a
    preset that does not exist.
    """
    if scenario.origins:
        return scenario
    preset = None
    if scenario.preset is not None:
        preset = presets.get(scenario.preset)
        if preset is None:
            raise InvalidInput(
                "preset", f"`{scenario.preset}` is unknown", allowed=", ".join(sorted(presets))
            )
    blank = Scenario()
    origins: dict[str, Origin] = {
        part: Origin.DEFAULT if getattr(scenario, part) == getattr(blank, part) else Origin.ASKED
        for part in ("model", "hardware", "objective", "risk")
    }
    if scenario.price is not None:
        origins["price"] = Origin.ASKED
    if scenario.rate is not None:
        origins["rate"] = Origin.ASKED
    workload, objective, constraints = scenario.workload, scenario.objective, scenario.constraints
    unstated = workload == Workload()
    for part in Workload.__struct_fields__:
        asked = getattr(workload, part) != getattr(blank.workload, part)
        origins[f"workload.{part}"] = Origin.ASKED if asked else Origin.DEFAULT
    origins |= {constraint.key: Origin.ASKED for constraint in constraints}
    if preset is not None:
        if unstated:
            workload = preset.workload
            origins |= {f"workload.{part}": Origin.PRESET for part in Workload.__struct_fields__}
        if origins["objective"] is Origin.DEFAULT:
            objective, origins["objective"] = preset.objective, Origin.PRESET
        added = tuple(constraint for constraint in preset.constraints if constraint.key not in origins)
        constraints += added
        origins |= {constraint.key: Origin.PRESET for constraint in added}
    return msgspec.structs.replace(
        scenario, workload=workload, objective=objective, constraints=constraints, origins=origins
    )
