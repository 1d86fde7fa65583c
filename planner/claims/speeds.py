"""Speeds: times and ratios of times, formed only within one source, on the same model, device, runtime and workload.

Doubted evidence is not used, unless all that is doubted is which build of a device a source means by its name; then the
row says so.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterator
from statistics import mean
from typing import Final

import msgspec

from planner.claims.evidence import Evidence, Row, Which, cited
from planner.domain.profile import Profile, ProfilePoint
from planner.domain.runtime import canonical
from planner.domain.variant import Variant

_DEVICE_DOUBT: Final = re.compile(r'the source says only "[^"]+": taken as [^;]+')


class Seconds(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Milliseconds a token, or of a whole answer, at concurrency 1."""

    which: Which
    devices: tuple[str, ...]
    whole: bool = False

    def rows(self, evidence: Evidence) -> Iterator[Row]:
        """Yield one row for each point."""
        for profile, variant in _profiles(evidence, self.which):
            if profile.device_id not in self.devices or profile.devices != 1:
                continue
            for point in profile.points:
                seconds = _whole(point) if self.whole else _per_token(point)
                if seconds is not None and point.workload.concurrency == 1:
                    yield Row(
                        subject=f"{variant.name} on {profile.device_id}, {profile.runtime}, {point.workload}",
                        value=1000 * seconds,
                        basis=profile.basis,
                        evidence=(profile.id,),
                        citation=cited(profile),
                        note=_marks(profile),
                    )


