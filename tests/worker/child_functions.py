"""Functions that tests run in child processes: children can import this module by name."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from planner.domain.job import FailureReason
from worker.failure import JobFailed
from worker.progress import Report


def add(a: int, b: int, *, report: Report) -> int:
    report(0.5, "half way")
    print("output of the job")
    return a + b


def own_pid(*, report: Report) -> tuple[int, int]:
    del report
    return os.getpid(), os.getsid(0)


def fail_typed(*, report: Report) -> None:
    del report
    raise JobFailed(FailureReason.RELOAD_MISMATCH, "not the same")


def run_out_of_host_memory(*, report: Report) -> None:
    del report
    raise MemoryError


def run_out_of_device_memory(*, report: Report) -> None:
    del report
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def allocate_too_much(*, report: Report) -> None:
    """A real refusal: more than any machine has, from torch's own allocator."""
    del report
    import torch

    torch.empty(2**60, dtype=torch.int8)


def use_missing_kernel(*, report: Report) -> None:
    """A real refusal: an operator that the CPU has no kernel for."""
    del report
    import torch

    torch.linalg.cholesky(torch.ones(2, 2, dtype=torch.float16))


def die(number: int, *, report: Report) -> None:
    del report
    sys.stderr.write("last words\n")
    sys.stderr.flush()
    os.kill(os.getpid(), number)


def leave(code: int, *, report: Report) -> None:
    del report
    os._exit(code)


def hang(marker: str, *, report: Report) -> None:
    """Ignores polite requests to end, and has a child of its own that does too."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        time.sleep(600)
    Path(marker).write_text(str(os.getpid()))
    report(0.1, "hanging")
    threading.Event().wait(600)


def draw_bars(*, report: Report) -> bool:
    """Draw as torch's compiler does, and say whether tqdm could share its lock with other processes."""
    from worker.engines.loading import quiet_libraries

    del report
    quiet_libraries()
    from tqdm import tqdm

    for _ in tqdm(range(2)):
        pass
    return type(tqdm.get_lock()).__module__.startswith(("tqdm", "multiprocessing"))
