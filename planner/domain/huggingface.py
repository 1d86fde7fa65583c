"""Architecture from a Hugging Face `config.json` mapping.

One rule per model type where its configuration leaves something to its code (biases, norms, windows). A type without a
rule is read with Llama's conventions; the caller then compares the parameter count with the tensors it really sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from planner.domain.architecture import Architecture, Experts, LatentAttention
from planner.domain.cache_layout import PURE_STATE, cache_groups
from planner.domain.config_numbers import layer_numbers, whole
from planner.errors import InvalidInput

KNOWN_TYPES: Final = frozenset(
    {
        "llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "gemma", "gemma2", "gemma3_text", "phi", "phi3",
        "deepseek_v2", "deepseek_v3", "gpt_oss", "granite", "olmo2", "smollm3",
    }
)  # fmt: skip
"""Model types whose parameter arithmetic is known to be exact."""

_TIED_BY_DEFAULT: Final = frozenset({"gemma", "gemma2", "gemma3_text"})
_QK_NORM: Final = frozenset({"qwen3", "qwen3_moe", "gemma3_text", "olmo2"})
_QKV_BIAS: Final = frozenset({"qwen2", "qwen2_moe", "phi"})


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a (possibly multimodal) configuration that describes the language model."""
    nested = config.get("text_config")
    if isinstance(nested, Mapping) and "hidden_size" in nested:
        return cast("Mapping[str, Any]", nested)
    return config


def _listed_layers(config: Mapping[str, Any]) -> int | None:
    """Return how many layers a configuration lists one by one, None where it lists none."""
    for name in ("layer_types", "layers_block_type", "hybrid_override_pattern"):
        listed = config.get(name)
        if isinstance(listed, list | tuple | str) and listed:
            return len(cast("Sequence[object]", listed))
    return None


def _kv_heads(config: Mapping[str, Any], heads: int) -> int:
    """Return the KV heads; Falcon and StarCoder say with a flag that all heads share one."""
    if config.get("multi_query") is True and not config.get("new_decoder_architecture"):
        return 1
    return whole(config, "num_key_value_heads", "num_kv_heads", default=heads)


def _mlp_width(config: Mapping[str, Any], hidden: int) -> int:
    """Return the width of the MLP, the largest where every layer has its own."""
    listed = config.get("intermediate_size")
    if isinstance(listed, list | tuple) and listed:
        widths = [
            whole({"intermediate_size": width}, "intermediate_size")
            for width in cast("Sequence[object]", listed)
        ]
        return max(widths)
    return whole(config, "intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim", default=4 * hidden)


def _experts(config: Mapping[str, Any], model_type: str, layers: int) -> Experts | None:
    count = whole(config, "num_local_experts", "num_experts", "n_routed_experts", default=0)
    if count == 0:
        return None
    width = whole(config, "moe_intermediate_size", "expert_ffn_hidden_size", "intermediate_size")
    shared = whole(config, "shared_expert_intermediate_size", default=0)
    if model_type.startswith("deepseek"):
        shared = whole(config, "n_shared_experts", default=0) * width
    dense = whole(config, "first_k_dense_replace", default=0)
    step = whole(config, "decoder_sparse_step", default=1)
    only = layer_numbers(config, "mlp_only_layers")
    if step > 1 or only:
        dense = sum(1 for i in range(layers) if i in only or (i + 1) % max(step, 1))
    return Experts(
        count=count,
        active=whole(config, "num_experts_per_tok", "experts_per_token", default=1),
        intermediate_size=width,
        shared_intermediate_size=shared,
        shared_gate=model_type == "qwen2_moe",
        dense_layers=min(dense, layers),
        correction_bias=model_type == "deepseek_v3",
        bias=model_type == "gpt_oss",
    )


def _latent_attention(config: Mapping[str, Any]) -> LatentAttention | None:
    if config.get("kv_lora_rank") is None:
        return None
    query_rank = config.get("q_lora_rank")
    return LatentAttention(
        kv_lora_rank=whole(config, "kv_lora_rank"),
        rope_head_dim=whole(config, "qk_rope_head_dim"),
        nope_head_dim=whole(config, "qk_nope_head_dim"),
        value_head_dim=whole(config, "v_head_dim"),
        query_lora_rank=None if query_rank is None else whole(config, "q_lora_rank"),
    )


