"""Rounding that gradients pass straight through, for formats that torchao cannot round to in training.

It calls the very rounding of the packed recipe, so that weights in training are those of the built variant.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from worker.recipes.rounding import round_in_groups


class RoundedInGroups(nn.Module):
    """A parametrization: the weight (out x in) as packed integers in groups would have it."""

    def __init__(self, *, bits: int, group_size: int) -> None:
        super().__init__()
        self.bits = bits
        self.group_size = group_size

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the rounded weight, in the number format of the given one."""
        integers = round_in_groups(
            weight.detach(),
            bits=self.bits,
            group_size=self.group_size,
            symmetric=False,
            dtype=weight.dtype,
        )
        rounded = integers.dequantize().to(weight.dtype)
        passed: torch.Tensor = _StraightThrough.apply(weight, rounded)  # type: ignore[no-untyped-call]
        return passed


class _StraightThrough(torch.autograd.Function):
    """Give the second argument, and its gradient to the first. No value is clipped, so no gradient is masked."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, rounded: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
        """Return the rounded weight."""
        return rounded.view_as(rounded)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ARG004
        """Return the gradient as it came."""
        return grad_outputs[0], None
