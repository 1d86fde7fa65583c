"""Validation of memory: recorded peaks and weights against estimates that do not contain them, and false fits.

A peak is estimated from other workload points of the same run, and from physics alone as for a variant that was never
measured. "Fits" is wrong when it is said of a device smaller than the peak that was then recorded. It is tried at the
hardest capacity, the smallest of which the estimate would still say so, and at the usual sizes of cards.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from statistics import NormalDist
from typing import Final

import msgspec
import numpy as np

from planner.domain.device import DeviceKind
from planner.domain.figure import Basis
from planner.domain.units import GIB
from planner.estimate.conformal import Distance, Width, quantile, scale
from planner.estimate.evidence import Points
from planner.estimate.memory import memory_terms
from planner.estimate.peaks import recorded_peaks
from planner.estimate.plausible import plausible_peaks
from planner.estimate.priors import CONFIDENCE, Z, runtime_code
from planner.estimate.validation import Records, Site, same_run, workload_at
from planner.estimate.weights import modelled_weight_bytes

RISK: Final = 0.01
"""Probability of running out that "fits" is asked to stay below, as in a question that names none."""
LEAST_PEAKS: Final = 19
"""Peaks that a finite 95 % quantile needs."""
CARDS: Final = (4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 141, 192)
"""Sizes of cards in GiB at which "fits" is said or not."""


class MemoryTrial(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded figure in bytes, its estimate without it, and the ends of the interval."""

    kind: str
    """"weights", or "peak"."""
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

    @property
    def safe_capacity(self) -> float:
        """The smallest capacity that the estimate would be said to fit at RISK."""
        return self.estimated + NormalDist().inv_cdf(1 - RISK) * (self.hi - self.estimated) / Z


class MemoryScore(msgspec.Struct, frozen=True, kw_only=True):
    """Error, coverage and wrong verdicts of one kind of figure, held out one way."""

    kind: str
    protocol: str
    memory: str
    trials: int
    variants: int
    median_error: float
    p90_error: float
    bias: float
    """Geometric mean of estimated / recorded, less 1."""
    coverage: float
    """Share of recordings inside the interval of `confidence`."""
    confidence: float
    median_width: float
    """Median of upper / lower end of the interval."""
    false_fit_rate: float | None
    """Share of peaks above the smallest capacity that was said to be enough."""
    card_verdicts: int | None
    """Times "fits" was said of a card size below the next larger one that surely holds the peak."""
    card_false_fits: int | None


def weight_trials(records: Records) -> tuple[MemoryTrial, ...]:
    """Return printed sizes, and sizes counted by our workers, with what the architecture and scheme alone give."""
    found: list[MemoryTrial] = []
    for variant in records.variants:
        if variant.weight_bytes.basis is Basis.MODELLED:
            continue
        architecture = records.models[variant.model_id].architecture
        figure = modelled_weight_bytes(architecture, variant.scheme)
        interval = figure.interval
        if interval is None:
            continue
        found.append(
            MemoryTrial(
                kind="weights", protocol="physics", recorded=variant.weight_bytes.value,
                estimated=figure.value, lo=interval.lo, hi=interval.hi, variant=variant.id,
            )
        )  # fmt: skip
    return tuple(found)


def counted_weight_trials(records: Records) -> tuple[MemoryTrial, ...]:
    """Return the bytes that our workers counted on devices against the variants' own figures."""
    found: dict[tuple[str, int], MemoryTrial] = {}
    by_id = {variant.id: variant for variant in records.variants}
    for site in records.sites:
        for profile in site.evidence.profiles:
            if profile.basis is not Basis.MEASURED or profile.devices > 1 or profile.doubt is not None:
                continue
            figure = by_id[profile.variant_id].weight_bytes
            lo, hi = (figure.interval.lo, figure.interval.hi) if figure.interval else (figure.value,) * 2
            for point in profile.points:
                counted = point.memory.weights_bytes
                if counted is not None:
                    found[profile.variant_id, counted] = MemoryTrial(
                        kind="weights", protocol="variant's figure", recorded=counted, estimated=figure.value,
                        lo=lo, hi=hi, variant=profile.variant_id, device=site.device.id,
                    )  # fmt: skip
    return tuple(found[key] for key in sorted(found))


