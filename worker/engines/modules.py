"""torch modules that stand in for linear layers. Imported only where a model is loaded: it needs torch at once.

The classes are the module's own, not made per layer, because compiled code is shared by layers of equal classes.
"""

from __future__ import annotations

from typing import Any

import torch

from worker.engines.formats.quantized_linear import FP8, FP8_MAX


class Handed(torch.nn.Module):
    """Gives the part that the first of the layers that share an input left for it."""

    def __init__(self) -> None:
        super().__init__()
        self.part: torch.Tensor | None = None

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the part; `inputs` are those the first layer saw. Raises RuntimeError when called before it."""
        del inputs
        part, self.part = self.part, None
        if part is None:
            raise RuntimeError("the layers that share an input were not called in order")
        return part


class First(torch.nn.Module):
    """Computes the parts of all layers that share an input, returns its own and leaves the others theirs."""

    def __init__(self, joined: torch.nn.Module, rows: list[int], followers: list[Handed]) -> None:
        super().__init__()
        self.joined = joined
        self.rows = rows
        self.followers = torch.nn.ModuleList(followers)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the first part, requests x tokens x its rows."""
        parts: Any = self.joined(inputs).split(self.rows, dim=-1)
        for number, follower in enumerate(self.followers):
            follower.part = parts[number + 1]
        own: torch.Tensor = parts[0]
        return own


class HummingLinear(torch.nn.Module):
    """A prepared Humming layer that takes any number of leading dimensions, as torch's linear layer does."""

    def __init__(self, layer: Any, in_features: int, out_features: int) -> None:
        super().__init__()
        self.layer = layer
        self.in_features = in_features
        self.out_features = out_features
        self.tuning: str | None = None
        """Which kernel for which number of rows, in Humming's words; None lets it compile all."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the product, the last dimension `out_features` wide."""
        product: torch.Tensor = self.layer(inputs.reshape(-1, self.in_features), tuning_config=self.tuning)
        return product.view(*inputs.shape[:-1], self.out_features)


class RowwiseFp8(torch.nn.Module):
    """FP8 on both sides with a scale per row and per token; a single token is multiplied by a fused reduction.

    cuBLASLt's FP8 product is made for many rows. For one, the reduction that inductor makes of the multiplication reads
    the weights at nearly the speed of memory. Both compute the same product of the same FP8 numbers.
    """

    def __init__(self, values: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = values.shape
        self.register_buffer("weight", values)
        self.register_buffer("weight_scale", scales.float())
        self.register_buffer("bias", bias)
        self.weight: torch.Tensor
        self.weight_scale: torch.Tensor
        self.bias: torch.Tensor | None

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the product, the last dimension `out_features` wide."""
        rows = inputs.reshape(-1, self.in_features)
        scale = rows.abs().amax(dim=1, keepdim=True).float().clamp(min=1e-12) / FP8_MAX
        numbers = (rows / scale).clamp(-FP8_MAX, FP8_MAX).to(FP8)
        if rows.shape[0] == 1:
            sums = (self.weight.float() * numbers.float()).sum(dim=-1)
            product = (sums[None] * scale * self.weight_scale.t()).to(inputs.dtype)
        else:
            multiply: Any = torch.ops.aten._scaled_mm  # noqa: SLF001  torch has no public name for it in every version
            product = multiply(
                numbers,
                self.weight.t(),
                scale_a=scale,
                scale_b=self.weight_scale.t(),
                out_dtype=inputs.dtype,
                use_fast_accum=True,
            )
        if self.bias is not None:
            product = product + self.bias
        return product.view(*inputs.shape[:-1], self.out_features)
