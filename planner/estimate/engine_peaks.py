"""Engine peaks: what a server that fills the device needed, put together from the terms its own log prints.

vLLM and its like reserve a share of the device whatever the workload, so their peak says nothing. But they print what
weights, activations, graphs and the context took, and only the KV cache among them depends on the workload: with the cache
that the point's own workload needs, the terms are the peak of just that workload. llama.cpp prints its buffers, not the context.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from planner.domain.device import Device, DeviceKind
from planner.domain.profile import MemoryUse, Profile
from planner.estimate.memory import kv_bytes
from planner.estimate.priors import RUNTIMES

if TYPE_CHECKING:
    from planner.estimate.columns import Columns
    from planner.estimate.evidence import Points


SUMMED: Final = (
    "sum of the terms that the engine prints of itself and of the KV cache the workload needs; context and graphs at the "
    "upper end of the prior where it prints only some"
)


def _has_terms(memory: MemoryUse) -> bool:
    """Return whether a peak can be put together from the terms: weights and activations are known, no peak is."""
    peaks = (memory.peak_device_bytes, memory.peak_process_bytes, memory.peak_reserved_bytes)
    return (
        memory.weights_bytes is not None
        and memory.activation_bytes is not None
        and all(peak is None for peak in peaks)
    )


def overhead_bytes(memory: MemoryUse, family: int) -> float:
    """Return context and graphs; where the log leaves one out, no less than the upper end of the runtime's prior for both.

    `family` is an index in priors.RUNTIMES. A log without graphs is no sign that there are none.
    """
    said = float((memory.context_bytes or 0) + (memory.graph_bytes or 0))
    if memory.context_bytes is not None and memory.graph_bytes is not None:
        return said
    return max(said, RUNTIMES[family].overhead_gpu.hi)


def with_engine_peaks(
    points: Points, profiles: tuple[Profile, ...], columns: Columns, device: Device
) -> Points:
    """Return the points, those of a GPU that have no peak but the terms of one with the peak of their workload."""
    if device.kind is not DeviceKind.GPU:
        return points
    memory: list[MemoryUse] = [
        profiles[int(index)].points[int(position)].memory
        for index, position in zip(points.profile.tolist(), points.position.tolist(), strict=True)
    ]
    has = np.array([_has_terms(use) for use in memory], dtype=np.bool_)
    at = np.flatnonzero(np.isnan(points.peak_bytes) & has)
    if not len(at):
        return points
    own = points.take(at)
    cache = kv_bytes(
        replace(columns.take(own.row), runtime=own.family),
        own.devices,
        tokens=own.input_tokens + own.output_tokens,
        concurrency=own.concurrency,
    )
    rest: list[float] = []
    for index, family in zip(at.tolist(), own.family.tolist(), strict=True):
        use = memory[index]
        rest.append((use.weights_bytes or 0) + (use.activation_bytes or 0) + overhead_bytes(use, family))
    peak, summed = points.peak_bytes.copy(), points.summed.copy()
    peak[at], summed[at] = cache + np.asarray(rest), True
    return replace(points, peak_bytes=peak, summed=summed)
