"""Readings of a GPU's state while it was timed, and which timed samples they spoil.

A pure filter over a series of readings, so that it can be judged on a recorded one. A sample is judged by the readings
taken during it and by the nearest one on either side, because a sample may be shorter than the time between two readings.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from statistics import median
from typing import Final

import msgspec

from planner.domain.profile import Fact

THERMAL_REASONS: Final = {
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
}
"""Clock event reasons that spoil a sample. Bits from NVIDIA's nvml.h, nvmlClocksEventReasons."""
POWER_CAP: Final = 0x04
"""Running at the power limit: normal on large GPUs, so it is recorded and spoils nothing."""
IDLE: Final = 0x01
"""Nothing ran at that moment, so the clock then says nothing about work."""
LEAST_CLOCK_SHARE: Final = 0.75
"""NVBench discards a sample whose SM clock is below this share of the default."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The state at one moment; None where the driver does not say."""

    at: float
    """Seconds on the clock that samples are timed with."""
    sm_clock_hertz: float | None = None
    temperature_celsius: float | None = None
    power_watts: float | None = None
    reasons: int | None = None
    """Bit set of clock event reasons."""


def trouble(reading: Reading, *, full_clock_hertz: float | None) -> str | None:
    """Return what was wrong at that moment, None when nothing was.

    A clock below its share counts under load only, and not where the power limit explains it.
    """
    reasons = reading.reasons or 0
    named = [name for bit, name in THERMAL_REASONS.items() if reasons & bit]
    if named:
        return named[0]
    clock = reading.sm_clock_hertz
    if clock is None or full_clock_hertz is None or reasons & (IDLE | POWER_CAP):
        return None
    return (
        f"SM clock below {LEAST_CLOCK_SHARE:.0%} of the full one"
        if clock < LEAST_CLOCK_SHARE * full_clock_hertz
        else None
    )


def spoilt(
    readings: Sequence[Reading], start: float, end: float, *, full_clock_hertz: float | None
) -> str | None:
    """Return why a sample taken from `start` to `end` must not count, None when it may. Readings are in order of time."""
    first = max(0, bisect_left(readings, start, key=_at) - 1)
    last = bisect_right(readings, end, key=_at) + 1
    found = (trouble(reading, full_clock_hertz=full_clock_hertz) for reading in readings[first:last])
    return next((problem for problem in found if problem), None)


def _at(reading: Reading) -> float:
    return reading.at


def summary(readings: Iterable[Reading]) -> dict[str, Fact]:
    """Return what the readings of one point say, for its facts; empty without readings."""
    taken = list(readings)
    clocks = [reading.sm_clock_hertz for reading in taken if reading.sm_clock_hertz is not None]
    heat = [reading.temperature_celsius for reading in taken if reading.temperature_celsius is not None]
    power = [reading.power_watts for reading in taken if reading.power_watts is not None]
    reasons = [reading.reasons for reading in taken if reading.reasons is not None]
    facts: dict[str, Fact] = {}
    if clocks:
        facts["gpu_sm_clock_median_hertz"] = median(clocks)
        facts["gpu_sm_clock_least_hertz"] = min(clocks)
    if heat:
        facts["gpu_temperature_start_celsius"], facts["gpu_temperature_end_celsius"] = heat[0], heat[-1]
    if power:
        facts["gpu_power_median_watts"] = round(median(power), 1)
    if reasons:
        facts["gpu_power_capped_share"] = round(
            sum(bool(reason & POWER_CAP) for reason in reasons) / len(reasons), 3
        )
        seen = 0
        for reason in reasons:
            seen |= reason
        named = [name for bit, name in THERMAL_REASONS.items() if seen & bit]
        facts["gpu_slowdowns"] = ", ".join(named) or None
    return {name: value for name, value in facts.items() if value is not None}


class Others(msgspec.Struct, frozen=True):
    """Other processes on the device. `pids` may be longer than `count` where our own cannot be told from theirs."""

    count: int
    pids: tuple[int, ...]


def other_processes(before: Collection[int], now: Collection[int], *, own: int, began_before: bool) -> Others:
    """Return who else used the device, from the pids listed before our work and those listed now.

    Inside a container the driver lists pids of another namespace, so our own may not be among them; then one of those that
    appeared is ours, or one of the earlier ones when `began_before` says that this process used the device by then.
    """
    before, everybody = set(before), set(before) | set(now)
    if own in everybody:
        others = everybody - {own}
        return Others(len(others), tuple(sorted(others)))
    ours_among = before if began_before else everybody - before
    count = len(everybody) - (1 if ours_among else 0)
    unknown = everybody if len(ours_among) > 1 else everybody - ours_among
    return Others(count, tuple(sorted(unknown)) if count else ())
