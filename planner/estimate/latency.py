"""Latency: seconds of n variants at a workload, from the nearest evidence down to the bare roofline.

At a point that was measured, the figure of that profile. Elsewhere on the same variant, device and runtime, the ratio
of measured to modelled time is interpolated, never the time itself, and the interval widens with the distance to the
nearest point: interpolated inside the measured range, modelled outside. Everywhere else the roofline, modelled and wide;
unknown where the device's bandwidth is. A percentile is answered only from distributions that hold it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np

from planner.domain.device import Device
from planner.domain.figure import Basis, Figure, Interval
from planner.domain.units import Unit
from planner.domain.workload import Workload
from planner.estimate.calibration import (
    CENTRAL,
    CONFIDENCE,
    EXACT,
    OUTSIDE,
    STALE,
    SUBSTITUTED,
    Metric,
    Speed,
    put_exact,
    put_near,
    read,
)
from planner.estimate.columns import Columns, Floats, Integers
from planner.estimate.evidence import DeviceEvidence, Points, recorded
from planner.estimate.peaks import first_of_each
from planner.estimate.priors import CLOSE_SPREAD, PREFILL_SPREAD, WEAK_SPREAD
from planner.estimate.roofline import Load, Times, modelled_times, yardstick

_MODELLED = Basis.MODELLED.rank


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
    ) -> None:
        self.points = points
        self._evidence = evidence
        self._workload = workload
        self._rows = len(columns)
        self._now = now
        self._known: dict[tuple[str, str], Speed] = {}
        self._model: Times | None = None
        self._yardstick: Times | None = None
        self._yardstick_at_points: Times | None = None
        if device is not None:
            self._model = modelled_times(columns, degree, device, Load.of(workload))
            if points is not None and len(points):
                measure = yardstick(device)
                self._yardstick = (
                    self._model
                    if measure is device
                    else modelled_times(columns, degree, measure, Load.of(workload))
                )
                self._yardstick_at_points = modelled_times(
                    columns.take(points.row), degree[points.row], measure, points.load
                )

    def of(self, metric: Metric, quantile: str = CENTRAL) -> Speed:
        """Return one quantile of one metric. `per_token` is seconds per generated token over all requests."""
        key = (metric, quantile)
        if key not in self._known:
            self._known[key] = self._time(metric, quantile)
        return self._known[key]

    def _unknown(self) -> Speed:
        n = self._rows
        integers = [np.full(n, fill, dtype=np.int64) for fill in (-1, -1, 0)]
        return Speed(*(np.full(n, np.nan) for _ in range(3)), *integers)

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
        return Speed(tpot.value, lo, hi, rank, tpot.point, tpot.flags & ~EXACT)

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
        if metric == "end_to_end":
            first, rest = self.of("ttft", quantile), self.of("tpot", quantile)
            value, lo, hi = (
                getattr(first, end) + (output - 1) * getattr(rest, end) for end in ("value", "lo", "hi")
            )
            point = np.maximum(first.point, rest.point)
        elif metric == "per_token":
            whole = self.of("end_to_end", quantile)
            tokens = output * self._workload.concurrency
            value, lo, hi, point = whole.value / tokens, whole.lo / tokens, whole.hi / tokens, whole.point
        else:
            modelled: Floats = getattr(self._model, metric)
            value = modelled.copy()
            spread = PREFILL_SPREAD if metric == "ttft" else WEAK_SPREAD
            lo, hi, point = value * spread.lo, value * spread.hi, speed.point
        lo = np.where(np.isnan(lo), value * CLOSE_SPREAD.lo, lo)
        hi = np.where(np.isnan(hi), value * CLOSE_SPREAD.hi, hi)
        return Speed(value, lo, hi, np.where(np.isnan(value), -1, _MODELLED), point.copy(), speed.flags)

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
            basis=tuple(Basis)[int(speed.rank[row])],
            interval=Interval(lo=min(ends[0], ends[1]), hi=max(ends[2], ends[1]), confidence=CONFIDENCE),
            evidence=evidence,
            note=_note(flags, has_evidence=bool(evidence)),
        )


def _note(flags: int, *, has_evidence: bool) -> str:
    if not has_evidence:
        return "roofline with general efficiency: nothing was measured for this variant on this device"
    parts = ["calibrated by the nearest recorded point" if not flags & EXACT else "recorded at this point"]
    if flags & OUTSIDE:
        parts.append("outside the recorded range")
    if flags & SUBSTITUTED:
        parts.append("another middle of the distribution was recorded, not this one")
    if flags & STALE:
        parts.append("stale: measured more than a year before")
    return "; ".join(parts)
