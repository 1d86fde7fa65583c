"""Scores: what trials say of the estimators' error, of their intervals' coverage, and whether either got worse.

The interval of a trial has the width that the trials of other groups give (a group is what its protocol holds out), so
coverage is measured on recordings that neither the estimate nor its interval has seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from planner.estimate.calibration import calibrated
from planner.estimate.columns import Floats, Integers
from planner.estimate.conformal import CONFIDENCE, Distance, Width, halves, quantile, scale
from planner.estimate.validation import METRICS, PROTOCOLS, Protocol, Trial

CALIBRATED_BY: Final[Mapping[Distance, Protocol]] = {
    Distance.INSIDE: "point",
    Distance.OUTSIDE: "point",
    Distance.VARIANT: "variant",
    Distance.SCHEME: "variant",
    Distance.DEVICE: "device",
}
"""The protocol whose trials calibrate the intervals at a distance."""


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """When a change of the scores is a regression. The only place where this is decided."""

    error_factor: float = 1.1
    """A median or 90th percentile may grow by this factor,"""
    error_slack: float = 0.005
    """or by this much, whichever is more."""
    new_evidence_factor: float = 1.5
    """The first factor where the number of trials changed: other recordings are harder or easier, estimators the same."""
    coverage_band: tuple[float, float] = (0.87, 0.93)
    """Coverage of 90 % intervals, all distances of a metric together, held out the way that calibrates them."""
    coverage_points: int = 200
    """Trials that the band needs: with 200 the standard error of 90 % coverage is 2 points."""
    false_fit_rate: float = 0.01
    """Of a memory estimate's verdict "fits", the risk it was asked for."""


TOLERANCE: Final = Tolerance()


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """Error and coverage of one metric, held out one way, at one distance of the remaining evidence (None: all)."""

    metric: str
    protocol: str
    distance: str | None
    trials: int
    groups: int
    unanswered: int
    """Trials for which nothing could be estimated, because bandwidth or matrix rate of the device is unknown."""
    median_error: float | None
    """Of |estimated / recorded - 1|, as all errors here."""
    p90_error: float | None
    bias: float | None
    """Geometric mean of estimated / recorded, less 1."""
    coverage: float | None
    """Share of recordings inside their interval."""
    median_width: float | None
    """Median of upper / lower end of the interval."""
    calibrated: bool

    @property
    def key(self) -> tuple[str, str, str | None]:
        """What identifies the score in a page."""
        return self.metric, self.protocol, self.distance


@dataclass(frozen=True, slots=True)
class _Pool:
    """Residuals that calibrate one metric at one distance, and the groups they belong to."""

    scores: Floats
    trials: tuple[Trial, ...]

    def width(self, out: frozenset[int] | None, protocol: Protocol) -> Width:
        keep = np.ones(len(self.scores), dtype=np.bool_)
        if out:
            keep[list(out)] = False
        groups = {self.trials[i].group(protocol) for i in np.flatnonzero(keep).tolist()}
        scores = self.scores[keep]
        return Width(quantile(scores), len(scores), len(groups))


def _answered(trials: Iterable[Trial]) -> list[Trial]:
    return [trial for trial in trials if np.isfinite(trial.estimated) and trial.estimated > 0]


def _pools(trials: Iterable[Trial], metric: str) -> dict[Distance, _Pool]:
    pools: dict[Distance, _Pool] = {}
    for distance, protocol in CALIBRATED_BY.items():
        own = tuple(
            t for t in trials if t.metric == metric and t.protocol == protocol and t.distance == distance
        )
        residuals = np.array([abs(t.residual) for t in own])
        away, reach = _coordinates(own)
        pools[distance] = _Pool(residuals / scale(away, reach), own)
    return pools


def _coordinates(trials: Sequence[Trial]) -> tuple[Integers, Floats]:
    return (
        np.array([t.distance for t in trials], dtype=np.int64),
        np.array([t.reach for t in trials], dtype=np.float64),
    )


def calibration_of(trials: Iterable[Trial]) -> dict[str, dict[Distance, Width]]:
    """Return the interval widths that the trials give, by metric and distance; too few give none."""
    answered = _answered(trials)
    found: dict[str, dict[Distance, Width]] = {}
    for metric in METRICS:
        pools = _pools(answered, metric)
        widths = {d: pools[d].width(None, protocol) for d, protocol in CALIBRATED_BY.items()}
        found[metric] = {d: width for d, width in widths.items() if width.calibrated}
    return found


