"""Tokens on their way to the host: copied without stopping the device, and known to have arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch


class HostTokens:
    """Room for `count` tokens of each request. On CUDA copies run behind the device's work, each with an event."""

    def __init__(self, requests: int, count: int, device: torch.device) -> None:
        import torch

        on_cuda = device.type == "cuda"
        self._tokens = torch.empty((count, requests), dtype=torch.int64, pin_memory=on_cuda)
        event: Any = torch.cuda.Event
        self._events: list[Any] = [event() for _ in range(count)] if on_cuda else []

    def send(self, number: int, token: torch.Tensor) -> None:
        """Start copying the token, requests x 1, of step `number`."""
        self._tokens[number].copy_(token[:, 0], non_blocking=True)
        if self._events:
            self._events[number].record()

    def wait(self, number: int) -> None:
        """Return when the token of step `number` is on the host."""
        if self._events:
            self._events[number].synchronize()

    @property
    def tokens(self) -> npt.NDArray[np.int64]:
        """What has arrived, requests x tokens."""
        found: npt.NDArray[np.int64] = self._tokens.T.numpy()
        return found