def _sliding_layers(config: Mapping[str, Any], model_type: str, layers: int, window: int | None) -> int:
    if not window:
        return 0
    kinds = config.get("layer_types")
    if isinstance(kinds, list | tuple):
        names = [str(kind) for kind in cast("Sequence[object]", kinds)]
        if len(names) == layers:
            return sum(1 for name in names if "sliding" in name)
    if model_type in {"gemma2", "gpt_oss"}:
        return (layers + 1) // 2
    if model_type == "gemma3_text":
        return layers - layers // max(whole(config, "sliding_window_pattern", default=6), 1)
    if model_type.startswith("qwen"):
        return (
            max(layers - whole(config, "max_window_layers", default=layers), 0)
            if config.get("use_sliding_window")
            else 0
        )
    return layers


def architecture_from_config(config: Mapping[str, Any]) -> Architecture:
    """Return the architecture a `config.json` describes. Raises InvalidInput naming the missing or wrong field."""
    outer, config = config, text_config(config)
    model_type = str(config.get("model_type") or outer.get("model_type") or "").lower()
    model_type = {"gemma3": "gemma3_text", "llama4": "llama4_text", "gemma4": "gemma4_text"}.get(
        model_type, model_type
    )
    layers = whole(
        config, "num_hidden_layers", "num_layers", "n_layer", "n_layers", default=_listed_layers(config)
    )
    hidden = whole(config, "hidden_size", "n_embd", "d_model")
    # A model without attention has no heads; its arithmetic takes the whole width for one.
    heads = whole(
        config, "num_attention_heads", "n_head", "n_heads", default=1 if model_type in PURE_STATE else None
    )
    if not (0 < layers <= 100_000 and heads > 0 and hidden > 0):
        raise InvalidInput("config.num_hidden_layers", "sizes must be positive", allowed="1 to 100000 layers")
    kv_heads = _kv_heads(config, heads)
    head_dim = whole(config, "head_dim", "attention_head_dim", "kv_channels", default=max(hidden // heads, 1))
    mla = _latent_attention(config)
    window = whole(config, "sliding_window", default=0) or None
    sliding = _sliding_layers(config, model_type, layers, window)
    context = config.get("max_position_embeddings")
    tied = config.get("tie_word_embeddings", outer.get("tie_word_embeddings"))
    gemma_norms = model_type in {"gemma2", "gemma3_text"}
    attention_bias = bool(config.get("attention_bias"))
    phi = model_type == "phi"
    caches = cache_groups(
        config, outer, model_type, layers=layers, hidden=hidden, kv_heads=kv_heads, head_dim=head_dim, mla=mla
    )
    return Architecture(
        hidden_size=hidden,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        intermediate_size=_mlp_width(config, hidden),
        vocab_size=whole(config, "vocab_size"),
        tied_embeddings=bool(tied) if tied is not None else model_type in _TIED_BY_DEFAULT,
        max_context=context if isinstance(context, int) and context > 0 else None,
        sliding_window=window if sliding else None,
        sliding_layers=sliding,
        gated_mlp=not phi,
        qkv_bias=attention_bias or model_type in _QKV_BIAS,
        output_bias=(attention_bias and not model_type.startswith("qwen")) or phi,
        mlp_bias=bool(config.get("mlp_bias")) or phi,
        head_bias=phi,
        qk_norm=model_type in _QK_NORM,
        qk_norm_spans_heads=model_type == "olmo2",
        norms_per_layer=4 if gemma_norms else 1 if phi else 2,
        norm_bias=phi,
        attention_sinks=model_type == "gpt_oss",
        experts=_experts(config, model_type, layers),
        mla=mla,
        caches=caches,
        model_type=model_type or None,
    )


def supports_exact_count(architecture: Architecture) -> bool:
    """Return whether the parameter arithmetic is known to be exact for this architecture's model type."""
    return architecture.model_type in KNOWN_TYPES


def _structural(architecture: Architecture) -> Architecture:
    return msgspec.structs.replace(architecture, model_type=None, max_context=None)


def same_shape(one: Architecture, other: Architecture) -> bool:
    """Return whether two architectures have the same tensors, whatever they are called."""
    return _structural(one) == _structural(other)
