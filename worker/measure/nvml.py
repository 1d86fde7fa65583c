"""What the NVIDIA driver says about a GPU. Every reading is None where there is no driver or it does not answer.

A reading that fails is no error: figures are measured all the same, and the fact is left out of the environment.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from worker.measure.readings import Reading

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


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


class Gauge:
    """Reads one GPU again and again at little cost: the handle is looked up once."""

    def __init__(self, library: Any, handle: Any) -> None:
        self._library, self._handle = library, handle

    def reading(self) -> Reading:
        """Return clock, temperature, power and clock event reasons now."""
        library, handle = self._library, self._handle
        clock = _ask(lambda: library.nvmlDeviceGetClockInfo(handle, library.NVML_CLOCK_SM))
        power = _ask(lambda: library.nvmlDeviceGetPowerUsage(handle))
        reasons = getattr(library, "nvmlDeviceGetCurrentClocksEventReasons", None) or getattr(
            library, "nvmlDeviceGetCurrentClocksThrottleReasons", None
        )
        return Reading(
            at=time.perf_counter(),
            sm_clock_hertz=None if clock is None else clock * 1e6,
            temperature_celsius=_ask(
                lambda: float(library.nvmlDeviceGetTemperature(handle, library.NVML_TEMPERATURE_GPU))
            ),
            power_watts=None if power is None else power / 1000,
            reasons=None if reasons is None else _ask(lambda: int(reasons(handle))),
        )

    def processes(self) -> dict[int, int | None] | None:
        """Return the bytes each compute process holds by pid, None for bytes or all of it where the driver hides them."""
        library, handle = self._library, self._handle
        listed = _ask(lambda: library.nvmlDeviceGetComputeRunningProcesses(handle))
        return (
            None
            if listed is None
            else {int(process.pid): _bytes(process.usedGpuMemory) for process in listed}
        )

    def full_clock_hertz(self) -> float | None:
        """Return the SM clock to expect under load: the application clock where one is set, else the highest."""
        library, handle = self._library, self._handle
        clock = _ask(lambda: library.nvmlDeviceGetApplicationsClock(handle, library.NVML_CLOCK_SM)) or _ask(
            lambda: library.nvmlDeviceGetMaxClockInfo(handle, library.NVML_CLOCK_SM)
        )
        return clock * 1e6 if clock else None


def gauge(device: torch.device) -> Gauge | None:
    """Return what reads the device, None where there is no driver."""
    library, handle = _library(), _handle(device)
    return None if library is None or handle is None else Gauge(library, handle)


def process_bytes(device: torch.device) -> int | None:
    """Return the device memory of this process, None where the driver does not know it by our pid."""
    found = gauge(device)
    processes = found.processes() if found is not None else None
    return None if processes is None else processes.get(os.getpid())


def _bytes(value: Any) -> int | None:
    # The driver's "not available" is the largest number there is.
    return int(value) if isinstance(value, int) and 0 <= value < 2**62 else None


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