def _half_widths(own: Sequence[Trial], pools: Mapping[Distance, _Pool], protocol: Protocol) -> Floats:
    """Return the half width in log space of each trial's interval, made without the trial's group."""
    metric = own[0].metric
    members: dict[str, dict[Distance, set[int]]] = {}
    for distance, pool in pools.items():
        for position, trial in enumerate(pool.trials):
            members.setdefault(trial.group(protocol), {}).setdefault(distance, set()).add(position)
    by_group: dict[str, list[int]] = {}
    for position, trial in enumerate(own):
        by_group.setdefault(trial.group(protocol), []).append(position)
    whole = {d: pools[d].width(None, p) for d, p in CALIBRATED_BY.items()}
    found = np.zeros(len(own))
    for group, positions in by_group.items():
        out = members.get(group, {})
        widths = {
            d: pools[d].width(frozenset(out[d]), p) if d in out else whole[d]
            for d, p in CALIBRATED_BY.items()
        }
        away, reach = _coordinates([own[i] for i in positions])
        found[positions] = halves(calibrated(metric, widths), away, reach)
    return found


def _score(
    trials: Sequence[Trial],
    half: Mapping[int, float],
    protocol: Protocol,
    distance: Distance | None,
    *,
    enough: bool,
) -> Score:
    answered = _answered(trials)
    errors = np.array([abs(t.estimated / t.recorded - 1) for t in answered])
    residuals = np.array([t.residual for t in answered])
    width = np.array([half[id(t)] for t in answered])
    known = len(answered) > 0
    return Score(
        metric=trials[0].metric,
        protocol=protocol,
        distance=None if distance is None else distance.name.lower(),
        trials=len(answered),
        groups=len({t.group(protocol) for t in answered}),
        unanswered=len(trials) - len(answered),
        median_error=float(np.median(errors)) if known else None,
        p90_error=float(np.quantile(errors, 0.9)) if known else None,
        bias=float(np.expm1(-residuals.mean())) if known else None,
        coverage=float((np.abs(residuals) <= width).mean()) if known else None,
        median_width=float(np.exp(2 * np.median(width))) if known else None,
        calibrated=enough,
    )


def scores(trials: Sequence[Trial]) -> tuple[Score, ...]:
    """Return the scores of every metric and protocol, all distances together and each alone."""
    found: list[Score] = []
    every = _answered(trials)
    for metric in METRICS:
        pools = _pools(every, metric)
        for protocol in PROTOCOLS:
            own = [t for t in trials if t.metric == metric and t.protocol == protocol]
            answered = _answered(own)
            if not answered:
                continue
            half = dict(zip(map(id, answered), _half_widths(answered, pools, protocol).tolist(), strict=True))
            enough = {d: pools[d].width(None, p).calibrated for d, p in CALIBRATED_BY.items()}
            all_enough = all(enough[Distance(t.distance)] for t in answered)
            found.append(_score(own, half, protocol, None, enough=all_enough))
            for distance in Distance:
                at = [t for t in own if t.distance == distance]
                if _answered(at):
                    found.append(_score(at, half, protocol, distance, enough=enough[distance]))
    return tuple(found)


def covered_as_calibrated(all_scores: Iterable[Score]) -> tuple[Score, ...]:
    """Return the scores that the coverage band holds for: by distance, held out the way that calibrates it."""
    names = {distance.name.lower(): protocol for distance, protocol in CALIBRATED_BY.items()}
    return tuple(
        score
        for score in all_scores
        if score.calibrated
        and score.distance is not None
        and names[score.distance] == score.protocol
        and score.trials >= TOLERANCE.coverage_points
    )


def regressions(before: Iterable[Score], after: Iterable[Score]) -> tuple[str, ...]:
    """Return, in words, where errors grew beyond the tolerance or coverage left its band; empty when nothing did."""
    known = {score.key: score for score in before}
    current = tuple(after)
    found: list[str] = []
    for score in current:
        old = known.get(score.key)
        name = f"{score.metric}, held-out {score.protocol}, {score.distance or 'all distances'}"
        for what in ("median_error", "p90_error"):
            was, now = getattr(old, what, None), getattr(score, what)
            if was is None or now is None:
                continue
            same = old is not None and old.trials == score.trials
            factor = TOLERANCE.error_factor if same else TOLERANCE.new_evidence_factor
            allowed = max(was * factor, was + TOLERANCE.error_slack)
            if now > allowed:
                found.append(f"{name}: {what} {now:.1%} was {was:.1%}, allowed {allowed:.1%}")
    missing = sorted(set(known) - {score.key for score in current}, key=str)
    found += [
        f"{metric}, held-out {protocol}, {distance}: no longer scored"
        for metric, protocol, distance in missing
    ]
    least, most = TOLERANCE.coverage_band
    for score in covered_as_calibrated(current):
        if score.coverage is not None and not least <= score.coverage <= most:
            found.append(
                f"{score.metric}, held-out {score.protocol}, {score.distance}: {CONFIDENCE:.0%} intervals cover "
                f"{score.coverage:.1%}, allowed {least:.0%} to {most:.0%}"
            )
    return tuple(found)
