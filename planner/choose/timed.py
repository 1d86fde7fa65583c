"""Timed constraints: those that a time decides, and the seconds each of them allows one variant.

Latency and throughput bound a time themselves. A cost per token and the replicas for a request rate are bounds on one too,
whose seconds depend on the variant: they follow from how far its own figure is from the bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from planner.choose.feasible import METRICS, Assessment, Judgement, throughput_seconds
from planner.domain.constraint import LatencyLimit, ThroughputFloor
from planner.domain.figure import Basis
from planner.estimate.calibration import CENTRAL, EXACT, STALE, Metric

_BY_FIGURE: Final[dict[str, Metric]] = {"cost": "per_token", "rate": "end_to_end"}
"""Constraints that are no plain bound on a time, and the time that decides them."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds of one position with an interval; both ends are the value where the interval is not known."""

    value: float
    lo: float
    hi: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Asked:
    """Which quantile of which time a constraint is held against, and the seconds it allows."""

    metric: Metric
    quantile: str
    seconds: float


def is_timed(judgement: Judgement) -> bool:
    """Return whether a time decides the constraint."""
    return isinstance(judgement.constraint, (LatencyLimit, ThroughputFloor)) or judgement.key in _BY_FIGURE


def asked_of(assessment: Assessment, judgement: Judgement, position: int) -> Asked:
    """Return what a timed constraint allows a position.

    Infinite seconds where its figure is not known: nothing is known of its time either.
    """
    constraint = judgement.constraint
    if isinstance(constraint, LatencyLimit):
        return Asked(METRICS[constraint.metric], constraint.quantile, constraint.limit)
    if isinstance(constraint, ThroughputFloor):
        concurrency = assessment.setting.scenario.workload.concurrency
        return Asked("per_token", CENTRAL, throughput_seconds(constraint, concurrency))
    metric = _BY_FIGURE[judgement.key]
    seconds = float(assessment.speeds.of(metric, CENTRAL).value[position])
    margin = float("nan") if judgement.margin is None else float(judgement.margin[position])
    return Asked(metric, CENTRAL, float("inf") if np.isnan(margin) else seconds / (1 + margin))


def spread_of(assessment: Assessment, metric: Metric, quantile: str, position: int) -> Spread | None:
    """Return a time of a position with its interval, None when it is not known."""
    speed = assessment.speeds.of(metric, quantile)
    figure = assessment.speeds.figure(metric, quantile, position)
    if figure is None:
        return None
    value, lo, hi = (float(end[position]) for end in (speed.value, speed.lo, speed.hi))
    if figure.interval is None or np.isnan(lo) or np.isnan(hi):
        return Spread(value, value, value, 0.9)
    return Spread(value, min(lo, value), max(hi, value), figure.interval.confidence)


def is_firm(assessment: Assessment, metric: Metric, quantile: str, position: int) -> bool:
    """Return whether a time was recorded at this very workload, by us or another tool, and is fresh."""
    speed = assessment.speeds.of(metric, quantile)
    rank, flags = int(speed.rank[position]), int(speed.flags[position])
    return 0 <= rank <= Basis.IMPORTED.rank and bool(flags & EXACT) and not flags & STALE
