"""Models of a real shape with made-up weights: as fast and as large as the real ones, and good for nothing else.

What a weight's value is does not change how long it takes to read or multiply. So speed and memory of a shape can be
measured where the real weights cannot be had; a profile made this way says so, and no accuracy may ever come of it.
Layers are filled and quantized one by one, so that the full-precision model never has to fit.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from planner.domain.architecture import Architecture
from planner.errors import InvalidInput
from worker.engines.loading import quiet_libraries
from worker.engines.synthetic_mark import MARK
from worker.recipes.recipe import Recipe, recipe_name
from worker.recipes.stored import StoredRecipe

if TYPE_CHECKING:
    import torch

SPREAD: Final = 0.02
"""Standard deviation of the weights: that of the usual initialization, so that nothing overflows."""
_DEFAULT_CONTEXT: Final = 8192
_SUPPORTED: Final = ("llama", "qwen2", "mistral")


def synthetic_config(architecture: Architecture, *, layers: int | None = None) -> Any:
    """Return the transformers configuration of the shape. Raises InvalidInput for one it cannot express."""
    from transformers import AutoConfig

    unusual = (
        architecture.experts
        or architecture.mla
        or architecture.qk_norm
        or architecture.attention_sinks
        or architecture.position_embeddings
        or architecture.mlp_bias
        or not architecture.gated_mlp
    )
    kind = architecture.model_type or "llama"
    if unusual or kind not in _SUPPORTED:
        raise InvalidInput(
            "model", f"`{kind}` has no synthetic form here", allowed="dense " + ", ".join(_SUPPORTED)
        )
    config: Any = AutoConfig.for_model(kind)
    config.update(
        {
            "hidden_size": architecture.hidden_size,
            "num_hidden_layers": layers or architecture.layers,
            "num_attention_heads": architecture.heads,
            "num_key_value_heads": architecture.kv_heads,
            "head_dim": architecture.head_dim,
            "intermediate_size": architecture.intermediate_size,
            "vocab_size": architecture.vocab_size,
            "tie_word_embeddings": architecture.tied_embeddings,
            "max_position_embeddings": architecture.max_context or _DEFAULT_CONTEXT,
            "layer_types": ["full_attention"] * (layers or architecture.layers),
            "pad_token_id": None,
            MARK: True,
        }
    )
    return config


def synthetic_model(
    architecture: Architecture,
    recipe: Recipe,
    *,
    device: torch.device,
    seed: int = 0,
    layers: int | None = None,
) -> Any:
    """Return a transformers model of the shape with random weights, built by the recipe's torchao configuration.

    `layers` None takes all of them. Raises InvalidInput for a shape or a recipe that cannot be made this way.
    """
    quiet_libraries()
    import torch
    from torchao.quantization import quantize_
    from transformers import AutoModelForCausalLM

    from worker.engines.formats.quantized_linear import replace_layers

    quantizing = recipe.torchao_config()
    stored = recipe if isinstance(recipe, StoredRecipe) else None
    scheme = recipe.scheme
    special = recipe.uses_text or scheme.kv is not None or scheme.attention is not None
    if special or (quantizing is None and recipe.quantizes_weights and stored is None):
        raise InvalidInput(
            "recipe",
            f"`{recipe_name(recipe)}` cannot be applied to synthetic weights",
            allowed="full precision, or a recipe that rounds layer by layer without calibration",
        )
    dtype: torch.dtype = getattr(torch, recipe.dtype)
    config = synthetic_config(architecture, layers=layers)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
    generator = torch.Generator(device=device).manual_seed(seed)
    for layer in model.model.layers:
        with torch.no_grad():  # else every intermediate of rounding would be kept for a gradient
            _fill(layer, device, generator)
            if quantizing is not None:
                quantize_(layer, quantizing)
            elif stored is not None:
                replace_layers(layer, partial(_quantized, stored))
    for name, module in model.named_modules():
        if not name.startswith("model.layers.") and not any(True for _ in module.children()):
            _fill(module, device, generator)
    # Its frequencies are computed, not stored, and a meta device has no numbers to compute.
    model.model.rotary_emb = type(model.model.rotary_emb)(config=config).to(device)
    model.tie_weights()
    return model.eval().requires_grad_(requires_grad=False)


def _quantized(recipe: StoredRecipe, name: str, layer: torch.nn.Linear) -> torch.nn.Module | None:
    """Return the layer as the recipe rounds it, None where it does not take the shape."""
    if recipe.refusal(layer.in_features, layer.out_features) is not None:
        return None
    return recipe.quantize(name, layer, None)


def _fill(module: torch.nn.Module, device: torch.device, generator: torch.Generator) -> None:
    """Give the module's parameters memory and values: ones for scales of norms, small random numbers for the rest."""
    import torch

    module.to_empty(device=device)
    for name, parameter in module.named_parameters():
        with torch.no_grad():
            if "norm" in name or (parameter.dim() == 1 and "bias" not in name):
                parameter.fill_(1.0)
            else:
                parameter.normal_(0.0, SPREAD, generator=generator)
