"""Transfer: times of variants that were never recorded, from the efficiency of what was, and how near that evidence is.

A modelled time is multiplied with the general effect of its runtime family and number format and, where the device has
recordings, with what they add for the device, the family and the format on it. Families are never mixed: what eager code
loses says nothing of a serving engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from planner.domain.device import Device
from planner.estimate.columns import Booleans, Columns, Floats, Integers
from planner.estimate.conformal import Distance
from planner.estimate.effects import DeviceEffects, GeneralEffects
from planner.estimate.roofline import Times, modelled_times, yardstick

if TYPE_CHECKING:
    from planner.estimate.evidence import Points

LEARNED: Final = ("ttft", "tpot", "end_to_end")
"""Metrics with effects of their own. Throughput follows from the end-to-end time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratios:
    """log(recorded / modelled) of points, NaN where a metric was not recorded, and the codes they are grouped by."""

    values: Mapping[str, Floats]
    family: Integers
    number_format: Integers
    profile: Integers


def middle(table: Floats) -> Floats:
    """Return p50 where it was recorded, else the mean, of a table of `Points`."""
    return np.where(np.isnan(table[:, 1]), table[:, 0], table[:, 1])


def log_ratios(points: Points, columns: Columns, device: Device) -> Ratios:
    """Return the log ratios of points on a device; `columns` has the rows they belong to."""
    own = replace(columns.take(points.row), runtime=points.family)
    times = modelled_times(own, points.devices, yardstick(device), points.load)
    values: dict[str, Floats] = {}
    for metric in LEARNED:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.log(middle(getattr(points, metric)) / getattr(times, metric))
        values[metric] = np.where(np.isfinite(found), found, np.nan)
    return Ratios(
        values=values, family=points.family, number_format=own.number_format, profile=points.profile
    )


def device_effects(
    ratios: Ratios, chosen: Booleans, device: Device, general: Mapping[str, GeneralEffects]
) -> dict[str, DeviceEffects]:
    """Return what the chosen recordings on a device say of it, by metric; metrics without any are left out."""
    found: dict[str, DeviceEffects] = {}
    for metric, values in ratios.values.items():
        known = chosen & ~np.isnan(values)
        if known.any():
            found[metric] = DeviceEffects.fit(
                values[known],
                family=ratios.family[known],
                number_format=ratios.number_format[known],
                variant=ratios.profile[known],
                general=general[metric],
                stand_in=yardstick(device) is not device,
            )
    return found


def transferred(
    metric: str,
    columns: Columns,
    model: Times,
    measure: Times,
    *,
    general: Mapping[str, GeneralEffects],
    effects: Mapping[str, DeviceEffects],
) -> tuple[Floats, Integers]:
    """Return seconds of each row and the distance of the evidence behind them; NaN where nothing can be said.

    `model` is the roofline of the device as it is known, `measure` that with stand-ins (`roofline.yardstick`), which only
    recordings on the device make a time of.
    """
    family, number_format = columns.runtime, columns.number_format
    level = general[metric].at(family, number_format)
    here: Floats = getattr(model, metric)
    if metric not in effects:
        return here * np.exp(level), np.full(len(columns), Distance.DEVICE, dtype=np.int64)
    more, family_known, format_known = effects[metric].at(family, number_format)
    there: Floats = getattr(measure, metric)
    value = np.where(family_known, there, here) * np.exp(level + more)
    distance = np.where(
        format_known, Distance.VARIANT, np.where(family_known, Distance.SCHEME, Distance.DEVICE)
    )
    return value, distance.astype(np.int64)
