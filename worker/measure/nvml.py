"""What the NVIDIA driver says about a GPU. Every reading is None where there is no driver or it does not answer.

A reading that fails is no error: figures are measured all the same, and the fact is left out of the environment.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

THERMAL_REASONS: Final = {
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
}
"""Clock event reasons that spoil a measurement. Bits from NVIDIA's nvml.h, nvmlClocksEventReasons."""
POWER_CAP: Final = 0x04
"""Running at the power limit: normal on large GPUs, so it is recorded and spoils nothing."""


@cache
def _library() -> Any | None:
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # noqa: BLE001  NVML raises its own classes for every way of not being there
        return None
    return pynvml


def _handle(device: torch.device) -> Any | None:
    library = _library()
    if library is None or device.type != "cuda":
        return None
    import torch

    uuid = str(torch.cuda.get_device_properties(device).uuid)
    return _ask(lambda: library.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}".encode())) or _ask(
        lambda: library.nvmlDeviceGetHandleByIndex(device.index or 0)
    )


def _ask(question: Callable[[], T]) -> T | None:
    try:
        return question()
    except Exception:  # noqa: BLE001  same: an unsupported reading is an absent fact
        return None


def used_bytes(device: torch.device) -> int | None:
    """Return the device memory in use by everybody, bytes."""
    library, handle = _library(), _handle(device)
    if library is None or handle is None:
        return None
    info = _ask(lambda: library.nvmlDeviceGetMemoryInfo(handle))
    return None if info is None else int(info.used)


def driver_version() -> str | None:
    """Return the driver's version."""
    library = _library()
    if library is None:
        return None
    version = _ask(library.nvmlSystemGetDriverVersion)
    return version.decode() if isinstance(version, bytes) else version


def other_processes(device: torch.device) -> int | None:
    """Return how many compute processes run on the device besides this one.

    Inside a container the driver lists foreign pids it cannot translate, so this process is one of the list even when
    its own pid is not among them.
    """
    library, handle = _library(), _handle(device)
    if library is None or handle is None:
        return None
    processes = _ask(lambda: library.nvmlDeviceGetComputeRunningProcesses(handle))
    return None if processes is None else max(0, len(processes) - 1)


def throttle_reasons(device: torch.device) -> int | None:
    """Return the bit set of reasons why the clocks are where they are."""
    library, handle = _library(), _handle(device)
    if library is None or handle is None:
        return None
    reading = getattr(library, "nvmlDeviceGetCurrentClocksEventReasons", None) or getattr(
        library, "nvmlDeviceGetCurrentClocksThrottleReasons", None
    )
    return None if reading is None else _ask(lambda: int(reading(handle)))


def clock_hertz(device: torch.device, domain: str) -> float | None:
    """Return the "sm" or "memory" clock now, in hertz."""
    library, handle = _library(), _handle(device)
    if library is None or handle is None:
        return None
    kind = library.NVML_CLOCK_SM if domain == "sm" else library.NVML_CLOCK_MEM
    clock = _ask(lambda: library.nvmlDeviceGetClockInfo(handle, kind))
    return None if clock is None else clock * 1e6


def facts(device: torch.device) -> dict[str, str | int | float | bool | None]:
    """Return what identifies the board and bounds its speed; only what the driver answered."""
    library, handle = _library(), _handle(device)
    if library is None or handle is None:
        return {}
    readings: dict[str, Callable[[], Any]] = {
        "gpu_uuid": lambda: library.nvmlDeviceGetUUID(handle),
        "gpu_vbios": lambda: library.nvmlDeviceGetVbiosVersion(handle),
        "gpu_memory_total_bytes": lambda: int(library.nvmlDeviceGetMemoryInfo(handle).total),
        "gpu_temperature_celsius": lambda: library.nvmlDeviceGetTemperature(
            handle, library.NVML_TEMPERATURE_GPU
        ),
        "gpu_power_watts": lambda: library.nvmlDeviceGetPowerUsage(handle) / 1000,
        "gpu_power_limit_watts": lambda: library.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,
        "gpu_power_limit_default_watts": lambda: (
            library.nvmlDeviceGetPowerManagementDefaultLimit(handle) / 1000
        ),
        "gpu_sm_clock_max_hertz": lambda: (
            library.nvmlDeviceGetMaxClockInfo(handle, library.NVML_CLOCK_SM) * 1e6
        ),
        "gpu_memory_clock_hertz": lambda: (
            library.nvmlDeviceGetClockInfo(handle, library.NVML_CLOCK_MEM) * 1e6
        ),
        "gpu_ecc": lambda: bool(library.nvmlDeviceGetEccMode(handle)[0]),
        "gpu_mig": lambda: bool(library.nvmlDeviceGetMigMode(handle)[0]),
        "gpu_pcie_generation": lambda: library.nvmlDeviceGetCurrPcieLinkGeneration(handle),
        "gpu_pcie_width": lambda: library.nvmlDeviceGetCurrPcieLinkWidth(handle),
    }
    answers = {name: _ask(reading) for name, reading in readings.items()}
    return {
        name: answer.decode() if isinstance(answer, bytes) else answer
        for name, answer in answers.items()
        if answer is not None
    }
