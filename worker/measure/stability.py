"""Stable or unstable: whether a point's times would come out alike if they were taken again at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from planner.domain.profile import Stability
from worker.measure.distribution import relative_half_width

LEAST_SAMPLES: Final = 5
MOST_SPREAD: Final = 0.05
"""Standard deviation over mean above which repeats are called unstable: where llama-bench's figures stopped repeating
(ggml-org/llama.cpp#21282)."""
MOST_DISCARDED: Final = 0.5
"""Share of discarded samples above which those that are left are no fair sample of the device."""


def judge_stability(
    series: Mapping[str, Sequence[float]],
    *,
    half_width: float,
    discarded: int = 0,
    discard_reason: str | None = None,
    same_work: bool = True,
) -> Stability:
    """Return the verdict on samples by name of what they measure, with the first reason that speaks against them.

    `half_width` is the most that half the median's interval may be, as a share. `same_work` says that every sample did
    the same, so that their spread is noise; requests of differing lengths differ by nature.
    """
    kept = min((len(samples) for samples in series.values()), default=0)
    reason: str | None = None
    if kept < LEAST_SAMPLES:
        reason = f"{kept} samples, of which {LEAST_SAMPLES} are needed"
    if reason is None:
        reason = next(
            (problem for name, samples in series.items() if (problem := _unknown(name, samples, half_width))),
            None,
        )
    if reason is None and same_work:
        reason = next(
            (problem for name, samples in series.items() if (problem := _scattered(name, samples))), None
        )
    if discarded > MOST_DISCARDED * (kept + discarded):
        reason = f"{discarded} of {kept + discarded} samples discarded: {discard_reason}"
    return Stability(verdict="unstable" if reason else "stable", reason=reason, discarded=discarded)


def _unknown(name: str, samples: Sequence[float], half_width: float) -> str | None:
    width = relative_half_width(samples)
    if width is None:
        return f"{len(samples)} samples give {name} no interval"
    if width > half_width:
        return f"the median of {name} is known to ±{width:.1%} only, asked for ±{half_width:.1%}"
    return None


def _scattered(name: str, samples: Sequence[float]) -> str | None:
    values = np.asarray(samples, dtype=np.float64)
    spread = float(values.std(ddof=1) / values.mean()) if values.mean() > 0 else 0.0
    return f"{name} scatters by {spread:.1%} of its mean" if spread > MOST_SPREAD else None
