"""Linear layers that hold quantized weights: the buffers are the stored tensors, so file and memory are the same bytes.

The names of the buffers are those of compressed-tensors (`weight`, `weight_scale`, `input_scale`, `weight_packed`, …), which
serving engines read too. A layer whose kernel wants another arrangement rearranges itself once, in `settle`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, Final

import torch
from torch import nn

from planner.domain.job import FailureReason
from planner.errors import InvalidFile
from worker.failure import JobFailed

INT8_MAX: Final = 127
FP8: Final = torch.float8_e4m3fn
FP8_MAX: Final = torch.finfo(torch.float8_e4m3fn).max
"""448, the largest finite E4M3 number (OCP 8-bit Floating Point Specification 1.0)."""
_ATEN: Any = torch.ops.aten
_UNSETTLED: Final = ContextVar("unsettled", default=False)
FP8_CAPABILITY: Final = (8, 9)
"""Lowest CUDA compute capability whose tensor cores take FP8 (Ada)."""
_INT_MM_ROWS: Final = 32
"""cuBLASLt's integer product refuses 16 rows or fewer; torch._int_mm checks it."""


class QuantizedLinear(nn.Module, ABC):
    """Base: shape, bias, and which product runs."""

    layout: ClassVar[str]
    """What the weight is, for coverage."""

    def __init__(self, in_features: int, out_features: int, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.bias = bias

    @property
    @abstractmethod
    def kernel(self) -> str:
        """Name of the product that runs here."""

    def settle(self) -> None:
        """Take the form the kernel of this machine wants; afterwards the stored form may be gone. Once, before use."""

    @abstractmethod
    def dequantize(self) -> torch.Tensor:
        """Return the weight this layer stands for, out x in, FP32."""

    def extra_repr(self) -> str:
        """Shape, as `nn.Linear` prints it."""
        return f"in_features={self.in_features}, out_features={self.out_features}"


class Int8Linear(QuantizedLinear):
    """INT8 weights, one scale per output row; INT8 activations, one scale fixed by calibration or one per token.

    y = (q_x · q_wᵀ) · s_x · s_w, the product in integers.
    """

    layout = "Int8Linear"

    def __init__(
        self, in_features: int, out_features: int, bias: nn.Parameter | None, *, static: bool
    ) -> None:
        super().__init__(in_features, out_features, bias)
        self.register_buffer("weight", torch.zeros(out_features, in_features, dtype=torch.int8))
        self.register_buffer("weight_scale", torch.ones(out_features, 1, dtype=torch.float32))
        self.register_buffer("input_scale", torch.ones(1, dtype=torch.float32) if static else None)
        self.weight: torch.Tensor
        self.weight_scale: torch.Tensor
        self.input_scale: torch.Tensor | None

    @property
    def kernel(self) -> str:
        """The integer product of torch."""
        return "torch._int_mm"

    def dequantize(self) -> torch.Tensor:
        """Return scale x integer."""
        return self.weight.float() * self.weight_scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x Wᵀ + b in the type of x."""
        rows = x.reshape(-1, self.in_features)
        count = rows.shape[0]
        scale = self.input_scale
        if scale is None:
            scale = rows.abs().amax(dim=1, keepdim=True).float().clamp(min=1e-12) / INT8_MAX
        integers = (rows / scale).round().clamp(-INT8_MAX - 1, INT8_MAX).to(torch.int8)
        if integers.is_cuda and count < _INT_MM_ROWS:
            integers = nn.functional.pad(integers, (0, 0, 0, _INT_MM_ROWS - count))
        product: torch.Tensor = _ATEN._int_mm(integers, self.weight.t())[:count]  # noqa: SLF001  torch has no public name for it
        y = (product.float() * (scale * self.weight_scale.t())).to(x.dtype)
        y = y if self.bias is None else y + self.bias
        return y.reshape(*x.shape[:-1], self.out_features)


class Float8Linear(QuantizedLinear):
    """FP8 (E4M3) weights and activations. One scale per row of both, or one for the whole of both.

    On CUDA the sums are kept the fast way, in fewer bits than FP32, as serving engines do. A CPU has no such product: the
    same FP8 numbers are widened to FP32 and multiplied there.
    """

    layout = "Float8Linear"

    def __init__(
        self, in_features: int, out_features: int, bias: nn.Parameter | None, *, static: bool, per_row: bool
    ) -> None:
        super().__init__(in_features, out_features, bias)
        self.per_row = per_row
        self.register_buffer("weight", torch.zeros(out_features, in_features, dtype=FP8))
        self.register_buffer(
            "weight_scale",
            torch.ones(out_features, 1, dtype=torch.float32)
            if per_row
            else torch.ones(1, dtype=torch.float32),
        )
        self.register_buffer("input_scale", torch.ones(1, dtype=torch.float32) if static else None)
        self.weight: torch.Tensor
        self.weight_scale: torch.Tensor
        self.input_scale: torch.Tensor | None

    @property
    def kernel(self) -> str:
        """What multiplies: torch's FP8 product on a GPU, its FP32 product of the same numbers elsewhere."""
        return "torch._scaled_mm" if self.weight.is_cuda else "torch.mm (FP8 emulated in FP32)"

    def settle(self) -> None:
        """Check the device. Raises JobFailed(kernel_unsupported) on a GPU that cannot multiply FP8 numbers."""
        if self.weight.is_cuda and torch.cuda.get_device_capability(self.weight.device) < FP8_CAPABILITY:
            have = ".".join(map(str, torch.cuda.get_device_capability(self.weight.device)))
            raise JobFailed(
                FailureReason.KERNEL_UNSUPPORTED,
                f"FP8 products need compute capability 8.9, {self.weight.device} has {have}",
            )

    def dequantize(self) -> torch.Tensor:
        """Return scale x FP8 number."""
        return self.weight.float() * self.weight_scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x Wᵀ + b in the type of x."""
        rows = x.reshape(-1, self.in_features)
        scale = self.input_scale
        if scale is None:
            most = rows.abs().amax(dim=1, keepdim=True) if self.per_row else rows.abs().amax()
            scale = most.float().clamp(min=1e-12) / FP8_MAX
        # In FP32: a scale without dimensions would leave the quotient in 16 bits, to be rounded twice.
        numbers = (rows.float() / scale).clamp(-FP8_MAX, FP8_MAX).to(FP8)
        y = self._product(numbers, scale, x.dtype)
        y = y if self.bias is None else y + self.bias
        return y.reshape(*x.shape[:-1], self.out_features)

    def _product(self, numbers: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        if not numbers.is_cuda:
            return (
                (numbers.float() @ self.weight.float().t()) * scale * self.weight_scale.reshape(1, -1)
            ).to(dtype)
        if self.per_row:
            scale_a, scale_b = scale.expand(numbers.shape[0], 1).contiguous(), self.weight_scale.t()
        else:
            scale_a, scale_b = scale.reshape(()), self.weight_scale.reshape(())
        y: torch.Tensor = _ATEN._scaled_mm(  # noqa: SLF001  torch has no public name for it in every supported version
            numbers,
            self.weight.t(),
            scale_a=scale_a,
            scale_b=scale_b,
            out_dtype=dtype,
            use_fast_accum=True,
        )
        return y


@contextmanager
def unsettled() -> Generator[None]:
    """Keep what is loaded inside in its stored form, for an engine that has kernels of its own to offer."""
    token = _UNSETTLED.set(True)
    try:
        yield
    finally:
        _UNSETTLED.reset(token)


def settle(model: nn.Module) -> nn.Module:
    """Let every quantized layer of `model` take the form its kernel wants, and return the model."""
    if _UNSETTLED.get():
        return model
    for module in model.modules():
        if isinstance(module, QuantizedLinear):
            module.settle()
    return model


def kernels(model: nn.Module) -> list[str]:
    """Return the names of the products that run in the quantized layers of `model`, sorted."""
    return sorted({module.kernel for module in model.modules() if isinstance(module, QuantizedLinear)})


def replace_layers(model: nn.Module, replacement: Callable[[str, nn.Linear], nn.Module | None]) -> list[str]:
    """Put `replacement(name, layer)` in the place of each linear layer; None keeps it. Return the names of those kept.

    A layer that two names share is replaced once and stays shared.
    """
    kept: list[str] = []
    done: dict[int, nn.Module] = {}
    for name, layer in list(model.named_modules(remove_duplicate=False)):
        if not isinstance(layer, nn.Linear):
            continue
        new = done.get(id(layer)) or replacement(name, layer)
        if new is None:
            kept.append(name)
            continue
        done[id(layer)] = new
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, new)
    return kept


def check_finite_scales(layer: QuantizedLinear, name: str) -> None:
    """Raise InvalidFile when a scale of `layer` is zero or not finite: its product would be garbage. Some writers use negative ones."""
    for key in ("weight_scale", "input_scale"):
        scale = getattr(layer, key, None)
        if scale is not None and not bool((torch.isfinite(scale) & (scale != 0)).all()):
            raise InvalidFile("*.safetensors", f"{name}.{key}", "is zero or not finite somewhere")
