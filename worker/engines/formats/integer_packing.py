"""Small integers packed densely into 32-bit words, as compressed-tensors' `pack-quantized` layout does.

Value i of a row takes bits i·b to (i+1)·b of the row, least significant bit first, so that eight values are exactly b
bytes. Values are unsigned: the signed integer plus half the range.
"""

from __future__ import annotations

import math
from typing import Final

import torch

_ROWS: Final = 4096
"""Rows converted at a time: the intermediate 64-bit values take eight bytes for each weight."""


def words(columns: int, bits: int) -> int:
    """Return how many 32-bit words a row of `columns` values takes."""
    return math.ceil(columns * bits / 32)


def pack(values: torch.Tensor, bits: int) -> torch.Tensor:
    """Return unsigned `values` (rows x columns, each below 2^bits) as int32, rows x words."""
    return torch.cat([_pack(piece, bits) for piece in torch.split(values, _ROWS)])


def unpack(packed: torch.Tensor, bits: int, columns: int) -> torch.Tensor:
    """Return the uint8 values, rows x columns, of int32 words packed by `pack`."""
    return torch.cat([_unpack(piece, bits, columns) for piece in torch.split(packed, _ROWS)])


def _pack(values: torch.Tensor, bits: int) -> torch.Tensor:
    rows, columns = values.shape
    padded = torch.nn.functional.pad(values, (0, -columns % 32))
    eights = padded.reshape(rows, -1, 8).to(torch.int64)
    at = torch.arange(8, device=values.device)
    joined = (eights << (at * bits)).sum(dim=-1, keepdim=True)
    in_bytes = ((joined >> (at[:bits] * 8)) & 0xFF).to(torch.uint8)
    return in_bytes.reshape(rows, -1).view(torch.int32)[:, : words(columns, bits)].contiguous()


def _unpack(packed: torch.Tensor, bits: int, columns: int) -> torch.Tensor:
    rows = packed.shape[0]
    padded = torch.nn.functional.pad(packed, (0, -packed.shape[1] % bits))
    in_bytes = padded.contiguous().view(torch.uint8).reshape(rows, -1, bits).to(torch.int64)
    at = torch.arange(8, device=packed.device)
    joined = (in_bytes << (at[:bits] * 8)).sum(dim=-1, keepdim=True)
    values = ((joined >> (at * bits)) & (2**bits - 1)).to(torch.uint8)
    whole: torch.Tensor = values.reshape(rows, -1)[:, :columns].contiguous()
    return whole
