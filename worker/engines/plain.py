"""Quantized layers in plain terms: the values, their scales, and how activations meet them.

Every library wraps its layouts in classes of its own. Kernels want the numbers, so that they run exactly what was built;
what they cannot be given exactly stays with the class it came in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    import torch

Activation = Literal["none", "int8", "fp8"]
"""How the other side of the product is quantized: not at all, or with one scale per token when it runs."""

_INTEGER_BITS: Final = {f"int{bits}": bits for bits in range(1, 9)}


@dataclass(frozen=True, kw_only=True)
class Plain:
    """One linear layer's weight, output features x input features: (values - zeros) x scales."""

    values: torch.Tensor
    """Unsigned integers (uint8), or float8_e4m3fn."""
    scales: torch.Tensor
    """One per output row and group of inputs: output features x groups."""
    zeros: torch.Tensor | None = None
    """uint8, as `scales`; None is the middle of the integers' range, and 0 for floats."""
    bits: int
    activation: Activation = "none"

    @property
    def group_size(self) -> int | None:
        """Inputs that share a scale; None when a row has one."""
        groups = self.scales.shape[1]
        return None if groups == 1 else self.values.shape[1] // groups

    @property
    def is_float(self) -> bool:
        """Whether the values are FP8."""
        return self.values.is_floating_point()

    def joined(self, *others: Plain) -> Plain:
        """Return the weight of layers with the same input as one: their output rows stacked."""
        import torch

        parts = (self, *others)
        zeros = [part.zeros for part in parts if part.zeros is not None]
        return replace(
            self,
            values=torch.cat([part.values for part in parts]),
            scales=torch.cat([part.scales for part in parts]),
            zeros=torch.cat(zeros) if zeros else None,
        )

    def joins(self, other: Plain) -> bool:
        """Return whether the two can be stacked."""
        return (
            self.values.dtype == other.values.dtype
            and self.bits == other.bits
            and self.activation == other.activation
            and self.values.shape[1] == other.values.shape[1]
            and self.scales.shape[1] == other.scales.shape[1]
            and (self.zeros is None) == (other.zeros is None)
        )


def plain(layer: Any) -> Plain | None:
    """Return a layer's quantized weight in plain terms; None when it is not quantized, or has none without loss."""
    match type(layer).__name__:
        case "Int8Linear" if layer.input_scale is None:
            return _signed(layer.weight, layer.weight_scale, None, bits=8, activation="int8")
        case "Float8Linear" if layer.input_scale is None and layer.per_row:
            return Plain(values=layer.weight, scales=layer.weight_scale, bits=8, activation="fp8")
        case "PackedLinear" if layer.weight_packed is not None:
            integers = layer.integers
            zeros = None if layer.weight_zero_point is None else integers.zeros
            return Plain(values=integers.values, scales=integers.scales, zeros=zeros, bits=layer.bits)
        case _:
            weight = getattr(layer, "weight", None)
    match type(weight).__name__:
        case "Int8Tensor":
            return _int8(weight)
        case "Float8Tensor":
            return _float8(weight)
        case "IntxUnpackedToInt8Tensor":
            return _intx(weight)
        case _:
            return None


def _int8(weight: Any) -> Plain | None:
    dynamic = weight.act_quant_kwargs is not None
    if weight.act_quant_scale is not None or weight.act_pre_scale is not None:
        return None
    if dynamic and "ASYMMETRIC" in str(getattr(weight.act_quant_kwargs, "mapping_type", "")):
        return None
    return _signed(
        weight.qdata, weight.scale, weight.zero_point, bits=8, activation="int8" if dynamic else "none"
    )


def _float8(weight: Any) -> Plain | None:
    import torch

    if weight.qdata.dtype != torch.float8_e4m3fn or weight.qdata.dim() != 2:
        return None
    scales = weight.scale
    dynamic = weight.act_quant_kwargs is not None
    if dynamic and "PerRow" not in str(weight.act_quant_kwargs.granularity):
        return None
    if scales.numel() == 1:
        scales = scales.reshape(1, 1).expand(weight.qdata.shape[0], 1)
    if scales.shape != (weight.qdata.shape[0], 1):
        return None
    return Plain(values=weight.qdata, scales=scales, bits=8, activation="fp8" if dynamic else "none")


def _intx(weight: Any) -> Plain | None:
    bits = _INTEGER_BITS.get(str(weight.target_dtype).removeprefix("torch."))
    if weight.activation_quantization is not None or bits is None:
        return None
    return _signed(weight.qdata, weight.scale, weight.zero_point, bits=bits, activation="none")


def _signed(values: Any, scales: Any, zeros: Any, *, bits: int, activation: Activation) -> Plain | None:
    """Return signed symmetric integers, moved to be unsigned; None when they have zero points."""
    import torch

    if values.dim() != 2 or scales.numel() == 0 or (zeros is not None and bool(zeros.any())):
        return None
    scales = scales.reshape(values.shape[0], -1)
    if values.shape[1] % scales.shape[1]:
        return None
    unsigned = (values.to(torch.int16) + (1 << (bits - 1))).to(torch.uint8)
    return Plain(values=unsigned, scales=scales, bits=bits, activation=activation)
