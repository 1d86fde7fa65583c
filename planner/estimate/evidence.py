"""Evidence: profile points of one device type as columns, so that a question finds its own in one pass.

Points whose profile carries a doubt are left out and only counted; nothing doubtful decides an answer. A profile taken on
synthetic weights speaks for its variant's siblings too, except where they have been measured themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from itertools import product
from types import MappingProxyType
from typing import Any, Final, Self

import numpy as np

from planner.domain.device import Device, DeviceKind
from planner.domain.figure import Basis, Figure, Interval
from planner.domain.profile import Distribution, Profile, ProfilePoint
from planner.domain.runtime import canonical
from planner.domain.units import Unit
from planner.domain.workload import Workload
from planner.estimate.columns import Booleans, Columns, Floats, Integers
from planner.estimate.effects import DeviceEffects
from planner.estimate.engine_peaks import with_engine_peaks
from planner.estimate.learned import EFFECTS
from planner.estimate.priors import PREALLOCATING, runtime_family
from planner.estimate.roofline import Load
from planner.estimate.transfer import device_effects, log_ratios

QUANTILES: Final = ("mean", "p50", "p90", "p95", "p99")
LO: Final = len(QUANTILES)
HI: Final = LO + 1
"""Columns after the quantiles: the ends of the interval of p50."""
COLUMNS: Final = HI + 1
STALE_AFTER_DAYS: Final = 365.0
"""Age from which a measurement is stale: runtimes change their memory and speed several times a year."""
_DAY: Final = 86_400.0
EMPTY: Final[Mapping[str, DeviceEffects]] = MappingProxyType({})
"""Effects of a device of which nothing was recorded."""


def _times(distribution: Distribution | None) -> list[float]:
    """Return the quantiles of a distribution of seconds in the order of QUANTILES, then the ends of the p50's interval."""
    if distribution is None:
        return [np.nan] * COLUMNS
    values = [distribution.quantile(name) for name in QUANTILES]
    interval = distribution.p50_interval
    ends = [interval.lo, interval.hi] if interval else [np.nan, np.nan]
    return [*(np.nan if value is None else value for value in values), *ends]