class Speedup(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Times as fast as the fastest of `than`, a token or a whole answer at concurrency 1; or the cut in time, in %."""

    which: Which
    than: Which = Which(reference=True, attention=False)
    as_cut: bool = False

    def rows(self, evidence: Evidence) -> Iterator[Row]:
        """Yield one row for each variant, device, runtime and source: the mean over the workloads they share."""
        slow: defaultdict[Hashable, list[float]] = defaultdict(list)
        for profile, _ in _profiles(evidence, self.than):
            for point in profile.points:
                if (seconds := _time(point)) is not None:
                    slow[self._key(evidence, profile, point)].append(seconds)
        for profile, variant in _profiles(evidence, self.which):
            ratios = [
                min(slow[key]) / seconds
                for point in profile.points
                if point.workload.concurrency == 1
                and (seconds := _time(point)) is not None
                and (key := self._key(evidence, profile, point)) in slow
            ]
            if ratios:
                ratio = mean(ratios)
                yield Row(
                    subject=f"{variant.name} on {_place(profile)}, {profile.runtime}",
                    value=100 * (1 - 1 / ratio) if self.as_cut else ratio,
                    basis=profile.basis,
                    evidence=(profile.id,),
                    citation=cited(profile),
                    note=_joined(_marks(profile), profile.kernel and f"kernel {profile.kernel}"),
                )

    def _key(self, evidence: Evidence, profile: Profile, point: ProfilePoint) -> Hashable:
        model = evidence.variants[profile.variant_id].model_id
        runtime = (canonical(profile.runtime.name), profile.runtime.version, profile.runtime.mode)
        known = (_per_token(point) is not None, point.output_tokens_per_second is not None)
        return (model, profile.device_id, profile.devices, runtime, cited(profile), point.workload, known)


class RuntimeGain(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Times as fast as the same variant under `than`, at the same workload on the same device, in one source."""

    which: Which
    than: str
    """Canonical name of a runtime."""

    def rows(self, evidence: Evidence) -> Iterator[Row]:
        """Yield one row for each variant, device and other runtime."""
        slow: dict[Hashable, float] = {}
        for profile, _ in _profiles(evidence, self.which):
            for point in profile.points:
                if canonical(profile.runtime.name) == self.than and (seconds := _time(point)) is not None:
                    key = self._key(profile, point)
                    slow[key] = min(seconds, slow.get(key, seconds))
        for profile, variant in _profiles(evidence, self.which):
            ratios = [
                slow[key] / seconds
                for point in profile.points
                if (seconds := _time(point)) is not None and (key := self._key(profile, point)) in slow
            ]
            if ratios and canonical(profile.runtime.name) != self.than:
                yield Row(
                    subject=f"{variant.name} on {_place(profile)}, {profile.runtime} against {self.than}",
                    value=mean(ratios),
                    basis=profile.basis,
                    evidence=(profile.id,),
                    citation=cited(profile),
                )

    def _key(self, profile: Profile, point: ProfilePoint) -> Hashable:
        return (profile.variant_id, profile.device_id, profile.devices, cited(profile), point.workload)


class BatchingGain(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Tokens per second of the most concurrent requests over those of one, in one profile."""

    which: Which
    modes: tuple[str | None, ...] = ()
    """Of the runtime; empty is any."""
    boards: bool = False
    """Only devices whose memory is shared with the operating system."""

    def rows(self, evidence: Evidence) -> Iterator[Row]:
        """Yield one row for each profile and pair of lengths."""
        for profile, variant in _profiles(evidence, self.which):
            device = evidence.devices.get(profile.device_id)
            if self.modes and profile.runtime.mode not in self.modes:
                continue
            if self.boards and (device is None or device.kind.value != "board"):
                continue
            rates: defaultdict[tuple[int, int], dict[int, float]] = defaultdict(dict)
            for point in profile.points:
                rate = _rate(point)
                if rate is not None:
                    load = point.workload
                    rates[load.input_tokens, load.output_tokens][load.concurrency] = rate
            for (tokens_in, tokens_out), by_concurrency in sorted(rates.items()):
                most = max(by_concurrency)
                if 1 in by_concurrency and most > 1:
                    yield Row(
                        subject=f"{variant.name} on {_place(profile)}, {profile.runtime}, {most} requests of "
                        f"{tokens_in} in and {tokens_out} out",
                        value=by_concurrency[most] / by_concurrency[1],
                        basis=profile.basis,
                        evidence=(profile.id,),
                        citation=cited(profile),
                        note=_marks(profile),
                    )


class SplitGain(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Times as fast on twice as many devices, in one source."""

    which: Which

    def rows(self, evidence: Evidence) -> Iterator[Row]:
        """Yield one row for each doubling."""
        times: dict[Hashable, tuple[float, Profile]] = {}
        for profile, _ in _profiles(evidence, self.which):
            for point in profile.points:
                if (seconds := _per_token(point)) is not None:
                    times[self._key(profile, point, profile.devices)] = (seconds, profile)
        for profile, variant in _profiles(evidence, self.which):
            for point in profile.points:
                before = times.get(self._key(profile, point, profile.devices // 2))
                seconds = _per_token(point)
                if profile.devices % 2 == 0 and before is not None and seconds is not None:
                    yield Row(
                        subject=f"{variant.name}, {profile.devices // 2} to {_place(profile)}, {profile.runtime}",
                        value=before[0] / seconds,
                        basis=profile.basis,
                        evidence=(before[1].id, profile.id),
                        citation=cited(profile),
                    )

    def _key(self, profile: Profile, point: ProfilePoint, devices: int) -> Hashable:
        return (
            profile.variant_id, profile.device_id, devices, str(profile.runtime), cited(profile),
            point.workload.concurrency, point.workload.output_tokens,
        )  # fmt: skip


def _profiles(evidence: Evidence, which: Which) -> Iterator[tuple[Profile, Variant]]:
    for profile in sorted(evidence.held.profiles, key=lambda profile: profile.id):
        variant = evidence.variants.get(profile.variant_id)
        if variant is None or not (profile.doubt is None or _DEVICE_DOUBT.fullmatch(profile.doubt)):
            continue
        if which.admits(variant, evidence.models[variant.model_id]):
            yield profile, variant


def _middle(point: ProfilePoint, field: str) -> float | None:
    distribution = getattr(point, field)
    if distribution is None:
        return None
    return float(distribution.mean if distribution.p50 is None else distribution.p50)


def _per_token(point: ProfilePoint) -> float | None:
    return _middle(point, "tpot_seconds")


def _whole(point: ProfilePoint) -> float | None:
    return _middle(point, "end_to_end_seconds")


def _time(point: ProfilePoint) -> float | None:
    """Return the seconds that speeds are compared by: of a token, one over a rate, or of the whole answer."""
    seconds = _per_token(point)
    if seconds is None and (rate := _middle(point, "output_tokens_per_second")):
        return point.workload.concurrency / rate
    return _whole(point) if seconds is None else seconds


def _rate(point: ProfilePoint) -> float | None:
    rate = _middle(point, "output_tokens_per_second")
    seconds = _per_token(point)
    return point.workload.concurrency / seconds if rate is None and seconds else rate


def _place(profile: Profile) -> str:
    return f"{profile.devices} × {profile.device_id}" if profile.devices > 1 else profile.device_id


def _marks(profile: Profile) -> str | None:
    """Return what a reader must know of the profile."""
    return _joined("synthetic weights" if profile.synthetic_weights else None, profile.doubt)


def _joined(*notes: str | None) -> str | None:
    return "; ".join(note for note in notes if note) or None
