"""Calibration: what recorded points say about a workload, exactly at it or near it.

At its own point a recording stands as it is. Elsewhere the ratio of recorded to modelled time is averaged over a row's
points with weights 1/distance^2 (distances in octaves), and multiplied with the modelled time at the workload asked for.
The spread grows with the distance to the nearest point and is wider outside the recorded range; how wide, recordings
that were held out say (`conformal`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import numpy as np

from planner.domain.figure import Basis
from planner.domain.workload import Workload
from planner.estimate.columns import Booleans, Floats, Integers
from planner.estimate.conformal import Distance, Width, halves, monotone
from planner.estimate.evidence import HI, LO, QUANTILES, Points
from planner.estimate.learned import WIDTHS
from planner.estimate.peaks import first_of_each
from planner.estimate.priors import CLOSE_SPREAD, NEAREST_SPREAD, PREFILL_SPREAD, WEAK_SPREAD
from planner.estimate.roofline import Load

Metric = Literal["ttft", "tpot", "end_to_end", "per_token", "itl"]
CENTRAL: Final = "central"
"""Quantile that stands for the middle: p50 where it is known, else the mean; which one is said with the figure."""
SLOPE_RIDGE: Final = 0.3
"""Penalty on the square of a log ratio's change per octave, against weights of 1/octaves^2: of 0.1 to 10 the best at points
that were held out."""

EXACT: Final = 1
OUTSIDE: Final = 2
STALE: Final = 4
SUBSTITUTED: Final = 8
SAME_SCHEME: Final = 16
SAME_DEVICE: Final = 32
"""Flags of a figure: recorded at its point; beyond the recorded range; too old; calibrated by the other middle; by other
variants of its number format on the device; by other formats on the device."""

_MODELLED: Final = Basis.MODELLED.rank
_INTERPOLATED: Final = Basis.INTERPOLATED.rank
_CLOSE: Final = math.log(CLOSE_SPREAD.hi)


def assumed_halves(metric: str) -> dict[Distance, float]:
    """Return the half widths in log space by distance that are assumed where nothing calibrates."""
    weak = math.log(PREFILL_SPREAD.hi if metric == "ttft" else WEAK_SPREAD.hi)
    close = math.log(NEAREST_SPREAD)
    return {
        Distance.INSIDE: close,
        Distance.OUTSIDE: 2 * close,
        Distance.VARIANT: _CLOSE,
        Distance.SCHEME: weak,
        Distance.DEVICE: weak,
    }


def calibrated(metric: str, widths: Mapping[Distance, Width]) -> dict[Distance, Width]:
    """Return the width at every distance from those that recordings gave, or `assumed_halves`, never narrowing."""
    return monotone(widths, assumed_halves(metric))


_WIDTHS: Final = {metric: calibrated(metric, widths) for metric, widths in WIDTHS.items()}


def widths_of(metric: str) -> dict[Distance, Width]:
    """Return the width of a metric's intervals by distance; gaps between tokens are as uncertain as TPOT."""
    return _WIDTHS["tpot" if metric == "itl" else metric]


