"""Latency and memory: runs of one class of machine and engine, against a limit or against the reference's runs of the same class.

Runs are compared only where engine, version, mode, device, driver, libraries and protocol are the same: what else differs may be the
cause. One run shows nothing about how runs differ, so it decides nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from planner.domain.figure import Basis, Figure, Interval, weakest
from planner.domain.profile import Profile, ProfilePoint
from planner.domain.repeated_runs import MIN_RUNS, RunsTest
from planner.domain.runtime import canonical
from planner.domain.units import Unit, format_ratio, format_value
from planner.domain.variant import Variant
from planner.gate.evidence import Evidence, staleness
from planner.gate.policy import LatencyRule, Limit, MemoryRule, Policy, regression_of
from planner.gate.report import CheckKind, CheckState, GateCheck
from planner.gate.trial import Trial

_NOT_COMPARED: Final = frozenset({"python", "variant-planner"})
"""Versions that do not change a time."""
_BYTES: Final = {
    "kv_cache": "kv_cache_bytes",
    "peak_device": "peak_device_bytes",
    "peak_process": "peak_process_bytes",
    "peak_reserved": "peak_reserved_bytes",
    "peak_rss": "peak_rss_bytes",
}


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """What must be the same for two runs to be comparable."""

    engine: str
    mode: str | None
    device: str
    devices: int
    device_name: str | None
    driver: str | None
    protocol: str | None
    versions: tuple[tuple[str, str], ...]
    synthetic_weights: bool

    def __str__(self) -> str:
        parts = [
            self.engine,
            self.mode,
            f"{self.devices} x {self.device}" if self.devices > 1 else self.device,
        ]
        return ", ".join(part for part in parts if part) + (f", driver {self.driver}" if self.driver else "")

    def differences(self, other: Fingerprint) -> tuple[str, ...]:
        """Return what is not alike, in words."""
        found = [
            f"{field.replace('_', ' ')} {_word(mine)} against {_word(theirs)}"
            for field in self.__struct_fields__
            if field != "versions" and (mine := getattr(self, field)) != (theirs := getattr(other, field))
        ]
        ours, others = dict(self.versions), dict(other.versions)
        found += [
            f"{name} {ours.get(name, 'unknown')} against {others.get(name, 'unknown')}"
            for name in sorted({*ours, *others})
            if ours.get(name) != others.get(name)
        ]
        return tuple(found)


@dataclass
class _Run:
    value: float
    profile: Profile


def fingerprint(profile: Profile) -> Fingerprint:
    """Return what a profile's class is."""
    runtime, environment = profile.runtime, profile.environment
    return Fingerprint(
        engine=" ".join(part for part in (canonical(runtime.name), runtime.version) if part),
        mode=runtime.mode,
        device=profile.device_id,
        devices=profile.devices,
        device_name=environment.device_name,
        driver=environment.driver,
        protocol=profile.protocol,
        versions=tuple(sorted((n, v) for n, v in environment.versions.items() if n not in _NOT_COMPARED)),
        synthetic_weights=profile.synthetic_weights,
    )


def limit_trial(rule: Limit, policy: Policy, evidence: Evidence, *, now: datetime) -> Trial:
    """Return the trial of one latency or memory rule."""
    kind = CheckKind.LATENCY if isinstance(rule, LatencyRule) else CheckKind.MEMORY
    unit = Unit.SECONDS if isinstance(rule, LatencyRule) else Unit.BYTES
    regression = regression_of(rule)
    if regression is not None:
        asked = f"at most {format_ratio(regression)} more than the reference"
    else:
        asked = f"at most {format_value(rule.limit or 0.0, unit)}"
    known = _points(rule, (*evidence.profiles, *evidence.reference_profiles))
    check = GateCheck(
        kind=kind,
        name=rule.title,
        rule=asked,
        state=CheckState.MISSING,
        reason="",
        evidence=tuple(dict.fromkeys(profile.id for profile, _ in known)),
    )
    if isinstance(rule, MemoryRule) and rule.measure == "weights":
        return _weights(check, rule, evidence)
    mine, stale = _groups(rule, evidence.profiles, policy, now=now)
    if not mine:
        return _gap(check, stale, _unmeasured(rule, evidence.profiles, "the build"))
    if regression is None:
        print_, runs = max(mine.items(), key=_most)
        return _absolute(check, rule, print_, runs, unit)
    if evidence.reference is None:
        return _gap(check, None, "what it is held against is not registered, and has no runs")
    theirs, stale = _groups(rule, evidence.reference_profiles, policy, now=now)
    if not theirs:
        return _gap(check, stale, _unmeasured(rule, evidence.reference_profiles, evidence.reference.name))
    shared = [each for each in mine if each in theirs]
    if not shared:
        return _gap(check, None, _unlike(mine, theirs))
    print_ = max(shared, key=lambda each: (min(len(mine[each]), len(theirs[each])), str(each)))
    notes = (f"runs of {print_}", f"{len(theirs[print_])} of the reference")
    check = _with_runs(check, [*mine[print_], *theirs[print_]], notes)
    return _relative(check, rule, mine[print_], theirs[print_], regression)


