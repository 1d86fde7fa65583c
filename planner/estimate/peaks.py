"""Peaks: recorded peak memory put in the place of the modelled one, at its own workload point or shifted from the nearest.

A shift adds the modelled difference of KV cache and activations to what was recorded: between two recorded points of one
variant, device and runtime what the model misses is interpolated, outside them it stays that of the nearest. A modelled total is replaced only by a stronger basis, or by
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
from planner.domain.units import Unit, format_bytes
from planner.domain.workload import Workload
from planner.estimate.columns import Booleans, Columns, Floats, Integers
from planner.estimate.conformal import Distance, halves, monotone
from planner.estimate.engine_peaks import SUMMED
from planner.estimate.evidence import Points
from planner.estimate.learned import WIDTHS
from planner.estimate.memory import activation_bytes, kv_bytes
from planner.estimate.plausible import plausible_peaks
from planner.estimate.priors import CONFIDENCE, KV_SPREAD, PEAK_SHIFT_SPREAD, PEAK_SPREAD, RUNTIMES

_BASES: Final = tuple(Basis)
_FRAGMENTATION: Final = np.array([prior.fragmentation.hi for prior in RUNTIMES])
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
    """True where KV cache and activations asked for lie between recorded ones."""
    reach: Floats
    """Octaves to the point a shifted recording was made at."""
    spare: Floats
    """Bytes that the allocator kept free beyond the recorded need."""
    summed: Booleans
    """True where an engine's own terms were summed: the KV cache among them is modelled, and so is the sum."""


@dataclass(frozen=True, slots=True)
class _Modelled:
    """KV cache and activations of points in bytes: what a peak moves by from one workload to another."""

    cache: Floats
    live: Floats

    @property
    def total(self) -> Floats:
        return self.cache + self.live


def _modelled(
    columns: Columns,
    degree: Integers,
    *,
    context: Floats | float,
    prompt: Floats | float,
    concurrency: Floats | float,
) -> _Modelled:
    cache = kv_bytes(columns, degree, tokens=context, concurrency=concurrency)
    return _Modelled(cache, activation_bytes(columns, input_tokens=prompt, concurrency=concurrency))


def _neighbours(
    row: Integers, at: Floats, asked: Floats, own: Booleans, *, rows: int
) -> tuple[Integers, Integers]:
    """Return by row the point next below and next above what is asked; -1 where there is none."""
    order = np.lexsort((at, row))
    order = order[own[order]]
    place = np.arange(len(order))
    under = at[order] <= asked[row[order]]
    below, above = np.full(rows, -1, dtype=np.int64), np.full(rows, len(order), dtype=np.int64)
    np.maximum.at(below, row[order][under], place[under])
    over = at[order] >= asked[row[order]]
    np.minimum.at(above, row[order][over], place[over])
    order = np.concatenate((order, [-1]))
    return order[below], order[above]


def first_of_each(rows: Integers) -> Integers:
    """Return the positions in `rows` (sorted) at which a new row begins."""
    if not len(rows):
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))


def _nothing(rows: int) -> Peaks:
    return Peaks(
        value=np.full(rows, np.nan),
        lo=np.full(rows, np.nan),
        hi=np.full(rows, np.nan),
        rank=np.full(rows, -1, dtype=np.int64),
        profile=np.full(rows, -1, dtype=np.int64),
        exact=np.zeros(rows, dtype=np.bool_),
        stale=np.zeros(rows, dtype=np.bool_),
        inside=np.zeros(rows, dtype=np.bool_),
        reach=np.zeros(rows),
        spare=np.zeros(rows),
        summed=np.zeros(rows, dtype=np.bool_),
    )