@dataclass(frozen=True, slots=True)
class Speed:
    """One quantile of one metric over n rows: seconds and spread (NaN where unknown), basis rank, nearest point, flags."""

    value: Floats
    lo: Floats
    hi: Floats
    rank: Integers
    """Rank of the basis, -1 where unknown."""
    point: Integers
    """Index of the exact or nearest point, -1 without evidence."""
    flags: Integers
    reach: Floats
    """Octaves to the nearest recorded point of the row; 0 at it, and where there is none."""

    def copy(self) -> Speed:
        """Return the same figures in arrays of their own."""
        return Speed(
            self.value.copy(), self.lo.copy(), self.hi.copy(),
            self.rank.copy(), self.point.copy(), self.flags.copy(), self.reach.copy(),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the points say of one quantile of one metric."""

    points: Points
    workload: Workload
    metric: Metric
    values: Floats
    substituted: Booleans
    """The other middle (mean for p50, p50 for mean) stands in for the one asked for."""
    usable: Booleans
    stale: Booleans
    ends: tuple[Floats, Floats]
    """Ends of the interval of p50 where that is what was read, NaN elsewhere."""


def read(
    points: Points, metric: Metric, quantile: str, workload: Workload, *, now: datetime | None
) -> Reading:
    """Return the reading of a metric that points have; a stand-in is used only for rows without the real thing."""
    table: Floats = getattr(points, metric)
    nothing = np.zeros(len(points), dtype=np.bool_)
    if quantile in {CENTRAL, "mean", "p50"}:
        own, other = (table[:, 0], table[:, 1]) if quantile == "mean" else (table[:, 1], table[:, 0])
        missing = np.isnan(own)
        values = np.where(missing, other, own)
        substituted = missing if quantile != CENTRAL else nothing
        is_p50 = ~missing if quantile != "mean" else nothing
    else:
        values, substituted, is_p50 = table[:, QUANTILES.index(quantile)], nothing, nothing
    usable = ~np.isnan(values) & (values > 0)
    rows = int(points.row.max()) + 1 if len(points) else 0
    real = np.bincount(points.row[usable & ~substituted], minlength=rows) > 0
    return Reading(
        points=points,
        workload=workload,
        metric=metric,
        values=values,
        substituted=substituted,
        usable=usable & (~substituted | ~real[points.row]),
        stale=points.is_stale(now),
        ends=(np.where(is_p50, table[:, LO], np.nan), np.where(is_p50, table[:, HI], np.nan)),
    )


def put_exact(speed: Speed, reading: Reading) -> Booleans:
    """Write recordings made at the very workload into `speed`; return which rows are settled by one."""
    points, values = reading.points, reading.values
    settled = np.zeros(len(speed.value), dtype=np.bool_)
    at = np.flatnonzero(reading.usable & ~reading.substituted & points.is_at(reading.workload))
    if not len(at):
        return settled
    newest = -np.nan_to_num(points.measured_at[at], nan=-np.inf)
    order = np.lexsort((points.profile[at], newest, reading.stale[at], points.rank[at], points.row[at]))
    best = at[order][first_of_each(points.row[at][order])]
    row, value, old = points.row[best], values[best], reading.stale[best]
    speed.value[row] = value
    speed.lo[row] = np.where(old, value * CLOSE_SPREAD.lo, reading.ends[0][best])
    speed.hi[row] = np.where(old, value * CLOSE_SPREAD.hi, reading.ends[1][best])
    speed.rank[row] = points.rank[best]
    speed.point[row] = best
    speed.flags[row] = EXACT | (STALE * old)
    settled[row] = True
    return settled


def _coordinates(load: Load, metric: Metric) -> tuple[Floats, ...]:
    """Return the axes, in octaves, along which points of a metric are near or far."""
    concurrency = np.log2(load.concurrency)
    if metric == "ttft":
        return np.log2(load.input_tokens), concurrency
    if metric in {"tpot", "itl"}:
        return np.log2(load.input_tokens + load.output_tokens / 2), concurrency
    return np.log2(load.input_tokens), np.log2(load.output_tokens), concurrency


def _local_level(row: Integers, ratio: Floats, offsets: list[Floats], weight: Floats, *, rows: int) -> Floats:
    """Return the ratio at offset 0 of each row: locally linear regression, its slopes held back by SLOPE_RIDGE.

    A row with one point, or none along an axis, has no slope there and gets the weighted mean. 0 without points.
    """
    design = [np.ones_like(ratio), *offsets]
    size = len(design)
    normal, right = np.zeros((rows, size, size)), np.zeros((rows, size, 1))
    for i, one in enumerate(design):
        right[:, i, 0] = np.bincount(row, weights=weight * one * ratio, minlength=rows)
        for j in range(i + 1):
            normal[:, i, j] = normal[:, j, i] = np.bincount(
                row, weights=weight * one * design[j], minlength=rows
            )
        normal[:, i, i] += SLOPE_RIDGE if i else 0.0
    level = np.zeros(rows)
    known = normal[:, 0, 0] > 0
    level[known] = np.linalg.solve(normal[known], right[known])[:, 0, 0]
    return level


def put_near(
    speed: Speed, reading: Reading, settled: Booleans, *, modelled_here: Floats, modelled_there: Floats
) -> None:
    """Write figures calibrated by recordings at other workloads into the rows of `speed` that are not settled.

    `modelled_here` is the modelled time of each row at the workload asked for, `modelled_there` of each point at its own.
    """
    points, n = reading.points, len(speed.value)
    at = np.flatnonzero(reading.usable & ~settled[points.row] & ~np.isnan(modelled_there))
    if not len(at):
        return
    row = points.row[at]
    asked = _coordinates(Load.of(reading.workload), reading.metric)
    axes = [
        (axis[at], float(goal))
        for axis, goal in zip(_coordinates(points.load, reading.metric), asked, strict=True)
    ]
    inside = np.ones(n, dtype=np.bool_)
    square = np.zeros(len(at))
    for axis, goal in axes:
        least, most = np.full(n, np.inf), np.full(n, -np.inf)
        np.minimum.at(least, row, axis)
        np.maximum.at(most, row, axis)
        inside &= (least <= goal + 1e-9) & (goal <= most + 1e-9)
        square += (axis - goal) ** 2
    ratio = np.log(reading.values[at] / modelled_there[at])
    level = _local_level(row, ratio, [axis - goal for axis, goal in axes], 1 / (square + 1e-6), rows=n)
    distance = np.sqrt(square)
    order = np.lexsort((points.profile[at], distance, row))
    nearest = order[first_of_each(row[order])]
    best, chosen, reach = at[nearest], row[nearest], distance[nearest]
    within = inside[chosen] & ~reading.substituted[best]
    away = np.where(within, Distance.INSIDE, Distance.OUTSIDE).astype(np.int64)
    half = halves(widths_of(reading.metric), away, reach)
    stale = reading.stale[best]
    half = np.where(stale, np.maximum(half, _CLOSE), half)
    # At its very own workload a recording is not scaled at all: no rounding may move it across a limit.
    value = np.where(reach == 0, reading.values[best], modelled_here[chosen] * np.exp(level[chosen]))
    speed.value[chosen] = value
    speed.lo[chosen] = value * np.exp(-half)
    speed.hi[chosen] = value * np.exp(half)
    speed.rank[chosen] = np.where(within, np.maximum(_INTERPOLATED, points.rank[best]), _MODELLED)
    speed.point[chosen] = best
    speed.reach[chosen] = reach
    speed.flags[chosen] = OUTSIDE * ~inside[chosen] | STALE * stale | SUBSTITUTED * reading.substituted[best]
