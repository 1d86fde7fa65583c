"""Peak memory: the most a process held during a stretch of work, as the kernel, the allocator and the driver count it.

Resident memory is taken from the kernel's own high-water mark, which is reset at the start of the stretch; where it
cannot be reset a thread samples instead. Everything is above what was held at the baseline, so interpreter and
libraries do not count.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    import torch

_STATUS: Final = Path("/proc/self/status")
_CLEAR: Final = Path("/proc/self/clear_refs")
_SAMPLE_SECONDS: Final = 0.005


def resident_bytes() -> int:
    """Return the resident memory of this process now, in bytes."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def release_free_memory() -> None:
    """Give freed heap back to the system (glibc only), so that it does not count as in use by what runs next."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _high_water_bytes() -> int | None:
    """Return the kernel's high-water mark of resident memory, None where there is none."""
    try:
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None


def _reset_high_water() -> bool:
    """Reset the high-water mark to what is resident now; False where the kernel does not allow it."""
    try:
        _CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return False
    mark = _high_water_bytes()
    return mark is not None and mark <= resident_bytes() * 1.05 + 2**22


class PeakResident:
    """Context that knows, afterwards, the most resident memory above `baseline` (default: what was held on entry)."""

    def __init__(self, *, baseline: int | None = None) -> None:
        self._baseline = baseline
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._sampled = 0
        self.peak_bytes = 0

    def __enter__(self) -> Self:
        if self._baseline is None:
            self._baseline = resident_bytes()
        if not _reset_high_water():
            self._thread = threading.Thread(target=self._sample, name="resident-memory", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._thread is None:
            most = _high_water_bytes() or resident_bytes()
        else:
            self._done.set()
            self._thread.join()
            most = max(self._sampled, resident_bytes())
        self.peak_bytes = max(0, most - (self._baseline or 0))

    def _sample(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            self._sampled = max(self._sampled, resident_bytes())


class PeakMemory:
    """Context that knows, afterwards, the peaks of resident host memory and of a GPU's allocator; None off a GPU."""

    def __init__(self, device: torch.device, *, resident_baseline: int | None = None) -> None:
        self._device = device
        self._resident = PeakResident(baseline=resident_baseline)
        self.allocated_bytes: int | None = None
        self.reserved_bytes: int | None = None

    def __enter__(self) -> Self:
        if self._device.type == "cuda":
            import torch

            torch.cuda.synchronize(self._device)
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self._device)
        self._resident.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._resident.__exit__(*exception)
        if self._device.type == "cuda" and exception[0] is None:
            import torch

            torch.cuda.synchronize(self._device)
            self.allocated_bytes = torch.cuda.max_memory_allocated(self._device)
            self.reserved_bytes = torch.cuda.max_memory_reserved(self._device)

    @property
    def resident_peak_bytes(self) -> int:
        """Most resident host memory above the baseline."""
        return self._resident.peak_bytes

    @property
    def most_bytes(self) -> int | None:
        """The peak that decides whether the work fits: the device's on CUDA, resident memory otherwise."""
        return self.reserved_bytes if self._device.type == "cuda" else self.resident_peak_bytes
