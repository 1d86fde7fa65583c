"""What else happened on the machine while a measurement ran, and whether it spoils the figures.

Other work taints the whole measurement: it is kept with its doubt, or refused, as the job says. A GPU that was hot or
slowed down spoils single samples, which are discarded. Neither ever passes for clean.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol, Self

from planner.domain.profile import Fact
from planner.domain.units import format_bytes
from worker.measure import nvml
from worker.measure.readings import Others, Reading, other_processes, spoilt, summary

if TYPE_CHECKING:
    import torch

SPARE_SHARE: Final = 0.2
"""Share of the threads' own processors that others may use before a CPU measurement counts as tainted."""
FOREIGN_BYTES: Final = 1_000_000_000
"""Device memory in use before our work from which another process must be there, listed or not. A driver's own share of
a large GPU is about half of it."""
_SAMPLE_SECONDS: Final = 0.1
_PROCESSES_EVERY: Final = 50
"""Listing processes costs the driver more than a reading, so it is done every so many of them."""


class Gauge(Protocol):
    """What reads a GPU: the driver, or a recording."""

    def reading(self) -> Reading:
        """Return the state now, on the clock of `time.perf_counter`."""
        ...

    def processes(self) -> dict[int, int | None] | None:
        """Return the processes on the device by pid, None when the driver does not say."""
        ...

    def full_clock_hertz(self) -> float | None:
        """Return the SM clock to expect under load."""
        ...


class Watch:
    """Context that watches the machine. Afterwards `doubts` says what taints the work; empty means nothing does.

    Made before the work touches the device, so that whoever is there by then is known; `idle_bytes` is the device memory
    in use at that time, and `began_before` that this process had already used the device.
    """

    def __init__(
        self,
        device: torch.device,
        *,
        threads: int,
        gauge: Gauge | None = None,
        idle_bytes: int | None = None,
        began_before: bool = False,
    ) -> None:
        self._threads = threads
        self._gauge = gauge if gauge is not None else nvml.gauge(device)
        self._on_processor = device.type == "cpu"
        self._full_clock = self._gauge.full_clock_hertz() if self._gauge is not None else None
        self._began_before = began_before
        self._idle_bytes = idle_bytes
        self._before = self._listed()
        self._now: set[int] = set(self._before or ())
        self._readings: list[Reading] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="contention", daemon=True)
        self._start = (0.0, 0.0, 0.0)
        self.foreign_processors = 0.0
        """Processors that others kept busy, on average."""

    def __enter__(self) -> Self:
        self._start = _processor_seconds()
        if self._gauge is not None:
            self._look(processes=True)
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._gauge is not None:
            self._done.set()
            self._thread.join()
            self._look(processes=True)
        wall, busy, own = (now - then for now, then in zip(_processor_seconds(), self._start, strict=True))
        self.foreign_processors = max(0.0, busy - own) / wall if wall > 0 else 0.0

    @property
    def others(self) -> Others | None:
        """Other processes on the device before, during or after the work; None when nobody can tell."""
        if self._before is None:
            return None
        return other_processes(self._before, self._now, own=os.getpid(), began_before=self._began_before)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Sentences, each naming one thing that taints the measurement."""
        found: list[str] = []
        others = self.others
        if others is not None and others.count:
            pids = ", ".join(str(pid) for pid in others.pids)
            found.append(f"{others.count} other process(es) used the GPU, of pid {pids}")
        elif self._idle_bytes is not None and not self._began_before and self._idle_bytes > FOREIGN_BYTES:
            found.append(
                f"{format_bytes(self._idle_bytes)} of the GPU were in use before, by a process that is not listed"
            )
        if self._on_processor:
            import psutil

            free = (psutil.cpu_count() or 1) - self._threads
            if self.foreign_processors > free + SPARE_SHARE * self._threads:
                found.append(f"other processes kept {self.foreign_processors:.1f} processors busy")
        return tuple(found)

    @property
    def facts(self) -> dict[str, Fact]:
        """What was seen, for the environment."""
        facts: dict[str, Fact] = {"foreign_processors": round(self.foreign_processors, 3)}
        others = self.others
        if self._gauge is not None:
            facts["gpu_other_processes"] = None if others is None else others.count
            facts["gpu_readings"] = len(self._readings)
        return facts | summary(self._readings)

    def judge(self, start: float, end: float) -> str | None:
        """Return why a sample taken from `start` to `end` (seconds of `time.perf_counter`) must not count; None: it may.

        Takes a reading, so that every sample has one after it; call it between samples, never inside one.
        """
        if self._gauge is None:
            return None
        self._look()
        return spoilt(self._readings, start, end, full_clock_hertz=self._full_clock)

    def between(self, start: float, end: float) -> Sequence[Reading]:
        """Return the readings taken from `start` to `end`, in order."""
        return [reading for reading in self._readings if start <= reading.at <= end]

    def _sample(self) -> None:
        count = 0
        while not self._done.wait(_SAMPLE_SECONDS):
            count += 1
            self._look(processes=count % _PROCESSES_EVERY == 0)

    def _look(self, *, processes: bool = False) -> None:
        assert self._gauge is not None
        self._readings.append(self._gauge.reading())
        if processes:
            self._now |= self._listed() or set()

    def _listed(self) -> set[int] | None:
        listed = self._gauge.processes() if self._gauge is not None else None
        return None if listed is None else set(listed)


def _processor_seconds() -> tuple[float, float, float]:
    """Return wall time, processor seconds everybody used, and those that this process and its children used."""
    import psutil

    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # On Linux user and nice already contain the guests' share.
    busy = sum(times) - idle - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    own = 0.0
    # Ranks and compilers that run for us are children.
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with suppress(psutil.Error):
            spent = process.cpu_times()
            own += spent.user + spent.system
    return time.perf_counter(), busy, own
