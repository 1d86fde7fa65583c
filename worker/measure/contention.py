"""What else happened on the machine while a measurement ran, and whether it spoils the figures.

A spoilt measurement is tainted: it is kept with its doubt, or refused, as the job says; it never passes for a clean one.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, Self

from worker.measure import nvml

if TYPE_CHECKING:
    import torch

SPARE_SHARE: Final = 0.2
"""Share of the threads' own processors that others may use before a CPU measurement counts as tainted."""
_SAMPLE_SECONDS: Final = 0.25


class Watch:
    """Context that watches the machine. Afterwards `doubts` says what spoilt the work; empty means nothing did."""

    def __init__(self, device: torch.device, *, threads: int) -> None:
        self._device = device
        self._threads = threads
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="contention", daemon=True)
        self._reasons = 0
        self._others = 0
        self._clocks: list[float] = []
        self._start = (0.0, 0.0, 0.0)
        self.foreign_processors = 0.0
        """Processors that others kept busy, on average."""

    def __enter__(self) -> Self:
        self._start = _processor_seconds()
        if self._device.type == "cuda":
            self._look()
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._device.type == "cuda":
            self._done.set()
            self._thread.join()
            self._look()
        wall, busy, own = (now - then for now, then in zip(_processor_seconds(), self._start, strict=True))
        self.foreign_processors = max(0.0, busy - own) / wall if wall > 0 else 0.0

    @property
    def doubts(self) -> tuple[str, ...]:
        """Sentences, each naming one thing that spoilt the measurement."""
        found: list[str] = []
        if self._device.type == "cuda":
            if self._others:
                found.append(f"{self._others} other process(es) used the GPU")
            found += [name for bit, name in nvml.THERMAL_REASONS.items() if self._reasons & bit]
        else:
            import psutil

            free = (psutil.cpu_count() or 1) - self._threads
            if self.foreign_processors > free + SPARE_SHARE * self._threads:
                found.append(f"other processes kept {self.foreign_processors:.1f} processors busy")
        return tuple(found)

    @property
    def facts(self) -> dict[str, str | int | float | bool | None]:
        """What was seen, for the environment."""
        facts: dict[str, str | int | float | bool | None] = {
            "foreign_processors": round(self.foreign_processors, 3)
        }
        if self._device.type == "cuda":
            facts["gpu_power_capped"] = bool(self._reasons & nvml.POWER_CAP)
            if self._clocks:
                facts["gpu_sm_clock_median_hertz"] = sorted(self._clocks)[len(self._clocks) // 2]
        return facts

    def _sample(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            self._look()

    def _look(self) -> None:
        self._reasons |= nvml.throttle_reasons(self._device) or 0
        self._others = max(self._others, nvml.other_processes(self._device) or 0)
        clock = nvml.clock_hertz(self._device, "sm")
        if clock:
            self._clocks.append(clock)


def _processor_seconds() -> tuple[float, float, float]:
    """Return wall time, processor seconds everybody used, and those this process used."""
    import psutil

    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # On Linux user and nice already contain the guests' share.
    busy = sum(times) - idle - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    own = psutil.Process().cpu_times()
    return time.perf_counter(), busy, own.user + own.system