def _octaves(points: Points, workload: Workload) -> Floats:
    """Return how far each point's workload lies from the one asked for."""
    apart: Floats = np.sqrt(
        np.log2(points.input_tokens / workload.input_tokens) ** 2
        + np.log2(points.output_tokens / workload.output_tokens) ** 2
        + np.log2(points.concurrency / workload.concurrency) ** 2
    )
    return apart


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
    peaks = _nothing(n)
    known = points.take(~np.isnan(points.peak_bytes))
    if accelerated:
        known = known.take(plausible_peaks(columns, known))
    if not len(known):
        return peaks
    exact = known.is_at(workload)
    stale = known.is_stale(now)
    distance = np.where(exact, 0.0, _octaves(known, workload))
    order = np.lexsort((known.profile, -known.peak_bytes, distance, stale, known.rank, ~exact, known.row))
    best = order[first_of_each(known.row[order])]
    row = known.row[best]
    leader = np.full(n, -1, dtype=np.int64)
    leader[row] = best
    there = _modelled(
        columns.take(known.row),
        degree[known.row],
        context=known.input_tokens + known.output_tokens,
        prompt=known.input_tokens,
        concurrency=known.concurrency,
    )
    here = _modelled(
        columns.take(row),
        degree[row],
        context=workload.context_tokens,
        prompt=workload.input_tokens,
        concurrency=workload.concurrency,
    )
    asked = np.zeros(n)
    asked[row] = here.total
    # Points of another runtime, or of weaker evidence, say nothing of how this one's peak moves.
    own = (known.runtime == known.runtime[leader[known.row]]) & (known.rank == known.rank[leader[known.row]])
    below, above = _neighbours(known.row, there.total, asked, own, rows=n)
    inside = (below[row] >= 0) & (above[row] >= 0)
    first, second = np.where(inside, below[row], best), np.where(inside, above[row], best)
    # What no formula explains, as far as recordings show it: it moves from one to the other in step with the model.
    rest = known.peak_bytes - there.total
    gap = there.total[second] - there.total[first]
    part = np.divide(here.total - there.total[first], gap, out=np.zeros(len(row)), where=gap > 0)
    value = here.total + rest[first] + part * (rest[second] - rest[first])
    recorded = known.peak_bytes[best]
    # Weights alone bound a peak from below, however far a shift goes.
    value = np.maximum(value, np.minimum(recorded, columns.weight_bytes[row] / degree[row]))
    value = np.where(exact[best], recorded, value)
    moved = np.minimum(np.abs(here.live - there.live[first]), np.abs(here.live - there.live[second]))
    slack = np.where(
        inside,
        moved * PEAK_SHIFT_SPREAD.lo + np.abs(rest[second] - rest[first]) / 2,
        moved * (PEAK_SHIFT_SPREAD.hi - 1) + np.abs(here.cache - there.cache[best]) * (KV_SPREAD.hi - 1),
    )
    if not accelerated:
        # What is resident at most may have been so while loading, whatever was generated afterwards.
        slack = slack + np.abs(here.total - there.total[best])
    slack = np.where(exact[best], 0.0, slack)
    away = np.where(inside, Distance.INSIDE, Distance.OUTSIDE).astype(np.int64)
    half = np.where(exact[best], 0.0, halves(PEAK_WIDTHS, away, distance[best]))
    spare = np.minimum(known.spare_bytes[best], here.total * _FRAGMENTATION[columns.runtime[row]])
    around = recorded * (PEAK_SPREAD.hi - 1) + slack
    peaks.value[row] = value
    peaks.lo[row] = np.maximum(np.minimum(value - around, value * np.exp(-half)), 0.0)
    peaks.hi[row] = np.maximum(value + around + spare, value * np.exp(half))
    peaks.spare[row] = known.spare_bytes[best]
    peaks.reach[row] = distance[best]
    peaks.inside[row] = inside
    peaks.rank[row] = np.where(
        exact[best] & ~known.summed[best],
        known.rank[best],
        np.maximum(
            np.where(inside & ~known.summed[best], Basis.INTERPOLATED.rank, Basis.MODELLED.rank),
            known.rank[best],
        ),
    )
    peaks.summed[row] = known.summed[best]
    peaks.profile[row] = known.profile[best]
    peaks.exact[row] = exact[best]
    peaks.stale[row] = stale[best]
    return peaks


def peak_figure(peaks: Peaks, row: int, profiles: tuple[Profile, ...]) -> Figure | None:
    """Return the recorded peak of one row as a figure, None where there is none."""
    if peaks.profile[row] < 0:
        return None
    basis = _BASES[int(peaks.rank[row])]
    notes = [
        None
        if peaks.exact[row]
        else "recorded at another workload and shifted by the modelled difference in KV cache and activations",
        PEAK_SPREAD.source if peaks.exact[row] else None,
        f"without {format_bytes(peaks.spare[row])} that the allocator kept free and gives back when memory runs short"
        if peaks.spare[row]
        else None,
        SUMMED if peaks.summed[row] else None,
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
