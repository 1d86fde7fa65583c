"""Grids: the round numbers that relaxed bounds are offered on. A relaxation is the least change on its grid."""

from __future__ import annotations

import math
from typing import Final

from planner.domain.loss import LossKind
from planner.domain.units import GIB, MIB

SHRINK_PARTS: Final = 16
"""A workload is reduced in sixteenths of what was asked, or one by one below that."""


def round_up(value: float, step: float) -> float:
    """Return the smallest multiple of `step` that is at least `value`."""
    count = math.ceil(value / step)
    return _multiple(count if _multiple(count, step) >= value else count + 1, step)


def round_down(value: float, step: float) -> float:
    """Return the largest multiple of `step` that is at most `value`."""
    count = math.floor(value / step)
    return _multiple(count if _multiple(count, step) <= value else count - 1, step)


def _multiple(count: int, step: float) -> float:
    """Return count x step, free of the noise of binary fractions for steps such as 0.001."""
    if step >= 1:
        return count * step
    return count / round(1 / step)


def loss_grid(kind: LossKind) -> tuple[float, float]:
    """Return step and top of a loss limit: 0.1 % up to 100 %, or 0.1 points up to 100."""
    return (0.001, 1.0) if kind is LossKind.RELATIVE else (0.1, 100.0)


def latency_grid(limit: float) -> float:
    """Return the step of a latency limit in seconds: 1 ms from 10 ms on, 0.1 ms below."""
    return 1e-3 if limit >= 0.01 else 1e-4


def capacity_grid(memory_bytes: int) -> int:
    """Return the step of nominal memory in bytes: 1 GiB from 4 GiB on, 64 MiB below."""
    return GIB if memory_bytes >= 4 * GIB else 64 * MIB


def size_grid(size_bytes: float) -> float:
    """Return the step of a file size in bytes: 100 MB from 1 GB on, 1 MB below."""
    return 1e8 if size_bytes >= 1e9 else 1e6


def shrink_steps(asked: int) -> tuple[int, ...]:
    """Return the smaller values of a workload dimension that are tried, largest first."""
    parts = min(asked, SHRINK_PARTS)
    return tuple(sorted({max(1, asked * part // parts) for part in range(1, parts)}, reverse=True))
