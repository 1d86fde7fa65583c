"""Validation: every recording is estimated from evidence that does not contain it, by the estimators that answer questions.

Four ways to hold out, from near to far: one workload point of a variant that was measured at others; one variant, one
device, or one source everywhere. Effects are learned again without what is held out. A trial is one figure recorded and
what was estimated for it; `calibration_of` makes interval widths of trials, `scores` what docs/accuracy.md shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Final, Literal

import numpy as np

from planner.domain.device import Device
from planner.domain.model import Model
from planner.domain.profile import Profile
from planner.domain.variant import Variant
from planner.domain.workload import Workload
from planner.estimate.calibration import CENTRAL, Metric
from planner.estimate.columns import Booleans, Floats, Integers, columns_of
from planner.estimate.effects import GeneralEffects
from planner.estimate.evidence import DeviceEvidence, Points, gather_evidence
from planner.estimate.latency import Speeds, distance_of
from planner.estimate.roofline import yardstick
from planner.estimate.transfer import LEARNED, Ratios, device_effects, log_ratios, middle

Protocol = Literal["point", "variant", "device", "source"]
PROTOCOLS: Final[tuple[Protocol, ...]] = ("point", "variant", "device", "source")
METRICS: Final[tuple[Metric, ...]] = ("tpot", "ttft", "end_to_end", "per_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One recorded figure and its estimate without it; NaN where no estimate can be made."""

    metric: str
    protocol: Protocol
    distance: int
    """A `conformal.Distance`."""
    reach: float
    recorded: float
    estimated: float
    variant: str
    device: str
    source: str

    @property
    def residual(self) -> float:
        """log(recorded / estimated)."""
        return float(np.log(self.recorded / self.estimated))

    def group(self, protocol: Protocol) -> str:
        """Return what is held out with the recording: its own group and no calibration of its interval shares it."""
        if protocol in {"point", "variant"}:
            return self.variant
        return self.device if protocol == "device" else self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """All recordings of one device, and where they lie among those of all devices."""

    device: Device
    evidence: DeviceEvidence
    ratios: Ratios
    first: int
    sources: tuple[str, ...]
    loads: Integers
    """Code of each recording's workload."""

    @property
    def points(self) -> Points:
        """The recordings."""
        return self.evidence.points

    def own(self, held: Booleans) -> Booleans:
        """Return the part of an array over the recordings of all devices."""
        return held[self.first : self.first + len(self.points)]


def source_of(profile: Profile) -> str:
    """Return what a profile was taken from: the publication, or the campaign of our own workers."""
    if profile.citation is not None:
        return profile.citation.partition(",")[0].partition(" (")[0]
    return "/".join(profile.id.split("/")[:1])


class Records:
    """Recordings of all devices, with the variants they are of, in an order that does not depend on the input's."""

    def __init__(
        self,
        *,
        models: Iterable[Model],
        variants: Iterable[Variant],
        devices: Iterable[Device],
        profiles: Iterable[Profile],
    ) -> None:
        known = {model.id: model for model in models}
        self.variants: Final = tuple(sorted(variants, key=lambda variant: variant.id))
        self.models: Final = known
        rows = {variant.id: row for row, variant in enumerate(self.variants)}
        self.columns: Final = columns_of(
            (known[v.model_id].architecture, v.weight_bytes, v.scheme, 0) for v in self.variants
        )
        by_device: dict[str, list[Profile]] = {}
        for profile in profiles:
            by_device.setdefault(profile.device_id, []).append(profile)
        sites: list[Site] = []
        first = 0
        for device in sorted(devices, key=lambda device: device.id):
            evidence = gather_evidence(by_device.get(device.id, ()), device, rows)
            if not len(evidence.points):
                continue
            named = [source_of(profile) for profile in evidence.profiles]
            sources = tuple(named[int(index)] for index in evidence.points.profile)
            points = evidence.points
            load = np.stack([points.input_tokens, points.output_tokens, points.concurrency])
            sites.append(
                Site(
                    device=device,
                    evidence=evidence,
                    ratios=log_ratios(points, self.columns, device),
                    first=first,
                    sources=sources,
                    loads=np.unique(load, axis=1, return_inverse=True)[1].reshape(-1),
                )
            )
            first += len(evidence.points)
        self.sites: Final = tuple(sites)
        self.count: Final = first

    def codes(self, key: Callable[[Site], Iterable[str]]) -> Integers:
        """Return a code per recording for the values of `key`, which gives one for each recording of a site."""
        names = [name for site in self.sites for name in key(site)]
        return np.unique(np.array(names, dtype=np.str_), return_inverse=True)[1].reshape(-1)

    def general(self, held: Booleans) -> dict[str, GeneralEffects]:
        """Return the general effects learned from recordings not held out, on devices of known bandwidth and rate."""
        whole: dict[str, list[Floats]] = {}
        for code, site in enumerate(self.sites):
            if yardstick(site.device) is not site.device:
                continue
            keep = ~site.own(held)
            for metric in LEARNED:
                values = site.ratios.values[metric]
                known = keep & ~np.isnan(values)
                whole.setdefault(metric, []).append(
                    np.stack([
                        values[known], site.ratios.family[known], site.ratios.number_format[known],
                        np.full(int(known.sum()), code), site.points.row[known],
                    ])
                )  # fmt: skip
        found: dict[str, GeneralEffects] = {}
        for metric in LEARNED:
            parts = whole.get(metric, [])
            table = np.concatenate(parts, axis=1) if parts else np.zeros((5, 0))
            codes = table[1:].astype(np.int64)
            found[metric] = (
                GeneralEffects.fit(
                    table[0], family=codes[0], number_format=codes[1], device=codes[2], variant=codes[3]
                )
                if table.shape[1]
                else GeneralEffects.of({}, {})
            )
        return found


