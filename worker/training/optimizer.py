"""AdamW that keeps an FP32 master copy of every 16-bit weight: steps of 1e-5 would vanish in eight bits of mantissa.

The model itself stays at 16 bits all the way, so its rounding during training is exactly that of the built variant.
Method: Micikevicius et al., Mixed Precision Training, arXiv 1710.03740, section 3.1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch

BETAS: Final = (0.9, 0.95)
CLIP_NORM: Final = 1.0
WARMUP_SHARE: Final = 0.1


def rate_share(step: int, steps: int) -> float:
    """Return the share of the learning rate at a step counted from 0: linear warm-up, then half a cosine to zero."""
    warmup = max(1, round(steps * WARMUP_SHARE))
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step + 1 - warmup) / max(1, steps - warmup))
    return 0.5 * (1.0 + math.cos(math.pi * progress))


class MasterAdamW:
    """AdamW over FP32 masters with linear warm-up, cosine decay to zero and clipped gradients; no weight decay.

    Weights that are already good are only adapted; decay would pull them towards zero instead.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], *, learning_rate: float, steps: int) -> None:
        import torch

        self._weights = [parameter for parameter in parameters if parameter.requires_grad]
        self._masters = [
            weight if weight.dtype is torch.float32 else weight.detach().float() for weight in self._weights
        ]
        self._adam = torch.optim.AdamW(self._masters, lr=learning_rate, betas=BETAS, weight_decay=0.0)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._adam, lambda step: rate_share(step, steps))

    @property
    def parameters(self) -> int:
        """How many weights are trained."""
        return sum(weight.numel() for weight in self._weights)

    def step(self) -> None:
        """Apply the gradients that the weights hold, and drop them."""
        import torch

        for weight, master in zip(self._weights, self._masters, strict=True):
            if weight is not master and weight.grad is not None:
                master.grad = weight.grad.float()
                weight.grad = None
        torch.nn.utils.clip_grad_norm_(self._masters, CLIP_NORM)
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        self._schedule.step()
        with torch.no_grad():
            for weight, master in zip(self._weights, self._masters, strict=True):
                if weight is not master:
                    weight.copy_(master)

    @property
    def held_bytes(self) -> int:
        """Bytes of the master copies and the moments, weights that are their own master left out."""
        masters = sum(
            master.numel() * master.element_size()
            for weight, master in zip(self._weights, self._masters, strict=True)
            if weight is not master
        )
        moments: int = sum(
            value.numel() * value.element_size()
            for state in self._adam.state.values()
            for value in state.values()
            if hasattr(value, "element_size")
        )
        return masters + moments