def _peaks_at(records: Records, site: Site) -> Iterable[MemoryTrial]:
    points, accelerated = site.points, site.device.kind is DeviceKind.GPU
    has = ~np.isnan(points.peak_bytes)
    if accelerated:
        has &= plausible_peaks(records.columns, points)
    for position in np.flatnonzero(has).tolist():
        columns = replace(
            records.columns.take(points.row[position : position + 1]),
            runtime=np.array(
                [runtime_code(site.evidence.profiles[int(points.profile[position])].runtime.name)]
            ),
        )
        load = workload_at(points, position)
        variant = records.variants[int(points.row[position])].id
        common = {
            "kind": "peak",
            "recorded": float(points.peak_bytes[position]),
            "variant": variant,
            "memory": "device" if accelerated else "host",
            "device": site.device.id,
        }
        degree = points.devices[position : position + 1]
        terms = memory_terms(columns, load, devices=int(degree[0]), accelerated=accelerated)
        if int(terms.degree[0]) == int(degree[0]):
            total = terms.total
            yield msgspec.convert(
                {
                    **common, "protocol": "variant", "estimated": float(total.value[0]),
                    "lo": float(total.lo[0]), "hi": float(total.hi[0]),
                },
                MemoryTrial,
            )  # fmt: skip
        others = points.take(has & same_run(points, points, position) & ~points.is_at(load))
        if len(others):
            own: Points = replace(others, row=np.zeros(len(others), dtype=np.int64))
            peaks = recorded_peaks(columns, degree, own, load, accelerated=accelerated, now=None)
            if peaks.profile[0] >= 0:
                yield msgspec.convert(
                    {
                        **common, "protocol": "point", "estimated": float(peaks.value[0]),
                        "lo": float(peaks.lo[0]), "hi": float(peaks.hi[0]), "device": site.device.id,
                    },
                    MemoryTrial,
                )  # fmt: skip


def peak_trials(records: Records) -> tuple[MemoryTrial, ...]:
    """Return every recorded peak with its estimate from other points of its run, and from physics alone."""
    return tuple(trial for site in records.sites for trial in _peaks_at(records, site))


def left_out_peaks(records: Records) -> int:
    """Return how many published peaks are not scored because they cannot be peaks of a device."""
    return sum(
        int((~np.isnan(s.points.peak_bytes)).sum() - plausible_peaks(records.columns, s.points).sum())
        for s in records.sites
        if s.device.kind is DeviceKind.GPU
    )


def memory_score(trials: tuple[MemoryTrial, ...]) -> MemoryScore:
    """Return the score of trials (at least one) of one kind and protocol."""
    recorded = np.array([t.recorded for t in trials])
    estimated = np.array([t.estimated for t in trials])
    lo, hi = np.array([t.lo for t in trials]), np.array([t.hi for t in trials])
    errors = np.abs(estimated / recorded - 1)
    is_peak = trials[0].kind == "peak"
    safe = np.array([t.safe_capacity for t in trials])
    cards = np.array(CARDS, dtype=np.float64)[:, None] * GIB
    said = cards >= safe
    # Of cards that are far larger nobody asks: the verdict counts where the peak is at least half of the card.
    close = said & (recorded >= cards / 2)
    return MemoryScore(
        kind=trials[0].kind,
        protocol=trials[0].protocol,
        memory=trials[0].memory,
        trials=len(trials),
        variants=len({t.variant for t in trials}),
        median_error=float(np.median(errors)),
        p90_error=float(np.quantile(errors, 0.9)),
        bias=float(np.expm1(np.log(estimated / recorded).mean())),
        coverage=float(((lo <= recorded) & (recorded <= hi)).mean()),
        confidence=CONFIDENCE,
        median_width=float(np.median(hi / lo)),
        false_fit_rate=float((recorded > safe).mean()) if is_peak else None,
        card_verdicts=int(close.sum()) if is_peak else None,
        card_false_fits=int((close & (recorded > cards)).sum()) if is_peak else None,
    )


def peak_calibration(trials: Iterable[MemoryTrial]) -> dict[Distance, Width]:
    """Return the widths of shifted peaks at CONFIDENCE that the trials give; too few give none."""
    found: dict[Distance, Width] = {}
    for distance in (Distance.INSIDE, Distance.OUTSIDE):
        own = [t for t in trials if t.protocol == "point" and t.distance == distance]
        away = np.full(len(own), distance, dtype=np.int64)
        residuals = np.array([abs(np.log(t.recorded / t.estimated)) for t in own])
        factor = scale(away, np.array([t.reach for t in own], dtype=np.float64))
        width = Width(quantile(residuals / factor, CONFIDENCE), len(own), len({t.variant for t in own}))
        if width.points >= LEAST_PEAKS:
            found[distance] = width
    return found


def memory_scores(records: Records) -> tuple[MemoryScore, ...]:
    """Return the scores of weights and peaks, by how they were held out."""
    groups: dict[tuple[str, str, str], list[MemoryTrial]] = {}
    for trial in (*weight_trials(records), *counted_weight_trials(records), *peak_trials(records)):
        groups.setdefault((trial.kind, trial.protocol, trial.memory), []).append(trial)
    return tuple(memory_score(tuple(own)) for own in groups.values())