def workload_at(points: Points, position: int) -> Workload:
    """Return the workload of one point."""
    return Workload(
        input_tokens=int(points.input_tokens[position]),
        output_tokens=int(points.output_tokens[position]),
        concurrency=int(points.concurrency[position]),
    )


def same_run(points: Points, of: Points, position: int) -> Booleans:
    """Return which points share variant, runtime with version and mode, and number of devices with one of `of`."""
    same: Booleans = points.row == of.row[position]
    same &= points.runtime == of.runtime[position]
    same &= points.devices == of.devices[position]
    return same


def _estimate(
    records: Records,
    site: Site,
    positions: Integers,
    kept: DeviceEvidence,
    *,
    general: Mapping[str, GeneralEffects],
    protocol: Protocol,
) -> Iterator[Trial]:
    """Yield the trials of recordings of one device at one workload."""
    points, rest = site.points, kept.points
    parts: list[Points] = []
    for number, position in enumerate(positions.tolist()):
        own = rest.take(same_run(rest, points, position))
        parts.append(replace(own, row=np.full(len(own), number, dtype=np.int64)))
    names = [field.name for field in fields(Points)]
    together = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    speeds = Speeds(
        replace(records.columns.take(points.row[positions]), runtime=points.family[positions]),
        points.devices[positions],
        site.device,
        points=Points(**together),
        evidence=kept,
        workload=workload_at(points, int(positions[0])),
        general=general,
    )
    for metric in METRICS:
        recorded = middle(getattr(points, metric)[positions])
        if np.isnan(recorded).all():
            continue
        speed = speeds.of(metric, CENTRAL)
        distances = distance_of(speed)
        for number in np.flatnonzero(recorded > 0).tolist():
            position = int(positions[number])
            yield Trial(
                metric=metric,
                protocol=protocol,
                distance=int(distances[number]),
                reach=float(speed.reach[number]),
                recorded=float(recorded[number]),
                estimated=float(speed.value[number]),
                variant=records.variants[int(points.row[position])].id,
                device=site.device.id,
                source=site.sources[position],
            )


def _trials_of_fold(
    records: Records, held: Booleans, general: Mapping[str, GeneralEffects], protocol: Protocol
) -> Iterator[Trial]:
    for site in records.sites:
        own = site.own(held)
        if not own.any():
            continue
        kept = replace(
            site.evidence,
            points=site.points.take(~own),
            effects=device_effects(site.ratios, ~own, site.device, general),
        )
        at = np.flatnonzero(own)
        for code in range(int(site.loads[at].max()) + 1):
            positions = at[site.loads[at] == code]
            if len(positions):
                yield from _estimate(records, site, positions, kept, general=general, protocol=protocol)


def _point_folds(records: Records) -> Iterator[Booleans]:
    """Yield the recordings of each run at each workload, where the run has other workloads too."""
    for site in records.sites:
        points = site.points
        key = np.stack([points.row, points.runtime, points.devices])
        run = np.unique(key, axis=1, return_inverse=True)[1].reshape(-1)
        at = site.loads
        for code in range(int(run.max(initial=-1)) + 1):
            loads = np.unique(at[run == code])
            for load_code in loads if len(loads) > 1 else ():
                held = np.zeros(records.count, dtype=np.bool_)
                held[site.first : site.first + len(points)] = (run == code) & (at == load_code)
                yield held


def trials(records: Records, *, each: Callable[[], None] | None = None) -> tuple[Trial, ...]:
    """Return every recorded time with its estimate, for every way to hold it out.

    A point of a run whose others have no figure of the metric falls back to farther evidence; such a trial is not one of
    its protocol and is left out. `each` is called after every fold.
    """
    found: list[Trial] = []
    nothing = np.zeros(records.count, dtype=np.bool_)
    general = records.general(nothing)
    for held in _point_folds(records):
        made = _trials_of_fold(records, held, general, "point")
        found += [trial for trial in made if trial.distance <= 1]
        if each is not None:
            each()
    keys: dict[Protocol, Callable[[Site], Iterable[str]]] = {
        "variant": lambda site: map(str, site.points.row.tolist()),
        "device": lambda site: [site.device.id] * len(site.points),
        "source": lambda site: site.sources,
    }
    for protocol, key in keys.items():
        codes = records.codes(key)
        for code in range(int(codes.max(initial=-1)) + 1):
            held = codes == code
            found += _trials_of_fold(records, held, records.general(held), protocol)
            if each is not None:
                each()
    return tuple(found)
