"""Validation of memory: recorded bytes and estimates that do not contain them, each in the definition it was counted by.

A peak of ours is what was needed: blocks that the allocator kept free are no need, and are scored apart as what the driver
sees. A figure of others is an allocator's, what was held after a run, or a process's; one that cannot be what it is called
is not scored, and why is said. A peak is estimated from other workload points of the same run, and from physics alone as
for a variant that was never measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from statistics import NormalDist
from typing import Any, Final

import msgspec
import numpy as np

from planner.domain.device import DeviceKind
from planner.domain.figure import Basis
from planner.domain.profile import Profile, ProfilePoint
from planner.domain.runtime import canonical
from planner.domain.scheme import NumberFormat
from planner.domain.units import GIB
from planner.domain.variant import Variant
from planner.domain.workload import Workload
from planner.estimate.columns import Columns, Integers
from planner.estimate.conformal import Distance
from planner.estimate.evidence import Points
from planner.estimate.gguf_mix import is_known_mix
from planner.estimate.memory import MemoryTerms, Term, memory_terms
from planner.estimate.peaks import recorded_peaks
from planner.estimate.plausible import plausible_peaks
from planner.estimate.priors import PREALLOCATING, RUNTIMES, Z, runtime_code
from planner.estimate.validation import Records, Site, same_run, workload_at
from planner.estimate.weights import modelled_weight_bytes

RISK: Final = 0.01
"""Probability of running out that "fits" is asked to stay below, as in a question that names none."""
SMALLEST_HOST_MODEL: Final = GIB // 4
"""Weights of the smallest model whose resident memory is scored: an interpreter's own varies by 0.1 to 0.6 GiB."""
_LOW_BITS: Final = frozenset({NumberFormat.INT2, NumberFormat.INT3, NumberFormat.INT4})

OWN_MIX: Final = "weights of a mix whose rules its publisher alone knows"
UNPACKED: Final = "weights of less than 8 bits kept in a byte each, which no scheme tells"
MIXED_LAYERS: Final = "weights of a mix that was chosen layer by layer"
PREALLOCATED: Final = "peaks of a runtime that fills the device whatever is asked of it"
NO_PEAK: Final = (
    "published peaks that are less than weights, KV cache and a context, or stand in a table of such"
)
TINY: Final = "resident memory of models smaller than what an interpreter's own memory varies by"


