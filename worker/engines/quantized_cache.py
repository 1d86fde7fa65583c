"""A KV cache that keeps keys and values in 8 or 4 bits.

transformers' quantized caches do not serve: their integer back ends need packages that are kept no longer, their FP8 one
has a single scale per tensor, fixed by the first tokens, and all of them give back the unquantized states of a prompt, so
that an evaluation would see no loss. Here `group_size` neighbouring elements of one token's head share a bfloat16 scale
(largest magnitude over 127, 7 or 448: symmetric, no zero point), every state that attention sees has been through the
cache, and nothing is quantized twice.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import torch
from transformers.cache_utils import CacheLayerMixin

from planner.domain.inference import CacheFormat, QuantizedCache
from planner.errors import InvalidInput

LARGEST: Final[dict[CacheFormat, float]] = {"int8": 127.0, "int4": 7.0, "fp8": 448.0}
"""The largest magnitude of a code: symmetric integers, and the largest finite float8_e4m3fn."""


class Quantized(NamedTuple):
    """Codes and scales of batch x heads x tokens x width states; two 4-bit codes share a byte."""

    codes: torch.Tensor
    scales: torch.Tensor


def quantize(states: torch.Tensor, settings: QuantizedCache) -> Quantized:
    """Return the nearest codes of `states`: for integers no element is off by more than half its scale."""
    *shape, width = states.shape
    grouped = states.float().reshape(*shape, width // settings.group_size, settings.group_size)
    largest = LARGEST[settings.format]
    scales = (grouped.abs().amax(dim=-1) / largest).to(torch.bfloat16)
    # A group of zeros, or one too small for its scale to be a normal number, becomes zeros.
    divisor = scales.float().unsqueeze(-1)
    ratio = torch.where(divisor > 0, grouped / divisor, torch.zeros_like(grouped)).clamp_(-largest, largest)
    flat = ratio.reshape(*shape, width)
    if settings.format == "fp8":
        return Quantized(flat.to(torch.float8_e4m3fn), scales)
    codes = flat.round_().to(torch.int8)
    if settings.format == "int4":
        shifted = (codes + 8).view(torch.uint8)
        return Quantized(shifted[..., 0::2] | (shifted[..., 1::2] << 4), scales)
    return Quantized(codes, scales)


def dequantize(held: Quantized, settings: QuantizedCache, dtype: torch.dtype) -> torch.Tensor:
    """Return code x scale for every element, as `dtype`."""
    codes = held.codes
    if settings.format == "int4":
        pairs = torch.stack((codes & 15, codes >> 4), dim=-1).view(torch.int8) - 8
        codes = pairs.reshape(*codes.shape[:-1], codes.shape[-1] * 2)
    *shape, width = codes.shape
    grouped = codes.to(torch.float32).reshape(*shape, width // settings.group_size, settings.group_size)
    return grouped.mul_(held.scales.float().unsqueeze(-1)).reshape(*shape, width).to(dtype)


class QuantizedLayer(CacheLayerMixin):  # type: ignore[misc]  # transformers has no types
    """The KV cache of one layer, which grows in place."""

    is_sliding = False

    def __init__(self, settings: QuantizedCache, batch: int, length: int) -> None:
        super().__init__()
        self._settings = settings
        self._batch = batch
        self._room = length
        self._length = 0
        self._held_keys: Quantized | None = None
        self._held_values: Quantized | None = None

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Reserve the room."""
        if key_states.shape[0] != self._batch:
            raise InvalidInput(
                "batch", f"is {key_states.shape[0]}", allowed=f"{self._batch}, which the cache was made for"
            )
        self.dtype, self.device = key_states.dtype, key_states.device
        self._held_keys = self._reserve(key_states)
        self._held_values = self._reserve(value_states)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_arguments: Any, **_more: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep the new states and return all, as the cache holds them."""
        end = self._length + key_states.shape[-2]
        if not self.is_initialized:
            self._room = max(self._room, end)
            self.lazy_initialization(key_states, value_states)
        elif end > self._room:
            self._room = max(end, 2 * self._room)
            self._held_keys = self._moved(self._held_keys, key_states)
            self._held_values = self._moved(self._held_values, value_states)
        keys = self._write(self._held_keys, key_states, end)
        values = self._write(self._held_values, value_states, end)
        self._length = end
        return keys, values

    def _reserve(self, states: torch.Tensor) -> Quantized:
        one = quantize(states[:, :, :1], self._settings)
        return Quantized(*(part.new_zeros((*part.shape[:2], self._room, part.shape[-1])) for part in one))

    def _moved(self, held: Quantized | None, states: torch.Tensor) -> Quantized:
        larger = self._reserve(states)
        if held is not None:
            for old, new in zip(held, larger, strict=True):
                new[:, :, : self._length] = old[:, :, : self._length]
        return larger

    def _write(self, held: Quantized | None, states: torch.Tensor, end: int) -> torch.Tensor:
        assert held is not None, "room is reserved by the first update"
        for room, new in zip(held, quantize(states, self._settings), strict=True):
            room[:, :, self._length : end] = new
        return dequantize(Quantized(*(part[:, :, :end] for part in held)), self._settings, states.dtype)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how many keys the mask covers, and at which token they begin."""
        return self._length + query_length, 0

    def get_seq_length(self) -> int:
        """Return how many tokens are held."""
        return self._length

    def get_max_length(self) -> int:
        """Return -1: it grows."""
        return -1

    def reset(self) -> None:
        """Forget all tokens and keep the room."""
        self._length = 0
