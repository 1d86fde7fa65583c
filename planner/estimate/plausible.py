"""Plausible: whether a recorded peak of a GPU can be one, held against the least that must have been there.

Weights, KV cache and a context are in device memory together, so a smaller figure was counted another way (an
allocator's, or after the run). What our own workers measured is not questioned. Where most of what others published
under one runtime on one device cannot be a peak, none of it is taken for one: it was counted the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from planner.domain.figure import Basis
from planner.estimate.columns import Booleans, Columns
from planner.estimate.memory import kv_bytes
from planner.estimate.priors import RUNTIMES

if TYPE_CHECKING:
    from planner.estimate.evidence import Points

_CONTEXT: Final = np.array([prior.overhead_gpu.lo for prior in RUNTIMES])


def plausible_peaks(columns: Columns, points: Points) -> Booleans:
    """Return which points have a peak that can be one; `columns` has the rows they belong to."""
    own = columns.take(points.row)
    cache = kv_bytes(
        own,
        points.devices,
        tokens=points.input_tokens + points.output_tokens,
        concurrency=points.concurrency,
    )
    least = own.weight_lo / points.devices + cache + _CONTEXT[own.runtime]
    known = ~np.isnan(points.peak_bytes)
    ours = points.rank == Basis.MEASURED.rank
    possible: Booleans = known & (points.peak_bytes >= least)
    judged = known & ~ours
    groups = int(points.runtime.max(initial=-1)) + 1
    total = np.bincount(points.runtime[judged], minlength=groups)
    right = np.bincount(points.runtime[judged & possible], minlength=groups)
    trusted = (2 * right >= total)[points.runtime]
    found: Booleans = known & (ours | (possible & trusted))
    return found
