"""Linear layers with the same input, computed as one: queries, keys and values; gate and up.

One product of many rows keeps the memory bus busier than several of few, and its rows do not depend on each other, so
the results are those of the separate layers. Serving engines do the same.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from worker.engines.kernels import Kernels, humming_linear, refusal
from worker.engines.plain import Plain, plain

if TYPE_CHECKING:
    import torch

_SHARING: Final = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Attributes of one module, in the order its forward pass calls them."""


def prepare_projections(model: Any, kernels: Kernels) -> Counter[str]:
    """Join the layers of `model` that share an input and give quantized ones to the best product, in place.

    Returns the layers by what multiplies them, joined ones counted once.
    """
    from worker.engines.formats.quantized_linear import QuantizedLinear  # imports torch

    used: Counter[str] = Counter()
    done: set[int] = set()
    for module in list(model.modules()):
        for names in _SHARING:
            layers: list[Any] = [getattr(module, name, None) for name in names]
            if all(_is_linear(layer) for layer in layers):
                joined = _joined(layers, kernels, used)
                if joined is not None:
                    _share(module, names, joined, [layer.out_features for layer in layers])
                    done.update(map(id, layers))
        for name, layer in list(module.named_children()):
            if _is_linear(layer) and id(layer) not in done and not isinstance(module, QuantizedLinear):
                weight = plain(layer)
                replacement = _product(weight, layer, kernels)
                if replacement is None:
                    used[_left_as(layer)] += 1
                else:
                    used[_name(weight, replacement)] += 1
                    setattr(module, name, replacement)
    return used


def _is_linear(layer: Any) -> bool:
    import torch

    from worker.engines.formats.quantized_linear import QuantizedLinear

    return isinstance(layer, torch.nn.Linear | QuantizedLinear)


def _joined(layers: list[Any], kernels: Kernels, used: Counter[str]) -> torch.nn.Module | None:
    """Return one module for all the layers, None when they cannot be joined."""
    import torch

    biases = [layer.bias for layer in layers]
    if any(bias is None for bias in biases) and any(bias is not None for bias in biases):
        return None
    bias = None if biases[0] is None else torch.cat(biases)
    weights = [plain(layer) for layer in layers]
    first = weights[0]
    if first is not None:
        rest = [weight for weight in weights[1:] if weight is not None and first.joins(weight)]
        if len(rest) != len(weights) - 1:
            return None
        whole = first.joined(*rest)
        product = _product(whole, layers[0], kernels, bias)
        if product is not None:
            used[_name(whole, product)] += 1
        return product
    if any(_is_wrapped(layer) or layer.weight.dtype != layers[0].weight.dtype for layer in layers):
        return None
    rows = sum(layer.out_features for layer in layers)
    linear = torch.nn.Linear(layers[0].in_features, rows, bias=bias is not None, device="meta")
    linear.weight = torch.nn.Parameter(torch.cat([layer.weight for layer in layers]), requires_grad=False)
    if bias is not None:
        linear.bias = torch.nn.Parameter(bias, requires_grad=False)
    used["torch"] += 1
    return linear


def _product(
    weight: Plain | None, layer: Any, kernels: Kernels, bias: torch.Tensor | None = None
) -> torch.nn.Module | None:
    """Return the module that multiplies by `weight` best, None when that is the layer itself."""
    if weight is None or kernels is not Kernels.HUMMING:
        return None
    bias = layer.bias if bias is None else bias
    if weight.is_float and weight.activation == "fp8" and weight.group_size is None:
        from worker.engines.modules import RowwiseFp8

        return RowwiseFp8(weight.values, weight.scales, bias)
    if refusal(weight) is not None:
        return None
    return humming_linear(weight, bias, _dtype(layer))


def _is_wrapped(layer: Any) -> bool:
    from worker.engines.formats.quantized_linear import QuantizedLinear

    return isinstance(layer, QuantizedLinear) or hasattr(layer.weight, "__tensor_flatten__")


def _left_as(layer: Any) -> str:
    from worker.engines.formats.quantized_linear import QuantizedLinear

    if isinstance(layer, QuantizedLinear):
        return layer.kernel
    return "torchao" if _is_wrapped(layer) else "torch"


def _name(weight: Plain | None, product: torch.nn.Module) -> str:
    if weight is None or type(product).__name__ == "RowwiseFp8":
        return "torch fp8 x fp8"
    number = "fp8" if weight.is_float else f"int{weight.bits}"
    return f"humming {number}" + ("" if weight.activation == "none" else f" x {weight.activation}")


def _dtype(layer: Any) -> torch.dtype:
    """Return the 16-bit type that products are written in."""
    import torch

    weight = getattr(layer, "weight", None)
    dtype: torch.dtype = torch.bfloat16 if weight is None else weight.dtype
    return dtype if dtype in {torch.float16, torch.bfloat16} else torch.bfloat16


def _share(module: Any, names: tuple[str, ...], joined: torch.nn.Module, rows: list[int]) -> None:
    """Let the first layer compute all parts and the others hand out theirs."""
    from worker.engines.modules import First, Handed

    followers = [Handed() for _ in names[1:]]
    for name, layer in zip(names, (First(joined, rows, followers), *followers), strict=True):
        setattr(module, name, layer)
