"""Layers that round as the built variant will, while their weights stay numbers that can be trained.

torchao swaps the linear layers for ones that quantize and dequantize in every forward pass, with gradients that pass
straight through the rounding (Bengio, Léonard & Courville, arXiv 1308.3432); packed integers, whose rounding is not
torchao's, have a parametrization of the weight that does the same. At 16 bits the weights are, bit for bit, those that
the recipe gives after training.
"""

from __future__ import annotations

from typing import Any


def prepare_config(base_config: Any, *, bits: int, activations: bool) -> Any:
    """Return torchao's configuration that rounds to `bits` during training as `base_config` does when it is built.

    torchao derives it for grouped integers; for 8 bits a row, which it does not know, it is spelt out.
    """
    import torch
    from torchao.quantization.qat import IntxFakeQuantizeConfig, QATConfig
    from torchao.quantization.qat.api import QATStep

    if bits < 8:
        return QATConfig(base_config, step=QATStep.PREPARE)
    return QATConfig(
        activation_config=IntxFakeQuantizeConfig(torch.int8, "per_token", is_symmetric=False)
        if activations
        else None,
        weight_config=IntxFakeQuantizeConfig(torch.int8, "per_channel", is_symmetric=True),
        step=QATStep.PREPARE,
    )


def quantizable_layers(model: Any, left_alone: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the linear layers that the recipe quantizes: all but the output head and those left alone."""
    import torch

    head = model.get_output_embeddings()
    return tuple(
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head and name not in left_alone
    )


def fake_quantize(model: Any, layers: tuple[str, ...], config: Any) -> None:
    """Swap the named layers, in place, for ones that round in every forward pass."""
    from torchao.quantization import quantize_

    chosen = frozenset(layers)
    quantize_(model, config, filter_fn=lambda _module, name: name in chosen)


def round_in_packed_groups(model: Any, layers: tuple[str, ...], *, bits: int, group_size: int) -> None:
    """Have the named layers, in place, round in every forward pass as packed integers in groups are rounded."""
    from torch.nn.utils.parametrize import register_parametrization

    from worker.training.straight_through import RoundedInGroups

    for name in layers:
        register_parametrization(
            model.get_submodule(name),
            "weight",
            RoundedInGroups(bits=bits, group_size=group_size),
            unsafe=True,
        )


def remove_fake_quantization(model: Any) -> None:
    """Make the layers plain again, in place; their trained weights stay."""
    from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations
    from torchao.quantization import quantize_
    from torchao.quantization.qat import FakeQuantizedLinear, QATConfig
    from torchao.quantization.qat.api import QATStep

    for module in model.modules():
        if is_parametrized(module, "weight"):
            remove_parametrizations(module, "weight", leave_parametrized=False)
    quantize_(
        model,
        QATConfig(step=QATStep.CONVERT),
        filter_fn=lambda module, _name: isinstance(module, FakeQuantizedLinear),
    )


def freeze_quantized(model: Any, layers: tuple[str, ...]) -> None:
    """Keep the weights of the named layers from being trained."""
    for name in layers:
        for parameter_name, parameter in model.get_submodule(name).named_parameters():
            if parameter_name.startswith(("weight", "parametrizations.weight")):
                parameter.requires_grad_(requires_grad=False)
