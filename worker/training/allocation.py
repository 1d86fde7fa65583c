"""The peak of a training step as torch's own allocator counts it, on CUDA and on the CPU alike.

Resident memory is no measure for a step: the C library keeps what was freed. On CUDA the allocator knows its peak; on the
CPU the profiler is told of every allocation and release, and the peak is that of their running sum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import torch

_MEMORY_EVENT: Final = "[memory]"


def peak_allocated_bytes(run: Callable[[], object], *, held_bytes: int, device: torch.device) -> int:
    """Return the most bytes in tensors at any time while `run` runs.

    `held_bytes` is what is in tensors already when it starts, which the CPU's allocator does not know; it is not used on
    CUDA, where all that is allocated counts. Profiling slows `run` down, so its time means nothing.
    """
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device))
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    return held_bytes + _highest_sum(profiler)


def tensor_bytes(*models: Any) -> int:
    """Return the bytes of all parameters, gradients and buffers of the models; a shared one counts once."""
    tensors = {
        tensor.data_ptr(): tensor.numel() * tensor.element_size()
        for model in models
        for parameter in (*model.parameters(), *model.buffers())
        for tensor in (parameter, parameter.grad)
        if tensor is not None
    }
    return sum(tensors.values())


def _highest_sum(profiler: Any) -> int:
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == _MEMORY_EVENT]
    live = most = 0
    for event in sorted(events, key=lambda event: int(event.start_ns())):
        live += int(event.nbytes())
        most = max(most, live)
    return most
