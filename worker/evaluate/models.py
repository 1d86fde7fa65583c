"""Baseline and variant over the same items: side by side when both fit in memory, else one after the other.

In the second way what the baseline gave is kept, logits in a temporary file in the very numbers the model gave, so both ways have
the same result.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Self, TypeVar

from worker.engines.loading import weight_files
from worker.evaluate.logits import Predictor
from worker.measure.memory import release_free_memory
from worker.progress import Report, part

if TYPE_CHECKING:
    import torch

HEADROOM: Final = 1.5
"""Weights and activations of both models, as a multiple of their files, that must be free to load them together."""

T = TypeVar("T")
R = TypeVar("R")
Step = Callable[[Predictor, T], R]
"""What one model does with one item."""


class ModelPair:
    """A baseline and a variant. `together` None decides by the memory that is free.

    Side by side they are loaded once, at first use; one after the other they are loaded for every run.
    """

    def __init__(
        self, baseline: Path, variant: Path, device: torch.device, *, together: bool | None = None
    ) -> None:
        if together is None:
            together = _needed_bytes(baseline, variant) < _free_bytes(device)
        self.together = together
        self.device = device
        self._directories = (baseline, variant)
        self._loaded: tuple[Predictor, Predictor] | None = None

    def run(
        self, items: Sequence[T], baseline: Step[T, R], variant: Step[T, R], *, report: Report
    ) -> Iterator[tuple[T, R, R]]:
        """Yield each item with what its step made of it for the baseline and for the variant.

        A result that is a tensor may wait in a file; anything else waits in memory. Whoever stops early saves the rest
        of the work: of both models side by side, of the variant otherwise.
        """
        if self.together:
            if self._loaded is None:
                mine, theirs = self._directories
                self._loaded = Predictor(mine, self.device), Predictor(theirs, self.device)
            base, other = self._loaded
            for done, item in enumerate(items, start=1):
                yield item, baseline(base, item), variant(other, item)
                report(done / len(items), f"item {done} of {len(items)}")
            return
        first, second = part(report, 0.0, 0.5), part(report, 0.5, 1.0)
        with _Waiting(self.device) as waiting:
            base = Predictor(self._directories[0], self.device)
            for done, item in enumerate(items, start=1):
                waiting.put(baseline(base, item))
                first(done / len(items), f"baseline, item {done} of {len(items)}")
            del base
            _release(self.device)
            waiting.rewind()
            other = Predictor(self._directories[1], self.device)
            for done, item in enumerate(items, start=1):
                yield item, waiting.get(), variant(other, item)
                second(done / len(items), f"variant, item {done} of {len(items)}")
            del other
        _release(self.device)


class _Waiting:
    """Results in the order they came: tensors in a temporary file, the rest in a list."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._entries: list[Any] = []
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="baseline-logits-")  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def put(self, result: Any) -> None:
        import torch

        if not isinstance(result, torch.Tensor):
            self._entries.append(result)
            return
        held = result.cpu().contiguous()
        self._entries.append(_Stored(tuple(held.shape), held.dtype))
        self._file.write(held.view(torch.uint8).numpy().data)

    def rewind(self) -> None:
        self._file.seek(0)
        self._entries.reverse()

    def get(self) -> Any:
        import torch

        entry = self._entries.pop()
        if not isinstance(entry, _Stored):
            return entry
        size = torch.Size(entry.shape).numel() * entry.dtype.itemsize
        content = bytearray(self._file.read(size))
        return torch.frombuffer(content, dtype=entry.dtype).reshape(entry.shape).to(self._device)


class _Stored:
    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        self.shape, self.dtype = shape, dtype


def _release(device: torch.device) -> None:
    release_free_memory()
    if device.type == "cuda":
        import torch

        torch.cuda.empty_cache()


def _needed_bytes(baseline: Path, variant: Path) -> float:
    files = [*weight_files(baseline), *weight_files(variant)]
    return HEADROOM * sum(file.stat().st_size for file in files)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)
