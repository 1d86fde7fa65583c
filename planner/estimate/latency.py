"""Latency: seconds of n variants at a workload, from the nearest evidence down to the bare roofline.

At a point that was measured, the figure of that profile. Elsewhere on the same variant, device and runtime, the ratio
of measured to modelled time is interpolated, never the time itself, and the interval widens with the distance to the
nearest point: interpolated inside the measured range, modelled outside. Everywhere else the roofline, modelled and wide;
unknown where the device's bandwidth is. A percentile is answered only from distributions that hold it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Final

import numpy as np

from planner.domain.device import Device
from planner.domain.figure import Basis, Figure, Interval
from planner.domain.units import Unit
from planner.domain.workload import Workload
from planner.estimate.calibration import (
    CENTRAL,
    EXACT,
    OUTSIDE,
    SAME_DEVICE,
    SAME_SCHEME,
    STALE,
    SUBSTITUTED,
    Metric,
    Speed,
    put_exact,
    put_near,
    read,
    widths_of,
)
from planner.estimate.columns import Columns, Floats, Integers
from planner.estimate.conformal import CONFIDENCE, Distance, halves
from planner.estimate.effects import GeneralEffects
from planner.estimate.evidence import EMPTY, DeviceEvidence, Points, recorded
from planner.estimate.learned import EFFECTS
from planner.estimate.peaks import first_of_each
from planner.estimate.priors import CLOSE_SPREAD
from planner.estimate.roofline import Load, Times, modelled_times, yardstick
from planner.estimate.transfer import transferred

_MODELLED = Basis.MODELLED.rank
_BASES: Final = tuple(Basis)


def relevant_points(
    evidence: DeviceEvidence,
    position: Integers,
    degree: Integers,
    workload: Workload,
    *,
    engine: str | None,
    now: datetime | None,
) -> tuple[Points, Points]:
    """Return the points that speak for the rows in question: (all of them, those of each row's best-known runtime).

    `position` maps a row of the index to the row asked about, or -1. Without a runtime asked for, a row is judged under
    the runtime whose evidence is exact, then of the strongest basis, then fresh, then fastest.
    """
    points = evidence.points
    where = position[points.row]
    keep = where >= 0
    keep &= points.devices == degree[np.maximum(where, 0)]
    if engine is not None:
        keep &= points.engine == evidence.engines.get(engine, -1)
    chosen = replace(points.take(keep), row=where[keep])
    if not len(chosen):
        return chosen, chosen
    middle = chosen.tpot[:, :2]
    pace = np.where(np.isnan(middle[:, 1]), middle[:, 0], middle[:, 1])
    timed = ~(
        np.isnan(pace)
        & np.isnan(chosen.ttft[:, :2]).all(axis=1)
        & np.isnan(chosen.per_token[:, :2]).all(axis=1)
    )
    exact = chosen.is_at(workload)
    order = np.lexsort((
        chosen.profile, chosen.runtime, np.nan_to_num(pace, nan=np.inf), chosen.is_stale(now), chosen.rank,
        ~exact, ~timed, chosen.row,
    ))  # fmt: skip
    first = order[first_of_each(chosen.row[order])]
    best = np.full(len(degree), -1, dtype=np.int64)
    best[chosen.row[first]] = first
    leader = best[chosen.row]
    same = (chosen.runtime == chosen.runtime[leader]) & (chosen.rank == chosen.rank[leader])
    return chosen, chosen.take(same)


class Speeds:
    """Every metric and quantile of n rows on one device type at one workload, computed when first asked for."""

    def __init__(
        self,
        columns: Columns,
        degree: Integers,
        device: Device | None,
        *,
        points: Points | None,
        evidence: DeviceEvidence | None,
        workload: Workload,
        now: datetime | None = None,
        general: Mapping[str, GeneralEffects] = EFFECTS,
    ) -> None:
        self.points = points
        self._evidence = evidence
        self._workload = workload
        self._rows = len(columns)
        self._now = now
        self._known: dict[tuple[str, str], Speed] = {}
        self._figures: dict[tuple[str, str, int], Figure | None] = {}
        self._columns = columns
        self._general = general
        self._degree = degree
        self._device = device
        self._measure = yardstick(device) if device is not None else None

    @cached_property
    def _model(self) -> Times | None:
        """Times on the device as it is known."""
        if self._device is None:
            return None
        return modelled_times(self._columns, self._degree, self._device, Load.of(self._workload))

    @cached_property
    def _yardstick(self) -> Times | None:
        """Times on the device with stand-ins for what is not known of it."""
        if self._measure is None or self._measure is self._device:
            return self._model
        return modelled_times(self._columns, self._degree, self._measure, Load.of(self._workload))

    @cached_property
    def _yardstick_at_points(self) -> Times | None:
        """The same times at every point that was recorded."""
        points = self.points
        if self._measure is None or points is None or not len(points):
            return None
        return modelled_times(
            self._columns.take(points.row), self._degree[points.row], self._measure, points.load
        )

    def of(self, metric: Metric, quantile: str = CENTRAL) -> Speed:
        """Return one quantile of one metric. `per_token` is seconds per generated token over all requests."""
        key = (metric, quantile)
        if key not in self._known:
            self._known[key] = self._time(metric, quantile)
        return self._known[key]

    def _unknown(self) -> Speed:
        n = self._rows
        value, lo, hi = (np.full(n, np.nan) for _ in range(3))
        rank, point, flags = (np.full(n, fill, dtype=np.int64) for fill in (-1, -1, 0))
        return Speed(value, lo, hi, rank, point, flags, np.zeros(n))

    def _gap(self, quantile: str) -> Speed:
        """Return the gap between tokens from TPOT: their means agree, a middle is modelled, tails are not known."""
        if quantile == "mean":
            return self.of("tpot", "mean")
        if quantile not in {CENTRAL, "p50"}:
            return self._unknown()
        tpot = self.of("tpot", quantile)
        lo = np.fmin(tpot.lo, tpot.value * CLOSE_SPREAD.lo)
        hi = np.fmax(tpot.hi, tpot.value * CLOSE_SPREAD.hi)
        rank = np.where(tpot.rank < 0, tpot.rank, _MODELLED)
        return Speed(tpot.value, lo, hi, rank, tpot.point, tpot.flags & ~EXACT, tpot.reach)

    def _time(self, metric: Metric, quantile: str) -> Speed:
        speed = self._gap(quantile).copy() if metric == "itl" else self._from_roofline(metric, quantile)
        if self.points is not None and self._yardstick_at_points is not None:
            self._override(speed, metric, quantile)
        return speed

    def _from_roofline(self, metric: Metric, quantile: str) -> Speed:
        speed = self._unknown()
        if self._model is None or quantile not in {CENTRAL, "mean", "p50"}:
            return speed
        output = self._workload.output_tokens
        point, reach, half = speed.point, speed.reach, None
        if metric == "per_token":
            whole = self.of("end_to_end", quantile)
            value = whole.value / (output * self._workload.concurrency)
            point, reach = whole.point, whole.reach
            distance = distance_of(whole)
            half = np.fmax(np.log(whole.hi / whole.value), np.log(whole.value / whole.lo))
        elif metric == "end_to_end":
            first, rest = self.of("ttft", quantile), self.of("tpot", quantile)
            value = first.value + (output - 1) * rest.value
            point, reach = np.maximum(first.point, rest.point), np.maximum(first.reach, rest.reach)
            distance = np.maximum(distance_of(first), distance_of(rest))
            low, high = (getattr(first, end) + (output - 1) * getattr(rest, end) for end in ("lo", "hi"))
            half = np.fmax(np.log(high / value), np.log(value / low))
            own, near = self._transferred(metric)
            known = (near < Distance.DEVICE) & (point < 0)
            value, distance = np.where(known, own, value), np.where(known, near, distance)
        else:
            value, distance = self._transferred(metric)
        width = halves(widths_of(metric), distance, np.zeros(self._rows))
        if half is not None:
            # A sum of recorded times is as uncertain as they are.
            own_half = np.where(np.isnan(half), math.log(CLOSE_SPREAD.hi), half)
            width = np.where(point >= 0, own_half, width)
        flags = SAME_SCHEME * (distance == Distance.VARIANT) | SAME_DEVICE * (distance == Distance.SCHEME)
        rank = np.where(np.isnan(value), -1, _MODELLED)
        factor = np.exp(width)
        return Speed(value, value / factor, value * factor, rank, point.copy(), flags, reach.copy())

    def _transferred(self, metric: Metric) -> tuple[Floats, Integers]:
        """Return modelled seconds, corrected by what others of the kind showed, and the distance of that evidence."""
        assert self._model is not None
        assert self._yardstick is not None
        return transferred(
            metric,
            self._columns,
            self._model,
            self._yardstick,
            general=self._general,
            effects=self._evidence.effects if self._evidence is not None else EMPTY,
        )

    def _override(self, speed: Speed, metric: Metric, quantile: str) -> None:
        """Put evidence in the place of the roofline, row by row."""
        assert self.points is not None
        assert self._yardstick is not None
        reading = read(self.points, metric, quantile, self._workload, now=self._now)
        modelled = "tpot" if metric == "itl" else metric
        modelled_there: Floats = getattr(self._yardstick_at_points, modelled)
        modelled_here: Floats = getattr(self._yardstick, modelled)
        settled = put_exact(speed, reading)
        put_near(speed, reading, settled, modelled_here=modelled_here, modelled_there=modelled_there)

    def quantile_of(self, metric: Metric, row: int) -> str:
        """Return which quantile the central figure of a row is: "mean" when only that was recorded, else "p50"."""
        point = int(self.of(metric).point[row])
        if self.points is None or point < 0:
            return "p50"
        table: Floats = getattr(self.points, metric)
        return "mean" if np.isnan(table[point, 1]) and not np.isnan(table[point, 0]) else "p50"

    def runtime_of(self, row: int) -> str | None:
        """Return the runtime, with version and mode, that the evidence of a row was recorded under."""
        for metric in ("tpot", "ttft", "per_token"):
            point = int(self.of(metric).point[row])
            if point >= 0 and self.points is not None and self._evidence is not None:
                return str(self._evidence.profiles[int(self.points.profile[point])].runtime)
        return None

    def figure(self, metric: Metric, quantile: str, row: int) -> Figure | None:
        """Return one quantile of one metric of a row, None when unknown; `per_token` comes as tokens per second."""
        key = (metric, quantile, row)
        if key not in self._figures:
            self._figures[key] = self._figure(metric, quantile, row)
        return self._figures[key]

    def _figure(self, metric: Metric, quantile: str, row: int) -> Figure | None:
        speed = self.of(metric, quantile)
        if speed.rank[row] < 0:
            return None
        shown = self.quantile_of(metric, row) if quantile == CENTRAL else quantile
        flags, point = int(speed.flags[row]), int(speed.point[row])
        evidence: tuple[str, ...] = ()
        if point >= 0 and self.points is not None and self._evidence is not None:
            profile = self._evidence.profiles[int(self.points.profile[point])]
            if flags == EXACT:
                position = int(self.points.position[point])
                own = recorded(profile, position, metric, shown)
                return own or recorded(profile, position, "tpot", shown)
            evidence = (profile.id,)
        ends = [float(speed.lo[row]), float(speed.value[row]), float(speed.hi[row])]
        unit = Unit.SECONDS
        if metric == "per_token":
            ends, unit = [1 / end for end in reversed(ends)], Unit.TOKENS_PER_SECOND
        return Figure(
            value=ends[1],
            unit=unit,
            basis=_BASES[int(speed.rank[row])],
            interval=Interval(lo=min(ends[0], ends[1]), hi=max(ends[2], ends[1]), confidence=CONFIDENCE),
            evidence=evidence,
            note=_note(
                metric, flags, Distance(int(_DISTANCES[int(point < 0), flags])), has_evidence=bool(evidence)
            ),
        )


def _distance_table() -> Integers:
    """Return the distance by flags, for rows with a point of their own (first row) and without."""
    table = np.zeros((2, 64), dtype=np.int64)
    for flags in range(64):
        near = flags & (OUTSIDE | SUBSTITUTED)
        table[0, flags] = Distance.OUTSIDE if near else Distance.INSIDE
        far = Distance.SCHEME if flags & SAME_DEVICE else Distance.DEVICE
        table[1, flags] = Distance.VARIANT if flags & SAME_SCHEME else far
    return table


_DISTANCES: Final = _distance_table()


def distance_of(speed: Speed) -> Integers:
    """Return the `Distance` of the evidence behind each figure that was not recorded at its own point."""
    found: Integers = _DISTANCES[(speed.point < 0).astype(np.int64), speed.flags]
    return found


def _calibration(metric: str, distance: Distance) -> str:
    width = widths_of(metric)[distance]
    if not width.calibrated:
        return "interval assumed: uncalibrated"
    return f"interval calibrated by {width.points} held-out recordings of {width.groups} groups"


def _note(metric: str, flags: int, distance: Distance, *, has_evidence: bool) -> str:
    if not has_evidence:
        basis = f"roofline with the efficiency of {distance.words}"
        return (
            f"{basis}: nothing was measured for this variant on this device; {_calibration(metric, distance)}"
        )
    parts = ["calibrated by the nearest recorded point" if not flags & EXACT else "recorded at this point"]
    if flags & OUTSIDE:
        parts.append("outside the recorded range")
    if flags & SUBSTITUTED:
        parts.append("another middle of the distribution was recorded, not this one")
    if flags & STALE:
        parts.append("stale: measured more than a year before")
    if not flags & EXACT:
        parts.append(_calibration(metric, distance))
    return "; ".join(parts)
