"""What this machine can do, as the words and quantities that jobs require (`planner.domain.job_requirement`)."""

from __future__ import annotations

import contextlib
from importlib import metadata
from pathlib import Path
from typing import Final

from planner.domain.device import Device
from planner.domain.units import GIB
from worker.engines.loading import quiet_libraries, resolve_device
from worker.measure.device import identify, slug
from worker.progress import Report, ignore

LIBRARIES: Final = (
    "accelerate",
    "auto-round",
    "autoawq",
    "bitsandbytes",
    "compressed-tensors",
    "fbgemm-gpu",
    "flash-attn",
    "gemlite",
    "gguf",
    "gptqmodel",
    "hqq",
    "kernels",
    "llama-cpp-python",
    "llmcompressor",
    "lm-eval",
    "mslk",
    "nvidia-modelopt",
    "onnxruntime",
    "optimum-quanto",
    "peft",
    "sglang",
    "torchao",
    "triton",
    "vllm",
)
"""Optional libraries that recipes, engines and tasks use, by the names they are installed under."""
_GROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")


def detect_capabilities(*, report: Report = ignore) -> frozenset[str]:
    """Return what jobs can require of this machine.

    "cpu", "ram:62.7GiB", "library:bitsandbytes" for each one installed, and "device:<id>" of the processor; with a GPU
    also "cuda", "gpus:2", and "vram:139.8GiB", "cc:9.0" and "device:<id>" (and its other names) of the first one, on
    which jobs run unless they say otherwise. The agent calls it in a child process: one that only hands out work must
    not hold memory on the GPU.
    """
    report(0.0, "looking for devices")
    quiet_libraries()
    import torch

    found = {"cpu", f"device:{identify(resolve_device('cpu')).id}", f"ram:{_gibibytes(_host_bytes())}"}
    found |= {f"library:{name}" for name in installed_libraries()}
    if not torch.cuda.is_available():
        return frozenset(found)
    first = torch.cuda.get_device_properties(0)
    alike = sum(
        torch.cuda.get_device_properties(index).name == first.name
        for index in range(torch.cuda.device_count())
    )
    found |= {
        "cuda",
        f"gpus:{alike}",
        f"cc:{first.major}.{first.minor}",
        f"vram:{_gibibytes(int(first.total_memory))}",
        *_device_words(identify(resolve_device("cuda:0")).id),
    }
    return frozenset(found)


def installed_libraries() -> tuple[str, ...]:
    """Return which of LIBRARIES are installed, by their metadata: importing them takes seconds and memory."""
    found: list[str] = []
    for name in LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            metadata.version(name)
            found.append(name)
    return tuple(found)


def _device_words(device_id: str) -> set[str]:
    """Return the device type's id and the other names the catalogue has for it."""
    from planner.catalogue import load_catalogue

    known: Device | None = next((each for each in load_catalogue().devices if each.id == device_id), None)
    names = (device_id, *(slug(name) for name in (known.names() if known else ())))
    return {f"device:{name}" for name in names}


def _gibibytes(size: int) -> str:
    """Return the size in GiB with one decimal, rounded down: what is stated is really there."""
    return f"{size * 10 // GIB / 10:.1f}GiB"


def _host_bytes() -> int:
    """Return the memory that processes here may use: the machine's, or this control group's limit if that is less."""
    import psutil

    total = int(psutil.virtual_memory().total)
    with contextlib.suppress(OSError, ValueError):
        return min(total, int(_GROUP_LIMIT.read_text(encoding="ascii")))
    return total
