"""Is one profile faster than another? A verdict per point and time, from the intervals of the medians.

Four answers as NVBench gives them, because a bare percentage hides whether it is noise: same, fast, slow, ambiguous.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from planner.domain.profile import Distribution, Profile, ProfilePoint
from planner.domain.workload import Workload
from planner.errors import InvalidInput

TOLERANCE: Final = 0.05
"""Difference that does not matter, as a factor of 1 + this either way: two intervals of ±2 % each put their ratio within
about ±4 %."""
METRICS: Final = ("ttft", "tpot", "end_to_end")


class SpeedVerdict(StrEnum):
    """What a comparison of two medians says of the one that is judged."""

    SAME = "same"
    """The whole interval of the ratio lies within the tolerance."""
    FAST = "fast"
    """The ratio is below 1 with its whole interval, and below the tolerance itself."""
    SLOW = "slow"
    AMBIGUOUS = "ambiguous"
    """Neither: too noisy, or no interval is known."""


class SpeedComparison(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One time at one point: the judged median over the reference's, its interval, and the verdict."""

    workload: Workload
    metric: str
    ratio: float
    lo: float | None = None
    hi: float | None = None
    verdict: SpeedVerdict


class ProfileComparison(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Two profiles, point by point, and what else differs between them."""

    points: tuple[SpeedComparison, ...]
    differences: tuple[str, ...] = ()
    """What was not alike besides the times: variant, device, runtime, versions. Any of them may be the cause."""
    only_in_one: tuple[Workload, ...] = ()
    """Points that only one of the two has."""


def compare_speed(judged: Profile, reference: Profile, *, tolerance: float = TOLERANCE) -> ProfileComparison:
    """Return how the times of `judged` compare to those of `reference` at the points that both have."""
    if not 0 <= tolerance < 1:
        raise InvalidInput("tolerance", f"{tolerance} is out of range", allowed="0 to below 1")
    references = {point.workload: point for point in reference.points}
    found: list[SpeedComparison] = []
    for point in judged.points:
        other = references.get(point.workload)
        if other is not None:
            found += _compare_points(point, other, tolerance)
    ours = {point.workload for point in judged.points}
    alone = [*(ours - references.keys()), *(references.keys() - ours)]
    alone.sort(key=lambda load: (load.input_tokens, load.output_tokens, load.concurrency))
    return ProfileComparison(
        points=tuple(found), differences=_differences(judged, reference), only_in_one=tuple(alone)
    )


def _compare_points(point: ProfilePoint, other: ProfilePoint, tolerance: float) -> list[SpeedComparison]:
    found: list[SpeedComparison] = []
    for metric in METRICS:
        judged: Distribution | None = getattr(point, f"{metric}_seconds")
        reference: Distribution | None = getattr(other, f"{metric}_seconds")
        if judged is None or reference is None or not judged.p50 or not reference.p50:
            continue
        ratio = judged.p50 / reference.p50
        lo = hi = None
        if judged.p50_interval and reference.p50_interval and reference.p50_interval.lo > 0:
            lo = judged.p50_interval.lo / reference.p50_interval.hi
            hi = judged.p50_interval.hi / reference.p50_interval.lo
        found.append(
            SpeedComparison(
                workload=point.workload,
                metric=metric,
                ratio=ratio,
                lo=lo,
                hi=hi,
                verdict=judge_ratio(ratio, lo, hi, tolerance=tolerance),
            )
        )
    return found


def judge_ratio(
    ratio: float, lo: float | None, hi: float | None, *, tolerance: float = TOLERANCE
) -> SpeedVerdict:
    """Return the verdict on a ratio of times, judged over reference, and its interval."""
    if lo is None or hi is None:
        return SpeedVerdict.AMBIGUOUS
    most = 1 + tolerance
    if lo * most >= 1 and hi <= most:
        return SpeedVerdict.SAME
    if hi < 1 and ratio * most < 1:
        return SpeedVerdict.FAST
    if lo > 1 and ratio > most:
        return SpeedVerdict.SLOW
    return SpeedVerdict.AMBIGUOUS


def _differences(judged: Profile, reference: Profile) -> tuple[str, ...]:
    pairs = [
        ("variant", judged.variant_id, reference.variant_id),
        ("device", judged.device_id, reference.device_id),
        ("devices", judged.devices, reference.devices),
        ("runtime", str(judged.runtime), str(reference.runtime)),
        ("kernel", judged.kernel, reference.kernel),
        ("protocol", judged.protocol, reference.protocol),
        ("driver", judged.environment.driver, reference.environment.driver),
        ("synthetic weights", judged.synthetic_weights, reference.synthetic_weights),
    ]
    mine, theirs = judged.environment.versions, reference.environment.versions
    pairs += [(name, mine.get(name), theirs.get(name)) for name in sorted({*mine, *theirs})]
    return tuple(
        f"{name}: {new if new is not None else 'unknown'}, reference {old if old is not None else 'unknown'}"
        for name, new, old in pairs
        if new != old
    )
