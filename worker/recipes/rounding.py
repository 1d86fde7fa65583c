"""Rounding weights to nearest: integers in groups, INT8 and FP8 per row or for a whole tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from worker.engines.formats.packed_linear import Integers

SIGNIFICANT_BITS = 5
"""Of an asymmetric scale: 4-bit kernels compute (q - 8) · s + (8 - z) · s with the second term held in BF16's eight
significant bits. |8 - z| has at most three of its own, so five for s keep the term exact and every kernel's weights equal."""


def round_in_groups(
    weight: torch.Tensor, *, bits: int, group_size: int, symmetric: bool, dtype: torch.dtype
) -> Integers:
    """Return `weight` (out x in) as unsigned integers of `bits` bits, with scales of `dtype`.

    Symmetric: s = max(max w / (2^(b-1) - 1), max -w / 2^(b-1)), the smallest that clips nothing, and z = 2^(b-1).
    Asymmetric: s = (max(w, 0) - min(w, 0)) / (2^b - 1), rounded up to five significant bits, and z = round(-min / s).
    """
    import torch

    from worker.engines.formats.packed_linear import Integers

    out, columns = weight.shape
    groups = weight.float().reshape(out, columns // group_size, group_size)
    most, least = groups.amax(dim=-1).clamp(min=0), groups.amin(dim=-1).clamp(max=0)
    top, half = 2**bits - 1, 2 ** (bits - 1)
    if symmetric:
        scales = torch.maximum(most / (half - 1), -least / half)
        scales = _positive(scales, dtype).to(dtype)
        zeros = torch.full_like(scales, half, dtype=torch.uint8)
    else:
        scales = _round_up(_positive((most - least) / top, dtype)).to(dtype)
        zeros = (-least / scales.float()).round().clamp(0, top).to(torch.uint8)
    values = (groups / scales.float()[..., None]).round() + zeros.float()[..., None]
    return Integers(values.clamp(0, top).to(torch.uint8).reshape(out, columns), scales, zeros)


def _positive(scales: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the scales with those of all-zero groups put at the smallest normal number; the integers are then zero."""
    import torch

    return scales.clamp(min=torch.finfo(dtype).tiny)


def _round_up(scales: torch.Tensor) -> torch.Tensor:
    import torch

    fraction, exponent = torch.frexp(scales)
    return torch.ldexp((fraction * 2**SIGNIFICANT_BITS).ceil() / 2**SIGNIFICANT_BITS, exponent)


def round_rows_to_int8(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return INT8 values and FP32 scales (out x 1): s = max |w| / 127 of each row."""
    import torch

    from worker.engines.formats.quantized_linear import INT8_MAX

    wide = weight.float()
    scales = _positive(wide.abs().amax(dim=1, keepdim=True) / INT8_MAX, torch.float32)
    return (wide / scales).round().clamp(-INT8_MAX, INT8_MAX).to(torch.int8), scales


def round_to_fp8(weight: torch.Tensor, *, per_row: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return E4M3 numbers and FP32 scales, out x 1 or one: s = max |w| / 448 of the row or the tensor."""
    import torch

    from worker.engines.formats.quantized_linear import FP8, FP8_MAX

    wide = weight.float()
    most = wide.abs().amax(dim=1, keepdim=True) if per_row else wide.abs().amax().reshape(1)
    scales = _positive(most / FP8_MAX, torch.float32)
    return (wide / scales).clamp(-FP8_MAX, FP8_MAX).to(FP8), scales
