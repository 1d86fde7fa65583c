"""Which matrix kernel really ran: of those in a decode step, the one that took most time, as the profiler saw it.

The same "INT4" runs an order of magnitude apart depending on the kernel, so a profile names it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from planner.domain.workload import Workload
from worker.engines import Engine
from worker.measure.latency import prompts_for

if TYPE_CHECKING:
    import torch

_STEPS: Final = 4
_PROMPT: Final = 8
KERNEL_ROWS: Final = (1, _PROMPT)
"""Numbers of tokens that are computed at once while the kernel is looked for."""
_MAX_NAME: Final = 160
_MATRIX: Final = re.compile(
    r"gemm|gemv|matmul|(?:\b|_)(?:add)?b?mm(?:\b|_)|linear|nvjet|humming|cutlass|xmma|splitk", re.IGNORECASE
)


@dataclass(frozen=True)
class DecodeKernels:
    """The kernel that a profile names, and the share of all kernels' time that matrix products take."""

    name: str
    matrix_share: float


def decode_kernels(engine: Engine, device: torch.device) -> DecodeKernels | None:
    """Return what runs while a few tokens are decoded: kernels on CUDA, operators on a CPU, by time of their own.

    The name is that of the matrix product with most time; where none has a matrix product's name, the longest of all. None when
    the profiler does not work here: the profile then says that the kernel is unknown.
    """
    from torch.profiler import ProfilerActivity, profile

    prompts = prompts_for(Workload(input_tokens=_PROMPT, output_tokens=_STEPS), engine.vocabulary)
    on_cuda = device.type == "cuda"
    try:
        with profile(activities=[ProfilerActivity.CUDA if on_cuda else ProfilerActivity.CPU]) as recorded:
            engine.generate(prompts, _STEPS)
        rows = recorded.key_averages()
    except RuntimeError:
        return None
    times = [
        (float(row.self_device_time_total if on_cuda else row.self_cpu_time_total), str(row.key))
        for row in rows
        if on_cuda == (row.device_type.name == "CUDA")
    ]
    times = [(spent, name) for spent, name in times if spent > 0]
    matrix = [(spent, name) for spent, name in times if _MATRIX.search(name)]
    if not times:
        return None
    share = sum(spent for spent, _ in matrix) / sum(spent for spent, _ in times)
    return DecodeKernels(max(matrix or times)[1][:_MAX_NAME], share)
