"""What a recipe really did: layers counted by what their weights became, because torchao skips some without a word."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from planner.errors import InvalidInput
from worker.recipes.recipe import Recipe, recipe_name


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """Linear layers that kept their full precision for one reason."""

    reason: str
    layers: tuple[str, ...]
    parameters: int


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """Linear layers by whether, and as what, they were quantized."""

    linear_layers: int
    quantized_layers: int
    quantized_parameters: int
    by_type: dict[str, int]
    """Layers by the class of their weight: what the tensors are, not what the recipe is called."""
    skipped: tuple[Skipped, ...]


def refused_layers(base: Path, recipe: Recipe) -> tuple[str, ...]:
    """Return the linear layers of the model in `base` that must be kept from torchao: those the recipe cannot take.

    The output head is then among them, since naming any layer replaces transformers' own choice; empty when the recipe
    can take all. Raises InvalidInput when it can take none. Only the shapes are looked at: no weight is read.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    if not recipe.quantizes_weights:
        return ()
    config = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    head = model.get_output_embeddings()
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    reasons = {name: recipe.refusal(layer.in_features, layer.out_features) for name, layer in layers.items()}
    refused = tuple(name for name, reason in reasons.items() if reason)
    if len(refused) == len(layers):
        raise _nothing_quantized(recipe, sorted({reason for reason in reasons.values() if reason}))
    heads = tuple(name for name, module in model.named_modules() if module is head)
    return (*refused, *heads) if refused else ()


def _nothing_quantized(recipe: Recipe, reasons: list[str]) -> InvalidInput:
    why = "; ".join(reasons) or "the model has no linear layer"
    return InvalidInput("recipe", f"`{recipe_name(recipe)}` quantized none of the layers: {why}")


def count_coverage(model: Any, recipe: Recipe) -> Coverage:
    """Return the coverage of a model built by `recipe`.

    Raises InvalidInput when the recipe quantizes but no layer was quantized.
    """
    import torch

    from worker.engines.formats.quantized_linear import QuantizedLinear

    head = model.get_output_embeddings()
    types: Counter[str] = Counter()
    quantized_layers = quantized_parameters = 0
    reasons: dict[str, list[tuple[str, int]]] = {}
    for name, module in model.named_modules():
        if not isinstance(module, torch.nn.Linear | QuantizedLinear):
            continue
        quantized = recipe.quantized_as(module)
        types[quantized or "Tensor"] += 1
        parameters = module.in_features * module.out_features
        if quantized:
            quantized_layers += 1
            quantized_parameters += parameters
        else:
            reason = (
                "output head is left alone"
                if module is head
                else recipe.refusal(module.in_features, module.out_features)
                or recipe.left_alone_because(name)
            )
            reasons.setdefault(reason, []).append((name, parameters))
    coverage = Coverage(
        linear_layers=sum(types.values()),
        quantized_layers=quantized_layers,
        quantized_parameters=quantized_parameters,
        by_type=dict(sorted(types.items())),
        skipped=()
        if not recipe.quantizes_weights
        else tuple(
            Skipped(
                reason=reason,
                layers=tuple(name for name, _ in layers),
                parameters=sum(count for _, count in layers),
            )
            for reason, layers in sorted(reasons.items())
        ),
    )
    if quantized_layers == 0 and recipe.quantizes_weights:
        raise _nothing_quantized(recipe, [skipped.reason for skipped in coverage.skipped])
    return coverage