def runs_of(rule: Limit, profiles: Iterable[Profile]) -> list[tuple[Profile, float]]:
    """Return the profiles that have what a rule limits, with its value; those in doubt or unstable are left out."""
    found: list[tuple[Profile, float]] = []
    for profile, point in _points(rule, profiles):
        value = _value(rule, point)
        if _objection(rule, profile, point) is None and value is not None and value > 0:
            found.append((profile, value))
    return found


def _points(rule: Limit, profiles: Iterable[Profile]) -> list[tuple[Profile, ProfilePoint]]:
    """Return the point of each profile on the machines and engines that a rule is about."""
    return [
        (profile, point)
        for profile in profiles
        if (rule.runtime is None or canonical(profile.runtime.name) == canonical(rule.runtime))
        and rule.device in {None, profile.device_id}
        and (point := _point(rule, profile)) is not None
    ]


def _objection(rule: Limit, profile: Profile, point: ProfilePoint) -> str | None:
    """Return why a run does not count; times that were unsteady say nothing against its bytes."""
    if profile.doubt is not None:
        return f"is in doubt: {profile.doubt}"
    is_timed = isinstance(rule, LatencyRule)
    if is_timed and point.stability is not None and not point.stability.is_stable:
        return f"was unstable: {point.stability.reason or 'its times changed while they were taken'}"
    return None


def _unmeasured(rule: Limit, profiles: Sequence[Profile], whose: str) -> str:
    """Return why there is no run, in words."""
    points = _points(rule, profiles)
    objections = [
        reason for profile, point in points if (reason := _objection(rule, profile, point)) is not None
    ]
    where = "".join(
        (f" on {rule.device}" if rule.device else "", f" with {rule.runtime}" if rule.runtime else "")
    )
    if objections:
        return f"the run of {whose}{where} {objections[-1]}"
    if points:
        return f"no run of {whose} has it: {len(points)} measured the point without"
    return f"no run of {whose} is at this point{where}"


def _point(rule: Limit, profile: Profile) -> ProfilePoint | None:
    if rule.at is None:
        return profile.points[0] if profile.points else None
    wanted = rule.at.workload
    return next((point for point in profile.points if point.workload == wanted), None)


def _value(rule: Limit, point: ProfilePoint) -> float | None:
    if isinstance(rule, LatencyRule):
        times = getattr(point, f"{rule.metric}_seconds")
        return None if times is None else times.quantile(rule.percentile)
    size: int | None = getattr(point.memory, _BYTES[rule.measure])
    return None if size is None else float(size)


def _groups(
    rule: Limit, profiles: Sequence[Profile], policy: Policy, *, now: datetime
) -> tuple[dict[Fingerprint, list[_Run]], str | None]:
    """Return the runs that count by class, and why the newest that does not is stale."""
    groups: defaultdict[Fingerprint, list[_Run]] = defaultdict(list)
    reason: str | None = None
    for profile, value in runs_of(rule, profiles):
        if profile.basis not in policy.evidence.allowed:
            continue
        stale = staleness(profile.measured_at, profile.environment, profile.runtime, policy.evidence, now=now)
        if stale is not None:
            reason = stale
            continue
        groups[fingerprint(profile)].append(_Run(value, profile))
    return groups, reason


def _gap(check: GateCheck, stale: str | None, missing: str) -> Trial:
    if stale is not None:
        return Trial(
            msgspec.structs.replace(
                check, state=CheckState.STALE, reason=f"what was measured is stale: {stale}"
            )
        )
    return Trial(msgspec.structs.replace(check, reason=missing))


def _most(item: tuple[Fingerprint, list[_Run]]) -> tuple[int, float, str]:
    runs = item[1]
    newest = max(each.profile.measured_at.timestamp() if each.profile.measured_at else 0.0 for each in runs)
    return len(runs), newest, str(item[0])


