"""Exact bytes of loaded weights: the bytes inside the tensors, whatever their subclass claims to be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import torch


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """What a loaded model holds. A tied tensor counts once."""

    total_bytes: int
    parameters: int
    """Logical elements of all weights; scales and zero points are bytes, not parameters."""
    by_format: dict[str, int]
    """Bytes by stored number format, scales and zero points included."""

    @property
    def effective_bits(self) -> float:
        """Bits that one parameter really costs."""
        return self.total_bytes * 8 / self.parameters


def inner_tensors(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the plain tensors that really hold the data of `tensor`, which may be a wrapper subclass."""
    flatten = getattr(tensor, "__tensor_flatten__", None)
    if flatten is None:
        yield tensor
        return
    names, _ = flatten()
    for name in names:
        inner = getattr(tensor, name)
        if inner is not None:
            yield from inner_tensors(inner)


def is_quantized(tensor: torch.Tensor) -> bool:
    """Return whether the weight is a quantizing subclass rather than a plain tensor."""
    return hasattr(tensor, "__tensor_flatten__")


def count_weights(model: Any) -> Weights:
    """Count parameters and persistent buffers of a torch module."""
    seen: set[tuple[str, int, int]] = set()
    formats: Counter[str] = Counter()
    parameters = 0
    for tensor in (*model.parameters(), *_persistent_buffers(model)):
        fresh = False
        for inner in inner_tensors(tensor):
            size = inner.numel() * inner.element_size()
            key = (str(inner.device), inner.data_ptr(), size)
            if size and key not in seen:
                seen.add(key)
                fresh = True
                formats[str(inner.dtype).removeprefix("torch.")] += size
        parameters += tensor.numel() if fresh else 0
    return Weights(
        total_bytes=sum(formats.values()), parameters=parameters, by_format=dict(sorted(formats.items()))
    )


def _persistent_buffers(model: Any) -> Iterator[torch.Tensor]:
    for module in model.modules():
        hidden = module._non_persistent_buffers_set  # noqa: SLF001  torch has no public way to ask
        yield from (buffer for name, buffer in module.named_buffers(recurse=False) if name not in hidden)
