"""The environment of a measurement: everything known that can change a figure, captured and never typed in."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from planner import __version__
from planner.domain.profile import Environment, Fact
from worker.measure import nvml

if TYPE_CHECKING:
    import torch


_PACKAGES: Final = (
    "torch",
    "transformers",
    "torchao",
    "safetensors",
    "tokenizers",
    "accelerate",
    "bitsandbytes",
    "auto-round",
    "humming-kernels",
    "numpy",
)
_COPY_BLOCK: Final = 2**22
_COPY_BLOCKS: Final = 64


def versions() -> dict[str, str]:
    """Return the versions of Python, this project and every package that can change a figure."""
    found = {"python": platform.python_version(), "variant-planner": __version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def processor_name() -> str:
    """Return the CPU's model name as the kernel gives it, else the machine type."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"model name", "Model"} and value.strip():
            return " ".join(value.split())
    return platform.processor() or platform.machine() or "unknown"


def capture(device: torch.device, **more: Fact) -> Environment:
    """Return the environment of work on `device`; `more` adds facts of the caller, such as the attention used."""
    import psutil
    import torch

    found = versions()
    facts: dict[str, Fact] = {
        "cpu": processor_name(),
        "cpu_logical": psutil.cpu_count(),
        "cpu_physical": psutil.cpu_count(logical=False),
        "cpu_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "ram_bytes": psutil.virtual_memory().total,
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }
    for variable in ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "MALLOC_CONF", "OMP_NUM_THREADS"):
        facts[variable.lower()] = os.environ.get(variable)
    name: str = str(facts["cpu"])
    driver: str | None = None
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        name, driver = properties.name, nvml.driver_version()
        found["cuda"] = str(torch.version.cuda)
        found["cudnn"] = str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]  # torch leaves it untyped
        facts["gpu_compute_capability"] = f"{properties.major}.{properties.minor}"
        facts["gpu_multiprocessors"] = properties.multi_processor_count
        facts.update(nvml.facts(device))
    facts.update(more)
    return Environment(
        device_name=name,
        driver=driver,
        versions=found,
        facts={key: value for key, value in facts.items() if value is not None},
    )


def copy_bandwidth(device: torch.device) -> float:
    """Return the bytes per second of a large copy on the device, bytes read and written both counted.

    The floor of a decode step is its bytes over this figure. Best of several, on random data.
    """
    import torch

    blocks = _COPY_BLOCKS if device.type == "cpu" else 16 * _COPY_BLOCKS
    source = torch.randint(0, 127, (_COPY_BLOCK,), dtype=torch.int8, device=device).repeat(blocks)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(4):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        target.copy_(source)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2 * source.numel() / best