def _unlike(mine: dict[Fingerprint, list[_Run]], theirs: dict[Fingerprint, list[_Run]]) -> str:
    pairs = [(one.differences(other), one, other) for one in mine for other in theirs]
    nearest = min(pairs, key=lambda pair: (len(pair[0]), pair[0]))[0]
    return f"unlike runs are not compared: {'; '.join(nearest[:4])}"


def _absolute(check: GateCheck, rule: Limit, print_: Fingerprint, runs: list[_Run], unit: Unit) -> Trial:
    basis = weakest(each.profile.basis for each in runs)
    check = _with_runs(check, runs, (f"runs of {print_}",))
    if len(runs) < MIN_RUNS:
        return Trial(_one_run(check, runs[0], rule, unit, basis))
    test = RunsTest([each.value for each in runs])
    return Trial(check, test, rule.limit or 0.0, unit, basis, least=rule.repeats, counted="runs")


def _relative(
    check: GateCheck, rule: Limit, mine: list[_Run], theirs: list[_Run], regression: float
) -> Trial:
    basis = weakest(each.profile.basis for each in (*mine, *theirs))
    fewest = min(len(mine), len(theirs))
    if fewest < max(MIN_RUNS, rule.repeats):
        missing = max(MIN_RUNS, rule.repeats) - fewest
        reason = (
            f"runs: {len(mine)} of the build and {len(theirs)} of the reference, at least {rule.repeats} of each are "
            "asked for: one run shows nothing about how runs differ"
        )
        return Trial(
            msgspec.structs.replace(
                check, state=CheckState.INCONCLUSIVE, reason=reason, size=len(mine), more=missing
            )
        )
    test = RunsTest([each.value for each in mine], [each.value for each in theirs])
    return Trial(check, test, regression, Unit.RATIO, basis, least=rule.repeats, counted="runs")


def _with_runs(check: GateCheck, runs: Sequence[_Run], notes: tuple[str, ...]) -> GateCheck:
    return msgspec.structs.replace(
        check,
        evidence=tuple(dict.fromkeys(each.profile.id for each in runs)),
        notes=notes,
        reason="judged with the others",
    )


def _one_run(check: GateCheck, run: _Run, rule: Limit, unit: Unit, basis: Basis) -> GateCheck:
    return msgspec.structs.replace(
        check,
        state=CheckState.INCONCLUSIVE,
        reason=f"one run only, {format_value(run.value, unit)}, which shows nothing about how runs differ: "
        f"{rule.repeats - 1} more are asked for",
        figure=Figure(value=run.value, unit=unit, basis=basis, evidence=(run.profile.id,)),
        limit=rule.limit,
        size=1,
        more=rule.repeats - 1,
    )


def _weights(check: GateCheck, rule: MemoryRule, evidence: Evidence) -> Trial:
    """Return the check of weight bytes, which headers say exactly: no runs are needed."""
    mine = _exact_bytes(evidence.variant)
    regression = regression_of(rule)
    theirs = None if evidence.reference is None else _exact_bytes(evidence.reference)
    if mine is None or (regression is not None and theirs is None):
        whose = "its" if mine is None else "the reference's"
        return Trial(
            msgspec.structs.replace(
                check, reason=f"{whose} weights are not known from headers, only estimated"
            )
        )
    value, unit, limit = mine.value, Unit.BYTES, rule.limit or 0.0
    if regression is not None and theirs is not None:
        value, unit, limit = mine.value / theirs.value - 1, Unit.RATIO, regression
    exceeds = value > limit
    word = "above" if exceeds else "within"
    return Trial(
        msgspec.structs.replace(
            check,
            evidence=(),
            state=CheckState.FAIL if exceeds else CheckState.PASS,
            reason=f"{format_value(value, unit)}, {word} {format_value(limit, unit)}, counted in the headers",
            figure=Figure(
                value=value,
                unit=unit,
                basis=mine.basis,
                interval=Interval(lo=value, hi=value, confidence=0.999999),
            ),
            limit=limit,
            p_below=1.0 if exceeds else 0.0,
            p_above=0.0 if exceeds else 1.0,
        )
    )


def _exact_bytes(variant: Variant) -> Figure | None:
    figure = variant.weight_bytes
    exact = figure.interval is not None and figure.interval.lo == figure.interval.hi
    return figure if exact or variant.is_fetchable else None


def _word(value: object) -> str:
    return "unknown" if value is None else str(value)
