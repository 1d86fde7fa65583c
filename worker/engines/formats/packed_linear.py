"""Weight-only integers of 2 to 4 bits in groups, packed on disk and in memory.

w = (q - z) · s with unsigned q and z, one s and z per group of a row. Four bits run in the first kernel of `KERNELS` that
takes the shape; what none takes stays packed and is widened inside each product, which saves memory and not time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import torch
from torch import nn

from worker.engines.formats.integer_packing import pack, unpack, words
from worker.engines.formats.quantized_linear import QuantizedLinear


class Integers(NamedTuple):
    """A quantized weight in plain tensors: w[o, i] = (values[o, i] - zeros[o, i // group]) · scales[o, i // group]."""

    values: torch.Tensor
    """uint8, out x in."""
    scales: torch.Tensor
    """The compute type, out x groups."""
    zeros: torch.Tensor
    """uint8, out x groups."""

    @property
    def group_size(self) -> int:
        """Inputs that share a scale."""
        return self.values.shape[1] // self.scales.shape[1]

    def dequantize(self) -> torch.Tensor:
        """Return the weight, FP32."""
        out, groups = self.scales.shape
        values = self.values.reshape(out, groups, -1).float() - self.zeros.float()[..., None]
        return (values * self.scales.float()[..., None]).reshape(out, -1)


class Kernel(NamedTuple):
    """A product with 4-bit weights."""

    name: str
    takes: Callable[[Integers], bool]
    """Whether it runs this weight on the device the tensors are on."""
    arrange: Callable[[Integers], tuple[torch.Tensor, ...]]
    """Return what the product reads, instead of the plain tensors."""
    multiply: Callable[..., torch.Tensor]
    """(rows, *arranged, in_features=, out_features=, group_size=) → rows x out."""


class PackedLinear(QuantizedLinear):
    """A linear layer over packed integers."""

    layout = "PackedLinear"

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: nn.Parameter | None,
        *,
        bits: int,
        group_size: int,
        symmetric: bool,
        dtype: torch.dtype,
    ) -> None:
        super().__init__(in_features, out_features, bias)
        self.bits = bits
        self.group_size = group_size
        groups = in_features // group_size
        self.register_buffer(
            "weight_packed", torch.zeros(out_features, words(in_features, bits), dtype=torch.int32)
        )
        self.register_buffer("weight_scale", torch.ones(out_features, groups, dtype=dtype))
        self.register_buffer(
            "weight_zero_point",
            None if symmetric else torch.zeros(words(out_features, bits), groups, dtype=torch.int32),
        )
        self.register_buffer("weight_shape", torch.tensor([out_features, in_features]))
        self.weight_packed: torch.Tensor | None
        self.weight_scale: torch.Tensor | None
        self.weight_zero_point: torch.Tensor | None
        self.weight_shape: torch.Tensor | None
        self._kernel: Kernel | None = None
        self._arranged: tuple[str, ...] = ()

    @classmethod
    def of(cls, integers: Integers, bias: nn.Parameter | None, *, bits: int, symmetric: bool) -> PackedLinear:
        """Return the layer that holds `integers`; a symmetric one drops its zeros, which are half the range."""
        out_features, in_features = integers.values.shape
        layer = cls(
            in_features,
            out_features,
            bias,
            bits=bits,
            group_size=integers.group_size,
            symmetric=symmetric,
            dtype=integers.scales.dtype,
        )
        layer.weight_packed = pack(integers.values, bits)
        layer.weight_scale = integers.scales.contiguous()
        if not symmetric:
            layer.weight_zero_point = pack(integers.zeros.t().contiguous(), bits).t().contiguous()
        return layer.to(integers.values.device)

    @property
    def kernel(self) -> str:
        """The kernel's name."""
        return self._kernel.name if self._kernel else f"int{self.bits} widened in each product"

    @property
    def integers(self) -> Integers:
        """The plain integers, scales and zeros; only before `settle` gave them to a kernel."""
        if self.weight_packed is None or self.weight_scale is None:
            raise ValueError("the weight is in the form of its kernel")
        if self.weight_zero_point is None:
            zeros = torch.full_like(self.weight_scale, 2 ** (self.bits - 1), dtype=torch.uint8)
        else:
            packed = self.weight_zero_point.t().contiguous()
            zeros = unpack(packed, self.bits, self.out_features).t().contiguous()
        values = unpack(self.weight_packed, self.bits, self.in_features)
        return Integers(values, self.weight_scale, zeros)

    def settle(self) -> None:
        """Arrange the weight for the first kernel that takes it."""
        if self.bits != 4 or self._kernel is not None:
            return
        integers = self.integers
        kernel = next((kernel for kernel in KERNELS if kernel.takes(integers)), None)
        if kernel is None:
            return
        arranged = kernel.arrange(integers)
        self._arranged = tuple(f"arranged_{index}" for index in range(len(arranged)))
        for name, tensor in zip(self._arranged, arranged, strict=True):
            self.register_buffer(name, tensor)
        self._kernel = kernel
        self.weight_packed = self.weight_scale = self.weight_zero_point = self.weight_shape = None

    def dequantize(self) -> torch.Tensor:
        """Return the weight, FP32; only before `settle` gave it to a kernel."""
        return self.integers.dequantize()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x Wᵀ + b in the type of x."""
        if self._kernel is None:
            return nn.functional.linear(x, self.dequantize().to(x.dtype), self.bias)
        y = self._kernel.multiply(
            x.reshape(-1, self.in_features),
            *(getattr(self, name) for name in self._arranged),
            out_features=self.out_features,
            group_size=self.group_size,
        )
        y = y if self.bias is None else y + self.bias
        return y.reshape(*x.shape[:-1], self.out_features)


def _scales_and_zeros(integers: Integers) -> torch.Tensor:
    """Return groups x out x 2 in BF16, for kernels that compute (q - 8) · s + zero.

    zero = (8 - z) · s is rounded to BF16 here; it is exact when s has at most five significant bits or z is 8.
    """
    scales = integers.scales
    zeros = (8 - integers.zeros.to(scales.dtype)) * scales
    return torch.stack((scales, zeros), dim=-1).transpose(0, 1).contiguous()


_GROUPS: Final = (32, 64, 128, 256)


def _cpu_takes(integers: Integers) -> bool:
    return (
        integers.values.device.type == "cpu"
        and integers.scales.dtype == torch.bfloat16
        and integers.group_size in _GROUPS
        and integers.values.shape[0] % 16 == 0
    )


def _cpu_arrange(integers: Integers) -> tuple[torch.Tensor, ...]:
    operators: Any = torch.ops.aten
    packed = operators._convert_weight_to_int4pack_for_cpu(integers.values.to(torch.int32), 1)  # noqa: SLF001
    return packed, _scales_and_zeros(integers)


def _cpu_multiply(
    rows: torch.Tensor, packed: torch.Tensor, scales: torch.Tensor, *, out_features: int, group_size: int
) -> torch.Tensor:
    del out_features
    operators: Any = torch.ops.aten
    product: torch.Tensor = operators._weight_int4pack_mm_for_cpu(  # noqa: SLF001
        rows.to(torch.bfloat16), packed, group_size, scales
    )
    return product.to(rows.dtype)


def _tinygemm_takes(integers: Integers) -> bool:
    values = integers.values
    return (
        values.is_cuda
        and torch.cuda.get_device_capability(values.device) >= (8, 0)
        and integers.scales.dtype == torch.bfloat16
        and integers.group_size in _GROUPS
        and values.shape[1] % 32 == 0
    )


def _tinygemm_arrange(integers: Integers) -> tuple[torch.Tensor, ...]:
    out_features, in_features = integers.values.shape
    tiles = next(tiles for tiles in (8, 4, 2) if in_features % (16 * tiles) == 0)
    values = nn.functional.pad(integers.values, (0, 0, 0, -out_features % 8))
    scales = nn.functional.pad(_scales_and_zeros(integers), (0, 0, 0, -out_features % 8))
    nibbles = (values[:, ::2] << 4 | values[:, 1::2]).contiguous()
    operators: Any = torch.ops.aten
    return operators._convert_weight_to_int4pack(nibbles, tiles), scales.contiguous()  # noqa: SLF001


def _tinygemm_multiply(
    rows: torch.Tensor, packed: torch.Tensor, scales: torch.Tensor, *, out_features: int, group_size: int
) -> torch.Tensor:
    operators: Any = torch.ops.aten
    product: torch.Tensor = operators._weight_int4pack_mm(  # noqa: SLF001
        rows.to(torch.bfloat16), packed, group_size, scales
    )
    return product[:, :out_features].to(rows.dtype)


KERNELS: Final[list[Kernel]] = [
    Kernel("torch._weight_int4pack_mm_for_cpu", _cpu_takes, _cpu_arrange, _cpu_multiply),
    Kernel("torch._weight_int4pack_mm", _tinygemm_takes, _tinygemm_arrange, _tinygemm_multiply),
]
"""Products with 4-bit weights, best first; each takes only what its device and the weight's shape allow."""