class MemoryTrial(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded figure in bytes, its estimate without it, and the ends of the interval."""

    kind: str
    """"weights", "held", "allocator", "peak", or "footprint"."""
    protocol: str
    recorded: float
    estimated: float
    lo: float
    hi: float
    variant: str
    device: str | None = None
    memory: str = "device"
    """Whose memory: "device", or "host" of CPUs and boards."""
    distance: int = Distance.DEVICE
    reach: float = 0.0

    def safe(self, risk: float) -> float:
        """Return the smallest capacity that the estimate would be said to fit at a risk of running out."""
        score = NormalDist().inv_cdf(1 - risk)
        end = self.hi if score >= 0 else self.lo
        return self.estimated + score * abs(end - self.estimated) / Z

    @property
    def safe_capacity(self) -> float:
        """The smallest capacity that the estimate would be said to fit at RISK."""
        return self.safe(RISK)


def _why_unscored(variant: Variant, records: Records) -> str | None:
    """Return why the bytes of a variant cannot be told from architecture and scheme, None where they can."""
    scheme = variant.scheme
    architecture = records.models[variant.model_id].architecture
    if scheme.mixed:
        return MIXED_LAYERS
    if scheme.weight.format in _LOW_BITS:
        eight = msgspec.structs.replace(scheme.weight, format=NumberFormat.INT8)
        bytes_each = modelled_weight_bytes(architecture, msgspec.structs.replace(scheme, weight=eight))
        if variant.weight_bytes.value >= 0.9 * bytes_each.value:
            return UNPACKED
    mix = (scheme.label or "").lower().replace("-", "_")
    # A label that is no mix of the quantizer names its publisher's own choice of types.
    return OWN_MIX if scheme.weight.format.is_gguf and mix and not is_known_mix(mix) else None


def weight_trials(records: Records) -> Iterator[MemoryTrial]:
    """Yield printed sizes, and sizes counted in headers, with what architecture and scheme alone give."""
    for variant in records.variants:
        if variant.weight_bytes.basis is Basis.MODELLED or _why_unscored(variant, records) is not None:
            continue
        figure = modelled_weight_bytes(records.models[variant.model_id].architecture, variant.scheme)
        if figure.interval is None:
            continue
        yield MemoryTrial(
            kind="weights", protocol="mix" if variant.scheme.weight.format.is_gguf else "scheme",
            recorded=variant.weight_bytes.value, estimated=figure.value, lo=figure.interval.lo, hi=figure.interval.hi,
            variant=variant.id,
        )  # fmt: skip


def counted_weight_trials(records: Records) -> Iterator[MemoryTrial]:
    """Yield the bytes that our workers counted on devices against the variants' own figures, which are from headers."""
    found: dict[tuple[str, int], MemoryTrial] = {}
    by_id = {variant.id: variant for variant in records.variants}
    for site in records.sites:
        for profile in site.evidence.profiles:
            if profile.basis is not Basis.MEASURED or profile.devices > 1 or profile.doubt is not None:
                continue
            figure = by_id[profile.variant_id].weight_bytes
            protocol = "scheme, counted" if figure.basis is Basis.MODELLED else "headers"
            lo, hi = (figure.interval.lo, figure.interval.hi) if figure.interval else (figure.value,) * 2
            for point in profile.points:
                counted = point.memory.weights_bytes
                if counted is not None:
                    found[profile.variant_id, counted] = MemoryTrial(
                        kind="weights", protocol=protocol, recorded=counted, estimated=figure.value,
                        lo=lo, hi=hi, variant=profile.variant_id, device=site.device.id,
                    )  # fmt: skip
    yield from (found[key] for key in sorted(found))


def _columns_at(records: Records, site: Site, position: int) -> Columns:
    """Return the variant of one recording under the runtime it was recorded with."""
    profile = site.evidence.profiles[int(site.points.profile[position])]
    return replace(
        records.columns.take(site.points.row[position : position + 1]),
        runtime=np.array([runtime_code(profile.runtime.name)]),
    )


def _point_of(site: Site, position: int) -> ProfilePoint:
    profile = site.evidence.profiles[int(site.points.profile[position])]
    return profile.points[int(site.points.position[position])]


def _counted_otherwise(
    columns: Columns, terms: MemoryTerms, point: ProfilePoint
) -> Iterator[tuple[str, int, Term]]:
    """Yield the figures of a point that are no peak of a device, each with its estimate by the same definition."""
    memory = point.memory
    cache, live = terms.kv_cache, terms.activations
    held = terms.weights + cache
    if memory.held_bytes is not None:
        yield "held", memory.held_bytes, held
    if memory.peak_device_bytes is not None:
        return
    if memory.peak_allocated_bytes is not None:
        yield "allocator", memory.peak_allocated_bytes, held + live
    elif memory.peak_reserved_bytes is not None:
        kept = RUNTIMES[int(columns.runtime[0])].fragmentation
        dynamic = cache + live
        spare = Term(dynamic.value * kept.value, dynamic.lo * kept.lo, dynamic.hi * kept.hi)
        yield "allocator", memory.peak_reserved_bytes, held + live + spare


def _trial(kind: str, protocol: str, recorded: float, term: Term, common: Mapping[str, Any]) -> MemoryTrial:
    return MemoryTrial(
        kind=kind, protocol=protocol, recorded=recorded, estimated=float(term.value[0]), lo=float(term.lo[0]),
        hi=float(term.hi[0]), **common,
    )  # fmt: skip


def _is_tiny(columns: Columns, *, accelerated: bool) -> bool:
    return not accelerated and bool(columns.weight_bytes[0] < SMALLEST_HOST_MODEL)


def _site_trials(records: Records, site: Site) -> Iterator[MemoryTrial]:
    points, accelerated = site.points, site.device.kind is DeviceKind.GPU
    is_peak = ~np.isnan(points.peak_bytes)
    if accelerated:
        is_peak &= plausible_peaks(records.columns, points)
    for position in range(len(points)):
        columns = _columns_at(records, site, position)
        degree = points.devices[position : position + 1]
        load = workload_at(points, position)
        common: dict[str, Any] = {
            "variant": records.variants[int(points.row[position])].id,
            "memory": "device" if accelerated else "host",
            "device": site.device.id,
        }
        terms = memory_terms(columns, load, devices=int(degree[0]), accelerated=accelerated)
        alike = int(terms.degree[0]) == int(degree[0])
        if alike and accelerated:
            for kind, recorded, term in _counted_otherwise(columns, terms, _point_of(site, position)):
                if int(degree[0]) == 1:
                    yield _trial(kind, "variant", recorded, term, common)
        if not is_peak[position] or _is_tiny(columns, accelerated=accelerated):
            continue
        need = float(points.peak_bytes[position])
        if alike:
            yield _trial("peak", "variant", need, terms.total, common)
            if points.spare_bytes[position]:
                yield _trial(
                    "footprint", "variant", need + float(points.spare_bytes[position]), terms.total, common
                )
        others = points.take(is_peak & same_run(points, points, position) & ~points.is_at(load))
        if len(others):
            yield from _from_others(others, columns, degree, load, need=need, common=common)


def _from_others(
    others: Points,
    columns: Columns,
    degree: Integers,
    load: Workload,
    *,
    need: float,
    common: Mapping[str, Any],
) -> Iterator[MemoryTrial]:
    """Yield the need as other points of the same run give it."""
    own: Points = replace(others, row=np.zeros(len(others), dtype=np.int64))
    accelerated = common["memory"] == "device"
    peaks = recorded_peaks(columns, degree, own, load, accelerated=accelerated, now=None)
    if peaks.profile[0] >= 0:
        found = _trial("peak", "point", need, Term(peaks.value, peaks.lo, peaks.hi), common)
        away = Distance.INSIDE if peaks.inside[0] else Distance.OUTSIDE
        yield msgspec.structs.replace(found, distance=int(away), reach=float(peaks.reach[0]))


def peak_trials(records: Records) -> Iterator[MemoryTrial]:
    """Yield every recorded figure of a point with its estimate, from other points of its run and from physics alone."""
    for site in records.sites:
        yield from _site_trials(records, site)


def _preallocated(profiles: Iterable[Profile]) -> int:
    return sum(
        point.memory.peak_device_bytes is not None
        for profile in profiles
        if canonical(profile.runtime.name) in PREALLOCATING
        for point in profile.points
    )


def left_out(records: Records) -> dict[str, int]:
    """Return how many recorded figures are not scored, by reason."""
    found: Counter[str] = Counter()
    for variant in records.variants:
        if variant.weight_bytes.basis is not Basis.MODELLED:
            why = _why_unscored(variant, records)
            found[why or ""] += why is not None
    for site in records.sites:
        accelerated = site.device.kind is DeviceKind.GPU
        known = ~np.isnan(site.points.peak_bytes)
        if accelerated:
            found[NO_PEAK] += int(known.sum() - plausible_peaks(records.columns, site.points).sum())
        else:
            tiny = records.columns.weight_bytes[site.points.row] < SMALLEST_HOST_MODEL
            found[TINY] += int((known & tiny).sum())
        found[PREALLOCATED] += _preallocated(site.evidence.profiles)
    return {reason: count for reason, count in sorted(found.items()) if count}
