"""Samples to a Distribution: percentiles only where enough samples support them, and a distribution-free median interval.

The interval of the median is between order statistics: the chance that the true median lies between the r-th smallest and
the r-th largest of n samples is 1 - 2 P(Binomial(n, 1/2) < r). It assumes independent samples; samples of one process on
one machine do not show how machines differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from planner.domain.figure import Interval
from planner.domain.profile import MIN_SAMPLES_FOR_P99, Distribution

CONFIDENCE: Final = 0.9
"""Two-sided, so that each end is a one-sided 95 % bound, as the intervals of loss are."""
MIN_SAMPLES_FOR_P90: Final = 10
MIN_SAMPLES_FOR_P95: Final = 20


def distribution(samples: Sequence[float]) -> Distribution:
    """Return the summary of at least one sample."""
    values = np.sort(np.asarray(samples, dtype=np.float64))
    n = values.size

    def percentile(q: float, least: int) -> float | None:
        return float(np.percentile(values, q)) if n >= least else None

    return Distribution(
        samples=n,
        mean=float(values.mean()),
        p50=float(np.median(values)),
        p50_interval=median_interval(values.tolist()),
        p90=percentile(90, MIN_SAMPLES_FOR_P90),
        p95=percentile(95, MIN_SAMPLES_FOR_P95),
        p99=percentile(99, MIN_SAMPLES_FOR_P99),
        stddev=float(values.std(ddof=1)) if n > 1 else None,
    )


def maybe_distribution(samples: Sequence[float]) -> Distribution | None:
    """Return the summary, None without samples."""
    return distribution(samples) if len(samples) else None


def median_interval(samples: Sequence[float], *, confidence: float = CONFIDENCE) -> Interval | None:
    """Return the narrowest order-statistic interval with at least `confidence`; None when n is too small for one.

    The interval carries the coverage it really has, which is at least what was asked.
    """
    n = len(samples)
    rank, coverage = 0, 0.0
    below = 0.0
    for r in range(1, n // 2 + 1):
        below += math.exp(_log_binomial_half(n, r - 1))
        if 1 - 2 * below < confidence:
            break
        rank, coverage = r, 1 - 2 * below
    if rank == 0:
        return None
    ordered = sorted(samples)
    return Interval(lo=ordered[rank - 1], hi=ordered[n - rank], confidence=min(coverage, 0.999999))


def relative_half_width(samples: Sequence[float]) -> float | None:
    """Return half the median's interval as a share of the median; None when it is unknown."""
    interval = median_interval(samples)
    middle = float(np.median(np.asarray(samples))) if samples else 0.0
    return None if interval is None or middle <= 0 else (interval.hi - interval.lo) / 2 / middle


def _log_binomial_half(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2)
