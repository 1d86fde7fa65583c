"""Distributions from what tools write: summaries they computed, or the samples themselves.

A p99 of fewer than 100 samples is no p99 (lint L13); what a tool summarised has no interval here, which means unknown.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from planner.domain.profile import Distribution
from planner.ingest.imported import Finding
from planner.ingest.lints.speed import supported_p99


def summary(
    findings: list[Finding],
    what: str,
    *,
    samples: int | None,
    mean: float | None,
    p50: float | None = None,
    p90: float | None = None,
    p95: float | None = None,
    p99: float | None = None,
    stddev: float | None = None,
    scale: float = 1.0,
) -> Distribution | None:
    """Return a tool's summary in units of 1/`scale`; None without a mean or median, or when everything is zero.

    Without a mean the median stands in for it only where a tool gives nothing else; then there is no p50 beside it.
    """
    if mean is None and p50 is None:
        return None
    n = max(samples or 1, 1)
    p99 = supported_p99(findings, what, samples=n, p99=p99)

    def scaled(value: float | None) -> float | None:
        return None if value is None else value * scale

    return Distribution(
        samples=n,
        mean=(mean if mean is not None else p50 or 0.0) * scale,
        p50=scaled(p50),
        p90=scaled(p90),
        p95=scaled(p95),
        p99=scaled(p99),
        stddev=scaled(stddev),
    )


def distribution(samples: Sequence[float], *, scale: float = 1.0) -> Distribution | None:
    """Return the summary of samples in units of 1/`scale`; None without any."""
    if not samples:
        return None
    values = np.asarray(samples, dtype=np.float64) * scale
    n = int(values.size)

    def percentile(q: float, least: int) -> float | None:
        return float(np.percentile(values, q)) if n >= least else None

    return Distribution(
        samples=n,
        mean=float(values.mean()),
        p50=float(np.median(values)),
        p90=percentile(90, 10),
        p95=percentile(95, 20),
        p99=percentile(99, 100),
        stddev=float(values.std(ddof=1)) if n > 1 else None,
    )


def single(value: float | None) -> Distribution | None:
    """Return a figure taken once, such as a rate over a whole run; None for an absent or zero one."""
    return Distribution(samples=1, mean=value) if value else None
