"""Full logits of two models over the same windows: side by side when both fit in memory, else one after the other.

In the second way the baseline's logits are kept in a temporary file, in the very numbers the model gave, so both ways
have the same result.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from planner.errors import InvalidInput
from worker.engines.loading import load_model, weight_files
from worker.evaluate.windows import Window
from worker.measure.memory import release_free_memory
from worker.progress import Report, part

if TYPE_CHECKING:
    import torch

HEADROOM: Final = 1.5
"""Weights and activations of both models, as a multiple of their files, that must be free to load them together."""

Pair = tuple[Window, "torch.Tensor", "torch.Tensor"]


def pairs(
    baseline: Path,
    variant: Path,
    windows: Sequence[Window],
    *,
    device: torch.device,
    report: Report,
    together: bool | None = None,
) -> Iterator[Pair]:
    """Yield each window with the logits of baseline and variant, (tokens - 1) x vocabulary on `device`.

    `together` None decides by the memory that is free. Raises InvalidInput when the vocabularies differ in size.
    """
    if together is None:
        together = _needed_bytes(baseline, variant) < _free_bytes(device)
    if together:
        base, other = _Predictor(baseline, device), _Predictor(variant, device)
        for done, window in enumerate(windows, start=1):
            yield window, *_same_width(base(window), other(window))
            report(done / len(windows), f"window {done} of {len(windows)}")
        return
    with _baseline_logits(baseline, windows, device, part(report, 0.0, 0.5)) as stored:
        other = _Predictor(variant, device)
        second = part(report, 0.5, 1.0)
        for done, window in enumerate(windows, start=1):
            yield window, *_same_width(stored(), other(window))
            second(done / len(windows), f"variant, window {done} of {len(windows)}")


class _Predictor:
    """One loaded model that gives next-token logits of a window."""

    def __init__(self, directory: Path, device: torch.device) -> None:
        self._model: Any = load_model(directory, device=device)

    def __call__(self, window: Window) -> torch.Tensor:
        import torch

        with torch.inference_mode():
            ids = torch.from_numpy(window.ids)[None].to(self._model.device)
            logits: torch.Tensor = self._model(input_ids=ids, use_cache=False).logits
        return logits[0, :-1]


@contextmanager
def _baseline_logits(
    baseline: Path, windows: Sequence[Window], device: torch.device, report: Report
) -> Generator[Callable[[], torch.Tensor]]:
    """Run the baseline alone, free it, and give back a function that reads its logits window by window."""
    import torch

    with tempfile.TemporaryFile(prefix="baseline-logits-") as file:
        shapes: list[tuple[tuple[int, ...], torch.dtype]] = []
        predictor = _Predictor(baseline, device)
        for done, window in enumerate(windows, start=1):
            logits = predictor(window).cpu().contiguous()
            shapes.append((tuple(logits.shape), logits.dtype))
            file.write(logits.view(torch.uint8).numpy().data)
            report(done / len(windows), f"baseline, window {done} of {len(windows)}")
        del predictor
        release_free_memory()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        file.seek(0)
        remaining = iter(shapes)
        yield lambda: _read(file, *next(remaining)).to(device)


def _read(file: IO[bytes], shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    import torch

    size = torch.Size(shape).numel() * dtype.itemsize
    return torch.frombuffer(bytearray(file.read(size)), dtype=dtype).reshape(shape)


def _same_width(base: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if base.shape != other.shape:
        raise InvalidInput(
            "baseline",
            f"has a vocabulary of {base.shape[-1]}, the variant one of {other.shape[-1]}",
            allowed="a baseline with the variant's vocabulary",
        )
    return base, other


def _needed_bytes(baseline: Path, variant: Path) -> float:
    files = [*weight_files(baseline), *weight_files(variant)]
    return HEADROOM * sum(file.stat().st_size for file in files)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)
