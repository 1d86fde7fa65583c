"""Peaks: recorded peak memory put in the place of the modelled one, at its own workload point or shifted from the nearest.

A shift adds the modelled difference of KV cache and activations between two points of one variant, device and runtime:
interpolated between recorded points, modelled outside them. A modelled total is replaced only by a stronger basis, or by
a shifted recording, which is modelled from more. Some sources print memory that cannot be a peak of the device, being
less than weights, KV cache and the least a GPU context takes: such figures of others are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from planner.domain.figure import Basis, Figure, Interval
from planner.domain.profile import Profile
from planner.domain.units import Unit
from planner.domain.workload import Workload
from planner.estimate.columns import Booleans, Columns, Floats, Integers
from planner.estimate.conformal import Distance, halves, monotone
from planner.estimate.evidence import Points
from planner.estimate.learned import WIDTHS
from planner.estimate.memory import activation_bytes, kv_bytes
from planner.estimate.plausible import plausible_peaks
from planner.estimate.priors import CONFIDENCE, PEAK_SHIFT_SPREAD, PEAK_SPREAD, RUNTIMES

_FRAGMENTATION: Final = np.array([prior.fragmentation.value for prior in RUNTIMES])
PEAK_WIDTHS: Final = monotone(WIDTHS.get("peak", {}), dict.fromkeys(Distance, 0.0))
"""Half widths in log space of shifted peaks at CONFIDENCE, calibrated as far as recordings reach."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """Recorded peaks of n rows in bytes, NaN where there is none."""

    value: Floats
    lo: Floats
    hi: Floats
    rank: Integers
    profile: Integers
    """Index of the profile, -1 where there is none."""
    exact: Booleans
    """True where the recording was made at the very workload asked for."""
    stale: Booleans
    inside: Booleans
    """True where the cache asked for lies between recorded ones."""
    reach: Floats
    """Octaves to the point a shifted recording was made at."""


def first_of_each(rows: Integers) -> Integers:
    """Return the positions in `rows` (sorted) at which a new row begins."""
    if not len(rows):
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))


def recorded_peaks(
    columns: Columns,
    degree: Integers,
    points: Points,
    workload: Workload,
    *,
    accelerated: bool,
    now: datetime | None,
) -> Peaks:
    """Return the recorded peaks of the rows of `columns`; `points` are theirs, on the devices asked for."""
    n = len(columns)
    peaks = Peaks(
        value=np.full(n, np.nan),
        lo=np.full(n, np.nan),
        hi=np.full(n, np.nan),
        rank=np.full(n, -1, dtype=np.int64),
        profile=np.full(n, -1, dtype=np.int64),
        exact=np.zeros(n, dtype=np.bool_),
        stale=np.zeros(n, dtype=np.bool_),
        inside=np.zeros(n, dtype=np.bool_),
        reach=np.zeros(n),
    )
    known = points.take(~np.isnan(points.peak_bytes))
    if accelerated:
        known = known.take(plausible_peaks(columns, known))
    if not len(known):
        return peaks
    held = (known.input_tokens + known.output_tokens) * known.concurrency
    asked = workload.context_tokens * workload.concurrency
    exact = known.is_at(workload)
    stale = known.is_stale(now)
    apart = (
        np.log2(known.input_tokens / workload.input_tokens) ** 2
        + np.log2(known.output_tokens / workload.output_tokens) ** 2
        + np.log2(known.concurrency / workload.concurrency) ** 2
    )
    distance = np.where(exact, 0.0, np.sqrt(apart))
    order = np.lexsort((known.profile, -known.peak_bytes, distance, stale, known.rank, ~exact, known.row))
    best = order[first_of_each(known.row[order])]
    row = known.row[best]
    own, own_degree = columns.take(row), degree[row]
    there = kv_bytes(
        own,
        own_degree,
        tokens=known.input_tokens[best] + known.output_tokens[best],
        concurrency=known.concurrency[best],
    ) + activation_bytes(own, input_tokens=known.input_tokens[best], concurrency=known.concurrency[best])
    here = kv_bytes(own, own_degree, tokens=workload.context_tokens, concurrency=workload.concurrency)
    here = here + activation_bytes(own, input_tokens=workload.input_tokens, concurrency=workload.concurrency)
    lost = _FRAGMENTATION[own.runtime]
    shift = np.where(exact[best], 0.0, (here - there) * (1 + lost))
    slack = np.abs(shift) * (PEAK_SHIFT_SPREAD.hi - 1)
    recorded = known.peak_bytes[best]
    least, most = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(least, known.row, held)
    np.maximum.at(most, known.row, held)
    inside = (least[row] <= asked) & (asked <= most[row])
    # Weights alone bound a peak from below, however far a shift goes.
    value = np.maximum(recorded + shift, np.minimum(recorded, own.weight_bytes / own_degree))
    away = np.where(inside, Distance.INSIDE, Distance.OUTSIDE).astype(np.int64)
    half = halves(PEAK_WIDTHS, away, distance[best])
    half = np.where(exact[best], 0.0, half)
    peaks.value[row] = value
    peaks.lo[row] = np.minimum(recorded * PEAK_SPREAD.lo + (value - recorded) - slack, value * np.exp(-half))
    peaks.hi[row] = np.maximum(recorded * PEAK_SPREAD.hi + (value - recorded) + slack, value * np.exp(half))
    peaks.reach[row] = distance[best]
    peaks.inside[row] = inside
    peaks.rank[row] = np.where(
        exact[best],
        known.rank[best],
        np.maximum(np.where(inside, Basis.INTERPOLATED.rank, Basis.MODELLED.rank), known.rank[best]),
    )
    peaks.profile[row] = known.profile[best]
    peaks.exact[row] = exact[best]
    peaks.stale[row] = stale[best]
    return peaks


def peak_figure(peaks: Peaks, row: int, profiles: tuple[Profile, ...]) -> Figure | None:
    """Return the recorded peak of one row as a figure, None where there is none."""
    if peaks.profile[row] < 0:
        return None
    basis = tuple(Basis)[int(peaks.rank[row])]
    notes = [
        None
        if peaks.exact[row]
        else "recorded at another workload and shifted by the modelled difference in KV cache and activations",
        PEAK_SPREAD.source if peaks.exact[row] else None,
        "stale: measured more than a year before" if peaks.stale[row] else None,
        "with synthetic weights" if profiles[int(peaks.profile[row])].synthetic_weights else None,
    ]
    value = float(peaks.value[row])
    interval = Interval(
        lo=min(float(peaks.lo[row]), value), hi=max(float(peaks.hi[row]), value), confidence=CONFIDENCE
    )
    return Figure(
        value=value,
        unit=Unit.BYTES,
        basis=basis,
        interval=interval,
        evidence=(profiles[int(peaks.profile[row])].id,),
        note="; ".join(note for note in notes if note) or None,
    )
