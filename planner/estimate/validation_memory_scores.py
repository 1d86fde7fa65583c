"""Scores of memory: error, coverage, verdicts that were wrong, and whether any of it got worse.

"Fits" is wrong when it is said of a device smaller than the peak that was then recorded. It is tried at the hardest
capacity, the smallest of which the estimate would still say so, for several risks, and at the usual sizes of cards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import numpy as np

from planner.domain.units import GIB
from planner.estimate.conformal import Distance, Width, quantile, scale
from planner.estimate.priors import CONFIDENCE
from planner.estimate.validation import Records
from planner.estimate.validation_memory import (
    RISK,
    MemoryTrial,
    counted_weight_trials,
    peak_trials,
    weight_trials,
)

LEAST_PEAKS: Final = 19
"""Peaks that a finite 95 % quantile needs."""
CARDS: Final = (4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 141, 192)
"""Sizes of cards in GiB at which "fits" is said or not."""
RISKS: Final = (0.01, 0.05, 0.1, 0.25, 0.5)
"""Risks at which false verdicts are counted."""
AIMS: Final = {
    ("weights", "headers", "device"): 0.001,
    ("weights", "mix", "device"): 0.001,
    ("weights", "scheme", "device"): 0.005,
    ("peak", "point", "device"): 0.02,
    ("peak", "variant", "device"): 0.05,
    ("held", "variant", "device"): 0.02,
}
"""Median errors that are promised, by kind, how it was held out, and whose memory."""
_FACTOR: Final = 1.1
_SLACK: Final = 0.002
"""A median or 90th percentile may grow by the factor or by the slack, whichever is more."""
_ROUNDING: Final = 1e-4
"""Of a rate on a page."""


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
    """Share of peaks above the smallest capacity that was said to be enough at RISK."""
    false_fits: tuple[float, ...] = ()
    """The same at each of RISKS."""
    card_verdicts: int | None
    """Times "fits" was said of a card size below the next larger one that surely holds the peak."""
    card_false_fits: int | None

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies the score in a page."""
        return self.kind, self.protocol, self.memory


def memory_score(trials: Sequence[MemoryTrial]) -> MemoryScore:
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
    rates = tuple(float((recorded > [t.safe(risk) for t in trials]).mean()) for risk in RISKS)
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
        median_width=float(np.median(hi / np.maximum(lo, 1.0))),
        false_fit_rate=float((recorded > safe).mean()) if is_peak else None,
        false_fits=rates if is_peak else (),
        card_verdicts=int(close.sum()) if is_peak else None,
        card_false_fits=int((close & (recorded > cards)).sum()) if is_peak else None,
    )


def peak_calibration(trials: Iterable[MemoryTrial]) -> dict[Distance, Width]:
    """Return the widths of shifted peaks at CONFIDENCE that the trials give; too few give none."""
    every = [t for t in trials if t.kind == "peak" and t.protocol == "point"]
    found: dict[Distance, Width] = {}
    for distance in (Distance.INSIDE, Distance.OUTSIDE):
        own = [t for t in every if t.distance == distance]
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
    for trial in (*counted_weight_trials(records), *weight_trials(records), *peak_trials(records)):
        groups.setdefault((trial.kind, trial.protocol, trial.memory), []).append(trial)
    return tuple(memory_score(own) for own in groups.values())


def memory_regressions(before: Iterable[MemoryScore], after: Iterable[MemoryScore]) -> tuple[str, ...]:
    """Return, in words, where errors or false verdicts grew, an aim that was kept is missed, or a group went missing."""
    known = {score.key: score for score in before}
    current = {score.key: score for score in after}
    found: list[str] = []
    for key, score in current.items():
        name = f"memory, {score.kind} ({score.memory}), {score.protocol}"
        old = known.get(key)
        for what in ("median_error", "p90_error"):
            was, now = getattr(old, what, None), getattr(score, what)
            same = old is not None and old.trials == score.trials
            if was is not None and same and now > max(was * _FACTOR, was + _SLACK):
                found.append(f"{name}: {what} {now:.2%} was {was:.2%}")
        aim = AIMS.get(key)
        if aim is not None and score.median_error > aim:
            found.append(f"{name}: median error {score.median_error:.2%}, promised {aim:.2%}")
        before_rate, rate = old.false_fit_rate if old else None, score.false_fit_rate
        if before_rate is not None and rate is not None and rate > max(before_rate + _ROUNDING, RISK):
            found.append(f'{name}: {rate:.1%} of "fits" are false, were {before_rate:.1%}')
    found += [
        f"memory, {kind} ({memory}), {protocol}: no longer scored"
        for kind, protocol, memory in sorted(set(known) - set(current))
    ]
    return tuple(found)
