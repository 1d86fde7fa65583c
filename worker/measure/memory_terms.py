"""Memory term by term: what of a peak is weights, KV cache, activations, graphs, context and fragmentation.

The terms are sums and differences of counts, each taken by whoever knows it: tensors by their bytes, the allocator by its
own statistics, the process and the device by the driver. A term whose count is missing is unknown, never 0.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from planner.domain.profile import MemoryUse
from worker.engines import ModelEngine
from worker.measure import nvml
from worker.measure.weights import inner_tensors

if TYPE_CHECKING:
    import torch

_MAX_DEPTH: Final = 4


@dataclass(frozen=True)
class Baseline:
    """What was in use before anything was loaded, bytes; `idle` None where the device's memory was not ours to tell."""

    resident: int
    idle: int | None


class DeviceCount(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted on a GPU around one run, bytes; None where nobody could count it."""

    allocated_peak: int
    reserved_peak: int
    reserved_after: int
    graph_pools: int
    """Segments of private pools after the run."""
    graph_allocated: int
    """Of these, what is handed out."""
    used_after: int | None
    """By everybody, as the driver says."""
    idle: int | None
    """The same before this process first used the device."""
    process_after: int | None
    """By this process alone, as the driver says."""


def device_terms(count: DeviceCount, *, weights: int, kv_cache: int | None) -> MemoryUse:
    """Return the terms of a run on a GPU; host memory is left unknown.

    The allocator keeps what it once reserved, so the driver's figure after the run is that of its peak.
    """
    held = count.process_after
    above_idle: int | None = None
    if count.used_after is not None and count.idle is not None:
        above_idle = max(0, count.used_after - count.idle)
    mine = held if held is not None else above_idle
    activations = (
        None if kv_cache is None else count.allocated_peak - weights - kv_cache - count.graph_allocated
    )
    return MemoryUse(
        weights_bytes=weights,
        peak_allocated_bytes=count.allocated_peak,
        peak_reserved_bytes=count.reserved_peak,
        peak_device_bytes=above_idle if above_idle is not None else held,
        peak_process_bytes=held,
        kv_cache_bytes=kv_cache,
        activation_bytes=_term(activations),
        graph_bytes=count.graph_pools,
        context_bytes=None if mine is None else _term(mine - count.reserved_after),
        fragmentation_bytes=_term(
            count.reserved_peak - count.allocated_peak - (count.graph_pools - count.graph_allocated)
        ),
    )


def processor_terms(
    *, peak_rss: int, peak_of_run: int, weights: int, kv_cache: int | None, kv_cache_held_before: bool
) -> MemoryUse:
    """Return the terms of a run on the CPU. `peak_of_run` is resident memory above what was held just before it.

    A KV cache that the engine keeps between runs is not in it.
    """
    new_cache = 0 if kv_cache_held_before else kv_cache
    activations = None if new_cache is None else peak_of_run - new_cache
    return MemoryUse(
        weights_bytes=weights,
        peak_rss_bytes=peak_rss,
        kv_cache_bytes=kv_cache,
        # Pages that were free but not given back hide small activations; a difference that is not positive says nothing.
        activation_bytes=activations if activations is not None and activations > 0 else None,
    )


def _term(value: int | None) -> int | None:
    return None if value is None or value < 0 else value


def count_device(device: torch.device, *, idle: int | None) -> DeviceCount:
    """Return the counts now, of a device with its number; the peaks are since the allocator's statistics were last reset."""
    import torch

    torch.cuda.synchronize(device)
    segments = torch.cuda.memory_snapshot()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    pools, allocated = graph_pools(segments, device.index)
    return DeviceCount(
        allocated_peak=torch.cuda.max_memory_allocated(device),
        reserved_peak=torch.cuda.max_memory_reserved(device),
        reserved_after=torch.cuda.memory_reserved(device),
        graph_pools=pools,
        graph_allocated=allocated,
        used_after=nvml.used_bytes(device),
        idle=idle,
        process_after=nvml.process_bytes(device),
    )


def graph_pools(segments: Iterable[Mapping[str, Any]], index: int) -> tuple[int, int]:
    """Return bytes of the segments in private pools of device `index`, and what of them is handed out.

    `segments` are those of `torch.cuda.memory_snapshot`; the common pool's id is (0, 0).
    """
    private = [
        segment
        for segment in segments
        if segment.get("device") == index and any(segment.get("segment_pool_id") or ())
    ]
    return (
        sum(int(segment["total_size"]) for segment in private),
        sum(int(segment["allocated_size"]) for segment in private),
    )


def cache_bytes(cache: Any) -> int | None:
    """Return the exact bytes of the tensors in a KV cache object, None when it holds none."""
    return storage_bytes(_tensors(cache, _MAX_DEPTH)) or None


def storage_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Return the bytes of the storage behind the tensors, which may be wrappers; what is shared counts once."""
    seen: dict[tuple[str, int], int] = {}
    for tensor in tensors:
        for inner in inner_tensors(tensor):
            storage = inner.untyped_storage()
            if storage.nbytes():
                seen[str(inner.device), storage.data_ptr()] = storage.nbytes()
    return sum(seen.values())


def _tensors(item: Any, depth: int) -> Generator[torch.Tensor]:
    import torch

    if isinstance(item, torch.Tensor):
        yield item
    elif depth and isinstance(item, list | tuple):
        for part in item:
            yield from _tensors(part, depth - 1)
    elif depth and isinstance(item, dict):
        for part in item.values():
            yield from _tensors(part, depth - 1)
    elif depth and type(item).__module__.startswith(("transformers.", "worker.")):
        for part in vars(item).values():
            yield from _tensors(part, depth - 1)


class CacheSeen:
    """The latest KV cache of an engine, and whether it was there before the run."""

    def __init__(self) -> None:
        self.cache: Any = None
        self.held_before = False


@contextmanager
def watch_cache(engine: ModelEngine) -> Generator[CacheSeen]:
    """Learn which KV cache the engine uses: its own word (`cache`), else what it hands to the model's forward pass."""
    seen = CacheSeen()
    if hasattr(engine, "cache"):
        before = getattr(engine, "cache", None)
        yield seen
        seen.cache = getattr(engine, "cache", None)
        seen.held_before = before is not None and before is seen.cache
        return

    def note(module: Any, arguments: Any, named: dict[str, Any]) -> None:
        del module, arguments
        seen.cache = named.get("past_key_values", seen.cache)

    hook = engine.model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield seen
    finally:
        hook.remove()