def _times_per_token(distribution: Distribution | None) -> list[float]:
    """Return the same of a throughput, turned into seconds per token; only its middle stays a middle."""
    mean, p50, *_, lo, hi = _times(distribution)
    values = [1 / value if value > 0 else np.nan for value in (mean, p50, hi, lo)]
    return [values[0], values[1], np.nan, np.nan, np.nan, values[2], values[3]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """n profile points on one device type. Times are seconds, NaN where unknown.

    Each time has a column per entry of QUANTILES and then LO and HI.
    """

    row: Integers
    """Row of the variant in the index."""
    profile: Integers
    """Index of the profile in the tuple the points were built from."""
    family: Integers
    """Runtime family: index in priors.RUNTIMES of how the point was run."""
    position: Integers
    """Index of the point in its profile."""
    runtime: Integers
    """Group of one runtime with version and mode."""
    engine: Integers
    """Code of the runtime's name alone."""
    devices: Integers
    rank: Integers
    """Rank of the profile's basis, 0 strongest."""
    input_tokens: Floats
    output_tokens: Floats
    concurrency: Floats
    measured_at: Floats
    """Seconds since 1970, NaN when unknown."""
    ttft: Floats
    tpot: Floats
    itl: Floats
    end_to_end: Floats
    per_token: Floats
    peak_bytes: Floats
    """What was needed on one device at the peak, NaN when not recorded or when the runtime fills the device anyway."""
    spare_bytes: Floats
    """What the allocator kept beyond that, free; 0 where it is not told apart from what was needed."""
    summed: Booleans
    """True where the peak is a sum of an engine's own terms and the KV cache the workload needs."""

    def __len__(self) -> int:
        return len(self.row)

    def take(self, chosen: Integers | Booleans) -> Self:
        """Return the chosen points only."""
        return type(self)(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    @property
    def load(self) -> Load:
        """The workload of every point."""
        return Load(self.input_tokens, self.output_tokens, self.concurrency)

    def is_at(self, workload: Workload) -> Booleans:
        """Return which points lie exactly at `workload`."""
        at: Booleans = self.input_tokens == workload.input_tokens
        at &= self.output_tokens == workload.output_tokens
        at &= self.concurrency == workload.concurrency
        return at

    def is_stale(self, now: datetime | None) -> Booleans:
        """Return which points are too old at `now`; an unknown time of measurement is not called old."""
        if now is None:
            return np.zeros(len(self), dtype=np.bool_)
        oldest = now.timestamp() - STALE_AFTER_DAYS * _DAY
        return self.measured_at < oldest


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEvidence:
    """Everything known from profiles on one device type: the points, their profiles, and the names of the runtimes."""

    points: Points
    profiles: tuple[Profile, ...]
    engines: Mapping[str, int]
    doubted: Mapping[int, int]
    """Number of doubted profiles by variant row."""
    effects: Mapping[str, DeviceEffects] = field(default_factory=dict[str, DeviceEffects])
    """What all points together say of the device, by metric, for variants that have none."""


def _peak(point: ProfilePoint, profile: Profile, device: Device) -> tuple[float, float]:
    """Return the bytes that were needed at the peak, and those that the allocator kept beyond them.

    Blocks that PyTorch's caching allocator holds free are not needed: before it fails it gives them back and tries again
    (PyTorch, CUDA semantics, memory management). A preallocation is not a need at all.
    """
    if canonical(profile.runtime.name) in PREALLOCATING:
        return np.nan, 0.0
    memory = point.memory
    if device.kind is not DeviceKind.GPU:
        return (np.nan if memory.peak_rss_bytes is None else float(memory.peak_rss_bytes)), 0.0
    if memory.peak_device_bytes is None:
        return np.nan, 0.0
    spare = float(memory.fragmentation_bytes or 0)
    return memory.peak_device_bytes - spare, spare


def gather_evidence(
    profiles: Iterable[Profile],
    device: Device,
    rows: Mapping[str, int],
    siblings: Mapping[str, tuple[int, ...]] | None = None,
    columns: Columns | None = None,
) -> DeviceEvidence:
    """Return the evidence of `profiles` measured on `device`; `rows` gives the row of each variant id.

    `siblings` gives the rows that run like a variant (`planner.estimate.siblings`), for profiles on synthetic weights.
    With the `columns` of the rows, peaks are put together from the terms of engines' logs, and what the points say of the
    device is learned for variants without any.
    """
    known = tuple(sorted((p for p in profiles if p.variant_id in rows), key=lambda p: p.id))
    doubted: dict[int, int] = {}
    groups: dict[str, int] = {str(p.runtime): 0 for p in known}
    groups = {name: code for code, name in enumerate(sorted(groups))}
    engines = {name: code for code, name in enumerate(sorted({canonical(p.runtime.name) for p in known}))}
    own = {
        (rows[p.variant_id], canonical(p.runtime.name), p.runtime.mode)
        for p in known
        if not p.synthetic_weights and p.doubt is None and p.basis is Basis.MEASURED
    }
    flat: list[list[float]] = []
    times: list[list[list[float]]] = []
    for index, profile in enumerate(known):
        row = rows[profile.variant_id]
        if profile.doubt is not None:
            doubted[row] = doubted.get(row, 0) + 1
            continue
        when = profile.measured_at.timestamp() if profile.measured_at else np.nan
        engine = (canonical(profile.runtime.name), profile.runtime.mode)
        spoken_for = [row]
        if profile.synthetic_weights:
            alike = (row, *(siblings or {}).get(profile.variant_id, ()))
            spoken_for = [other for other in alike if (other, *engine) not in own]
        for (position, point), row in product(enumerate(profile.points), spoken_for):
            load = point.workload
            flat.append([
                row, index, runtime_family(profile.runtime.name, profile.runtime.mode), position, groups[str(profile.runtime)], engines[canonical(profile.runtime.name)],
                profile.devices, profile.basis.rank, load.input_tokens, load.output_tokens, load.concurrency, when,
                *_peak(point, profile, device),
            ])  # fmt: skip
            times.append([
                _times(point.ttft_seconds), _times(point.tpot_seconds), _times(point.itl_seconds),
                _times(point.end_to_end_seconds),
                _times_per_token(point.output_tokens_per_second),
            ])  # fmt: skip
    table = np.array(flat, dtype=np.float64).reshape(len(flat), 14).T
    cube = np.array(times, dtype=np.float64).reshape(len(times), 5, COLUMNS).transpose(1, 0, 2)
    names = (
        "row", "profile", "family", "position", "runtime", "engine", "devices", "rank",
        "input_tokens", "output_tokens", "concurrency", "measured_at", "peak_bytes",
        "spare_bytes",
    )  # fmt: skip
    arrays: dict[str, Any] = {
        name: column.astype(np.int64) if position < 8 else column.copy()
        for position, (name, column) in enumerate(zip(names, table, strict=True))
    }
    for name, array in zip(("ttft", "tpot", "itl", "end_to_end", "per_token"), cube, strict=True):
        arrays[name] = array.copy()
    points = Points(**arrays, summed=np.zeros(len(flat), dtype=np.bool_))
    if columns is not None and len(points):
        points = with_engine_peaks(points, known, columns, device)
    effects: Mapping[str, DeviceEffects] = EMPTY
    if columns is not None and len(points):
        ratios = log_ratios(points, columns, device)
        effects = device_effects(ratios, np.ones(len(points), dtype=np.bool_), device, EFFECTS)
    return DeviceEvidence(points=points, profiles=known, engines=engines, doubted=doubted, effects=effects)


def recorded(
    profile: Profile, position: int, metric: str, quantile: str, *, note: str | None = None
) -> Figure | None:
    """Return a quantile that a profile holds at one of its points as a figure; None when it does not.

    `metric` is a column of Points. The interval is the profile's own and unknown when it has none.
    """
    point = profile.points[position]
    distribution = {
        "ttft": point.ttft_seconds,
        "tpot": point.tpot_seconds,
        "itl": point.itl_seconds,
        "end_to_end": point.end_to_end_seconds,
        "per_token": point.output_tokens_per_second,
    }[metric]
    value = None if distribution is None else distribution.quantile(quantile)
    if distribution is None or value is None:
        return None
    interval: Interval | None = distribution.p50_interval if quantile == "p50" else None
    synthetic = "measured on synthetic weights" if profile.synthetic_weights else None
    return Figure(
        value=value,
        unit=Unit.TOKENS_PER_SECOND if metric == "per_token" else Unit.SECONDS,
        basis=profile.basis,
        interval=interval,
        evidence=(profile.id,),
        note="; ".join(part for part in (synthetic, *_remarks(point), note) if part) or None,
    )


def _remarks(point: ProfilePoint) -> tuple[str, ...]:
    """Return what whoever reads a figure of the point must know."""
    found: list[str] = []
    if point.stability is not None and not point.stability.is_stable:
        found.append(f"unstable: {point.stability.reason}")
    if point.error_share:
        found.append(f"{100 * point.error_share:.2g} % of the requests failed and do not count")
    return tuple(found)
