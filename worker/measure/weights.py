"""Exact bytes of loaded weights: the bytes inside the tensors, whatever their subclass claims to be."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

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
    """Yield the plain tensors that really hold the data of `tensor`, which may be a wrapper subclass.

    Of a tensor cut over several devices that is this device's part.
    """
    import torch

    flatten = getattr(tensor, "__tensor_flatten__", None)
    if flatten is None:
        yield tensor
        return
    names, _ = flatten()
    for name in names:
        inner = getattr(tensor, name)
        if isinstance(inner, torch.Tensor):  # a cut tensor names its mesh of devices as well
            yield from inner_tensors(inner)


def is_quantized(tensor: torch.Tensor) -> bool:
    """Return whether the weight is a quantizing subclass rather than a plain tensor."""
    return hasattr(tensor, "__tensor_flatten__")


STORED_WEIGHTS: Final = "stored_weights"
"""Attribute of a model that was widened while it was loaded: what its file holds, which is what it really weighs."""


def count_weights(model: Any) -> Weights:
    """Count parameters and persistent buffers of a torch module, and what quantized weights keep beside themselves."""
    stored: Weights | None = getattr(model, STORED_WEIGHTS, None)
    if stored is not None:
        return stored
    seen: set[tuple[str, int, int]] = set()
    formats: Counter[str] = Counter()
    parameters = 0
    for elements, tensors in _stored(model):
        fresh = False
        for inner in (inner for tensor in tensors for inner in inner_tensors(tensor)):
            size = inner.numel() * inner.element_size()
            key = (str(inner.device), inner.data_ptr(), size)
            if size and key not in seen:
                seen.add(key)
                fresh = True
                formats[str(inner.dtype).removeprefix("torch.")] += size
        parameters += elements if fresh else 0
    return Weights(
        total_bytes=sum(formats.values()), parameters=parameters, by_format=dict(sorted(formats.items()))
    )


def _stored(model: Any) -> Iterator[tuple[int, list[torch.Tensor]]]:
    """Yield logical elements and tensors of everything that is held; a quantized layer's integers are one weight."""
    for module in model.modules():
        hidden = module._non_persistent_buffers_set  # noqa: SLF001  torch has no public way to ask
        buffers = [buffer for name, buffer in module.named_buffers(recurse=False) if name not in hidden]
        if is_quantized_layer(module):
            yield module.in_features * module.out_features, buffers
        else:
            yield from ((buffer.numel(), [buffer]) for buffer in buffers)
        for parameter in module.parameters(recurse=False):
            state = getattr(parameter, "quant_state", None)
            if state is None:
                yield parameter.numel(), [parameter]
            else:
                yield math.prod(state.shape), [parameter, *_quant_state_tensors(state)]


def is_quantized_layer(module: Any) -> bool:
    """Return whether the layer holds its weight as integers in buffers, as the layers of `engines.formats` do."""
    return isinstance(getattr(module, "layout", None), str)


def _quant_state_tensors(state: Any) -> Iterator[torch.Tensor]:
    """Yield the scales and the code book of bitsandbytes' 4-bit weights, which hang beside the parameter."""
    for name in ("absmax", "code", "offset"):
        tensor = getattr(state, name, None)
        if tensor is not None:
            yield tensor
    nested = getattr(state, "state2", None)
    if nested is not None:
        yield from _quant_state_tensors(nested)
