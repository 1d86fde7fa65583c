"""A trial: one rule on its way to a check. All trials are decided together, because Holm's procedure needs all p-values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from planner.domain.figure import Basis, Figure, Interval
from planner.domain.margin_test import MarginTest
from planner.domain.multiple_tests import Adjusted, holm
from planner.domain.units import Unit, format_value
from planner.gate.report import CheckState, GateCheck


@dataclass(frozen=True)
class Trial:
    """A check with everything but its verdict, or, without `test`, one that is decided already."""

    check: GateCheck
    test: MarginTest | None = None
    margin: float = 0.0
    unit: Unit = Unit.RATIO
    basis: Basis = Basis.MEASURED
    noise: float = 0.0
    least: int = 1
    """Size below which nothing passes."""
    fewest: int = 1
    """Size below which nothing is decided either way: the test's own."""
    counted: str = "items"
    """What `size` counts, in words."""


def decide(trials: Sequence[Trial], *, alpha: float) -> tuple[GateCheck, ...]:
    """Return the checks, each decided at the level that Holm's procedure gives it, separately for passing and failing.

    A trial without a test takes part with a p-value of 1: what is missing makes the rest no easier.
    """
    below = holm([_p(each, each.margin, above=False) for each in trials], alpha=alpha)
    above = holm([_p(each, max(each.margin, each.noise), above=True) for each in trials], alpha=alpha)
    return tuple(
        each.check if each.test is None else _decided(each, each.test, good, bad, alpha=alpha)
        for each, good, bad in zip(trials, below, above, strict=True)
    )


def _p(trial: Trial, margin: float, *, above: bool) -> float:
    if trial.test is None:
        return 1.0
    return trial.test.p_above(margin) if above else trial.test.p_below(margin)


def _decided(trial: Trial, test: MarginTest, below: Adjusted, above: Adjusted, *, alpha: float) -> GateCheck:
    upper, lower = test.upper(below.level), test.lower(above.level)
    interval = None
    if upper is not None and lower is not None:
        lo, hi = min(lower, test.value), max(upper, test.value)
        interval = Interval(lo=lo, hi=hi, confidence=max(0.01, 1 - below.level - above.level))
    state, reason, more = _verdict(trial, test, _Levels(below, above, upper, lower, alpha))
    effect = test.detectable(trial.margin, max(below.level, 1e-9))
    return msgspec.structs.replace(
        trial.check,
        state=state,
        reason=reason,
        figure=Figure(
            value=test.value,
            unit=trial.unit,
            basis=trial.basis,
            interval=interval,
            evidence=trial.check.evidence,
        ),
        limit=trial.margin,
        p_below=below.p_value,
        p_above=above.p_value,
        size=test.size,
        minimum_detectable=None
        if effect is None
        else Figure(value=effect, unit=trial.unit, basis=trial.basis),
        more=more,
        noise_floor=trial.noise or None,
        method=test.method,
    )


@dataclass(frozen=True)
class _Levels:
    """What the procedure says of a test on either side, and the bounds at its levels."""

    below: Adjusted
    above: Adjusted
    upper: float | None
    lower: float | None
    alpha: float


def _verdict(trial: Trial, test: MarginTest, at: _Levels) -> tuple[CheckState, str, int | None]:
    """Return state, reason, and how many more would decide."""

    def shown(value: float | None) -> str:
        return "unknown" if value is None else format_value(value, trial.unit)

    limit = shown(trial.margin)
    if test.size < trial.fewest:
        reason = f"{test.size} {trial.counted}: fewer than {trial.fewest} decide nothing"
        return CheckState.INCONCLUSIVE, reason, max(trial.fewest, trial.least) - test.size
    if at.above.p_value <= at.alpha:
        over = shown(max(trial.margin, trial.noise))
        return CheckState.FAIL, f"at least {shown(at.lower)}, above {over}", None
    if trial.margin < trial.noise:
        reason = (
            f"not decidable: the margin {limit} is under the noise floor {shown(trial.noise)}, what the base loses "
            "against itself"
        )
        return CheckState.INCONCLUSIVE, reason, None
    if test.size < trial.least:
        reason = f"{test.size} {trial.counted}, at least {trial.least} are asked for"
        return CheckState.INCONCLUSIVE, reason, trial.least - test.size
    if at.below.p_value <= at.alpha:
        return CheckState.PASS, f"at most {shown(at.upper)}, within {limit}", None
    more = test.more(trial.margin, at.below.level if test.value <= trial.margin else at.above.level)
    if more is None:
        ask = f"no number of {trial.counted} up to ten million would decide: it lies at the limit"
    else:
        ask = f"about {more:,} more {trial.counted} would decide"
    return CheckState.INCONCLUSIVE, f"{shown(at.lower)} to {shown(at.upper)} against {limit}: {ask}", more
