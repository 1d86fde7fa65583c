"""What the inputs of linear layers look like: the largest magnitude, and a histogram over the logarithm of them.

The bins are a 64th of an octave wide, so a percentile is known to 1.1 % in one pass, whatever the range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from worker.progress import Report

_PER_OCTAVE: Final = 64
_LOWEST: Final = -40
"""Binary exponent below which magnitudes count as zero."""
_BINS: Final = (40 - _LOWEST) * _PER_OCTAVE


class Magnitudes:
    """Magnitudes of one layer's inputs."""

    def __init__(self) -> None:
        self.most = 0.0
        """The largest; infinite when any input was not finite."""
        self._counts: torch.Tensor | None = None

    def add(self, inputs: torch.Tensor) -> None:
        """Take in one batch."""
        sizes = inputs.detach().abs().float().flatten()
        largest = float(sizes.max())
        self.most = max(self.most, largest if math.isfinite(largest) else math.inf)
        bins = ((sizes.log2().nan_to_num(nan=float(_LOWEST)) - _LOWEST) * _PER_OCTAVE).floor()
        counts = torch.bincount(bins.clamp(0, _BINS - 1).long(), minlength=_BINS)
        self._counts = counts if self._counts is None else self._counts + counts

    def percentile(self, percent: float) -> float:
        """Return a magnitude that `percent` percent of those seen do not exceed: the upper edge of their last bin."""
        if self._counts is None:
            return 0.0
        passed = self._counts.cumsum(0).double() / self._counts.sum()
        index = int(torch.searchsorted(passed, percent / 100))
        edge: float = 2.0 ** (_LOWEST + (min(index, _BINS - 1) + 1) / _PER_OCTAVE)
        return min(self.most, edge)

    def least_error(self, rounded: Callable[[torch.Tensor], torch.Tensor], largest: float) -> float:
        """Return the magnitude to map to `largest` for the least mean squared error over what was seen.

        `rounded` gives the values of the number format nearest to its argument, saturating at `largest`. Every eighth of
        an octave below the largest magnitude is tried, for twelve octaves, and the largest magnitude itself.
        """
        if self._counts is None or self.most == 0.0:
            return self.most
        centres = torch.exp2(_LOWEST + (torch.arange(_BINS) + 0.5) / _PER_OCTAVE)
        counts = self._counts.cpu().double()
        best, least = self.most, math.inf
        for step in range(12 * 8):
            limit = self.most * 2.0 ** (-step / 8)
            scale = limit / largest
            moved = (rounded(centres / scale) * scale - centres).double()
            error = float((counts * moved * moved).sum())
            if error < least:
                best, least = limit, error
        return best


def watch(model: Any, windows: Sequence[npt.NDArray[np.int64]], report: Report) -> Mapping[str, Magnitudes]:
    """Run `model` over the windows, one at a time, and return the input magnitudes of every linear layer that ran."""
    observed: dict[str, Magnitudes] = {}

    def observer(name: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            observed.setdefault(name, Magnitudes()).add(inputs[0])

        return hook

    hooks = [
        layer.register_forward_pre_hook(observer(name))
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        with torch.inference_mode():
            for number, ids in enumerate(windows):
                report(number / len(windows), f"calibrating on window {number + 1} of {len(windows)}")
                model(input_ids=torch.from_numpy(ids)[None].to(model.device), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return observed
