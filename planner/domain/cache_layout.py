"""Cache layout: what each layer of a model keeps for a sequence, read from a Hugging Face configuration.

Hybrid models mix layers that cache every token, layers that cache a window, and layers with a state of fixed size
(convolution and state space or linear attention). The kinds stand in `layer_types`, or in a field of the model type's own;
sizes follow the reference implementations in transformers 5.23, whose cache classes the tests compare with to the byte.
A state space is kept in FP32, a convolution's window in the compute type.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from planner.domain.architecture import CacheGroup, LatentAttention
from planner.domain.config_numbers import layer_numbers, whole

FULL: Final = "full"
SLIDING: Final = "sliding"
CHUNKED: Final = "chunked"
STATE: Final = "state"
BOTH: Final = "both"
"""Attention and a state side by side in one layer."""
NOTHING: Final = "nothing"
CROSS: Final = "cross"

_KINDS: Final = {
    "full_attention": FULL, "attention": FULL, "full": FULL, "*": FULL,
    "sliding_attention": SLIDING, "local_attention": SLIDING, "chunked_attention": CHUNKED,
    "linear_attention": STATE, "mamba": STATE, "mamba2": STATE, "conv": STATE, "recurrent": STATE, "M": STATE,
    "hybrid": BOTH, "moe": NOTHING, "mlp": NOTHING, "-": NOTHING, "E": NOTHING,
}  # fmt: skip
PURE_STATE: Final = frozenset({"mamba", "mamba2", "falcon_mamba"})
"""Model types without any attention."""
_INTERVAL: Final = frozenset({"qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"})

_OWN_SIZES: Final = ("global_head_dim", "swa_num_key_value_heads", "swa_head_dim", "index_head_dim")
_LAYER_SIZES: Final = ("num_key_value_heads", "head_dim", "v_head_dim", "sliding_window")

Config = Mapping[str, Any]


_NOTHING: Final[Config] = {}


def _strings(value: object) -> list[str]:
    if isinstance(value, list | tuple):
        return [str(item) for item in cast("Sequence[object]", value)]
    return []


def _mapping(value: object) -> Config:
    """Return a nested part of a configuration, an empty one where there is none."""
    return cast("Config", value) if isinstance(value, Mapping) else _NOTHING


def layer_kinds(config: Config, model_type: str, layers: int) -> list[str] | None:
    """Return the kind of every layer, None where the configuration does not tell layers apart."""
    for name in ("layer_types", "layers_block_type"):
        named = _strings(config.get(name))
        if len(named) == layers:
            return [_KINDS.get(kind, SLIDING if "sliding" in kind else FULL) for kind in named]
    pattern = config.get("hybrid_override_pattern")
    if isinstance(pattern, str) and len(pattern) == layers:
        return [_KINDS.get(kind, FULL) for kind in pattern]
    if model_type in PURE_STATE:
        return [STATE] * layers
    if model_type == "falcon_h1":
        return [BOTH] * layers
    return _kinds_by_number(config, model_type, layers) or _kinds_by_rule(config, model_type, layers)


def _kinds_by_number(config: Config, model_type: str, layers: int) -> list[str] | None:
    """Return the kinds where the configuration lists the layers that attend, or those that differ."""
    attending = layer_numbers(config, "attn_layer_indices") | layer_numbers(config, "full_attn_idxs")
    if attending:
        return [FULL if layer in attending else STATE for layer in range(layers)]
    linear = config.get("linear_attn_config")
    if isinstance(linear, Mapping):
        # Layers are numbered from 1 here.
        attending = layer_numbers(cast("Config", linear), "full_attn_layers")
        return [FULL if layer + 1 in attending else STATE for layer in range(layers)]
    if model_type == "minimax" and _strings(config.get("attn_type_list")):
        return [STATE if kind == "0" else FULL for kind in _strings(config["attn_type_list"])[:layers]]
    crossed = layer_numbers(config, "cross_attention_layers")
    return [CROSS if layer in crossed else FULL for layer in range(layers)] if crossed else None


def _kinds_by_rule(config: Config, model_type: str, layers: int) -> list[str] | None:
    """Return the kinds where they repeat: every so many layers attend."""
    period = whole(config, "attn_layer_period", default=0)
    if period:
        offset = whole(config, "attn_layer_offset", default=0)
        return [FULL if layer % period == offset else STATE for layer in range(layers)]
    if model_type in _INTERVAL:
        every = max(whole(config, "full_attention_interval", default=4), 1)
        return [STATE if (layer + 1) % every else FULL for layer in range(layers)]
    if model_type == "llama4_text" and config.get("attention_chunk_size"):
        rotary = _strings(config.get("no_rope_layers"))
        every = max(whole(config, "no_rope_layer_interval", default=4), 1)
        if len(rotary) != layers:
            rotary = ["1" if (layer + 1) % every else "0" for layer in range(layers)]
        return [CHUNKED if flag not in {"0", "False"} else FULL for flag in rotary]
    return None


# -- states of fixed size ---------------------------------------------------------------------------------------------
# Each returns (elements of the convolution's window, elements of the state) of one layer.


def _mamba(config: Config, hidden: int) -> tuple[int, int]:
    """Mamba, arXiv:2312.00752: windows and states of every inner channel."""
    expand = whole(config, "mamba_expand", "expand", default=2)
    own = whole(config, "intermediate_size", default=expand * hidden) if "mamba_expand" not in config else 0
    inner = own or expand * hidden
    state = whole(config, "mamba_d_state", "state_size", default=16)
    return inner * whole(config, "mamba_d_conv", "conv_kernel", default=4), inner * state


def _mamba2(config: Config, hidden: int) -> tuple[int, int]:
    """Mamba-2, arXiv:2405.21060: the convolution also runs over B and C, which the heads of a group share."""
    heads = whole(config, "mamba_n_heads", "mamba_num_heads", "n_mamba_heads", "num_heads")
    inner = whole(config, "mamba_expand", "expand", default=2) * hidden
    named = config.get("mamba_d_head", config.get("mamba_headdim", config.get("mamba_head_dim")))
    width = (
        whole(config, "mamba_d_head", "mamba_headdim", "mamba_head_dim", "head_dim", default=0)
        if named != "auto"
        else 0
    )
    if config.get("mamba_d_ssm"):
        inner = whole(config, "mamba_d_ssm")
    elif width:
        inner = heads * width
    state = whole(config, "mamba_d_state", "ssm_state_size", "state_size", default=128)
    groups = whole(config, "mamba_n_groups", "mamba_ngroups", "n_groups", default=1)
    kernel = whole(config, "mamba_d_conv", "conv_kernel", default=4)
    return (inner + 2 * groups * state) * kernel, inner * state


def _delta_net(config: Config, hidden: int) -> tuple[int, int]:
    """Gated delta net, arXiv:2412.06464: one matrix of key x value size per value head."""
    del hidden
    keys = whole(config, "linear_num_key_heads") * whole(config, "linear_key_head_dim")
    heads, width = whole(config, "linear_num_value_heads"), whole(config, "linear_value_head_dim")
    kernel = whole(config, "linear_conv_kernel_dim", default=4)
    return (2 * keys + heads * width) * kernel, heads * whole(config, "linear_key_head_dim") * width


def _delta_attention(config: Config, hidden: int) -> tuple[int, int]:
    """Kimi delta attention, arXiv:2510.26692: three convolutions and a square matrix per head."""
    del hidden
    linear = _mapping(config.get("linear_attn_config"))
    heads = whole(linear, "num_heads", default=0) or whole(config, "linear_num_heads", "num_attention_heads")
    width = whole(linear, "head_dim", default=0) or whole(config, "linear_head_dim", "head_dim")
    kernel = whole(linear, "short_conv_kernel_size", default=0) or whole(
        config, "linear_conv_kernel_dim", "short_conv_kernel_size", default=4
    )
    return 3 * heads * width * kernel, heads * width * width


def _short_convolution(config: Config, hidden: int) -> tuple[int, int]:
    """LFM2: gated convolutions alone."""
    return hidden * whole(config, "conv_L_cache", default=3), 0


def _lightning(config: Config, hidden: int) -> tuple[int, int]:
    """Lightning attention, arXiv:2401.04658: a square matrix per head, which MiniMax keeps in the compute type."""
    heads = whole(config, "num_attention_heads")
    width = whole(config, "head_dim", default=max(hidden // heads, 1))
    return heads * width * width, 0


_STATES: Final[Mapping[str, Callable[[Config, int], tuple[int, int]]]] = {
    "mamba": _mamba, "falcon_mamba": _mamba, "jamba": _mamba,
    "mamba2": _mamba2, "bamba": _mamba2, "granitemoehybrid": _mamba2, "falcon_h1": _mamba2, "nemotron_h": _mamba2,
    "zamba2": _mamba2,
    "qwen3_next": _delta_net, "qwen3_5_text": _delta_net, "qwen3_5_moe_text": _delta_net, "olmo_hybrid": _delta_net,
    "kimi_linear": _delta_attention, "bailing_hybrid": _delta_attention,
    "lfm2": _short_convolution, "lfm2_moe": _short_convolution,
    "minimax": _lightning,
}  # fmt: skip


def _sharing(kinds: list[str], config: Config) -> list[str]:
    """Return the kinds with nothing for the last layers, which read the cache of earlier ones (Gemma 3n and 4)."""
    shared = min(whole(config, "num_kv_shared_layers", default=0), len(kinds))
    return kinds[: len(kinds) - shared] + [NOTHING] * shared


def _per_token(
    config: Config, kind: str, *, kv_heads: int, head_dim: int, mla: LatentAttention | None
) -> int:
    """Return the cached elements per token of one attention layer."""
    if mla is not None:
        return mla.kv_lora_rank + mla.rope_head_dim + whole(config, "index_head_dim", default=0)
    width, values = head_dim, whole(config, "v_head_dim", default=head_dim)
    if kind == SLIDING:
        # MiMo-V2-Flash has twice the KV heads where the window is short; not every form of its configuration says so.
        twice = 2 * kv_heads if config.get("model_type") == "mimo_v2_flash" else kv_heads
        kv_heads = whole(config, "swa_num_key_value_heads", default=twice)
        width = whole(config, "swa_head_dim", default=width)
        values = whole(config, "swa_v_head_dim", default=values if "v_head_dim" in config else width)
    elif config.get("global_head_dim"):
        width = values = whole(config, "global_head_dim")
        if config.get("attention_k_eq_v"):
            kv_heads = whole(config, "num_global_key_value_heads", default=kv_heads)
    return kv_heads * (width + values)


def _image_tokens(outer: Config) -> int:
    """Return the tokens that cross-attention layers cache of one image of the largest size (Llama 3.2 Vision)."""
    vision = _mapping(outer.get("vision_config"))
    if not vision:
        return 0
    patches = whole(vision, "image_size", default=0) // max(whole(vision, "patch_size", default=1), 1)
    return whole(vision, "max_num_tiles", default=1) * (patches**2 + 1)


def cache_groups(
    config: Config,
    outer: Config,
    model_type: str,
    *,
    layers: int,
    hidden: int,
    kv_heads: int,
    head_dim: int,
    mla: LatentAttention | None,
) -> tuple[CacheGroup, ...]:
    """Return what the layers keep, alike ones together; nothing where one rule holds for all of them.

    Raises InvalidInput naming a field of the state that is missing or out of range.
    """
    kinds = layer_kinds(config, model_type, layers)
    if model_type == "longcat_flash":
        kinds = [FULL] * (2 * layers)  # two attentions in every layer
    if kinds is None and mla is not None and config.get("index_head_dim"):
        kinds = [FULL] * layers
    if kinds is None:
        return ()
    kinds = _sharing(kinds, config)
    size = _STATES.get(model_type)
    if size is None:
        # A layer of an unknown kind is taken for full attention, which is the most it can be.
        kinds = [FULL if kind in {STATE, BOTH} else kind for kind in kinds]
    own = _mapping(config.get("per_layer_config"))
    uniform = not own and not any(config.get(name) for name in _OWN_SIZES)
    uniform = uniform and config.get("v_head_dim") in {None, head_dim}
    if uniform and mla is None and set(kinds) <= {FULL, SLIDING}:
        return ()
    found: Counter[CacheGroup] = Counter()
    for (kind, change), count in Counter(
        (kind, _change(own.get(str(layer)))) for layer, kind in enumerate(kinds)
    ).items():
        group = _group(
            {**config, **dict(change)},
            outer,
            kind,
            size,
            hidden=hidden,
            kv_heads=kv_heads,
            head_dim=head_dim,
            mla=mla,
        )
        if group is not None:
            found[group] += count
    return tuple(msgspec.structs.replace(group, layers=count) for group, count in found.items())


def _change(own: object) -> tuple[tuple[str, int], ...]:
    """Return the sizes that one layer has of its own."""
    named = _mapping(own)
    return tuple((name, whole(named, name)) for name in _LAYER_SIZES if named.get(name) is not None)


def _group(
    config: Config,
    outer: Config,
    kind: str,
    size: Callable[[Config, int], tuple[int, int]] | None,
    *,
    hidden: int,
    kv_heads: int,
    head_dim: int,
    mla: LatentAttention | None,
) -> CacheGroup | None:
    """Return what one layer of the kind keeps, None where that is nothing."""
    fixed, wide = size(config, hidden) if size is not None and kind in {STATE, BOTH} else (0, 0)
    per_token, window = 0, None
    if kind in {FULL, BOTH, SLIDING, CHUNKED, CROSS}:
        per_token = _per_token(
            config,
            kind,
            kv_heads=whole(config, "num_key_value_heads", default=kv_heads),
            head_dim=whole(config, "head_dim", default=head_dim),
            mla=mla,
        )
    if kind == SLIDING:
        window = whole(config, "sliding_window", default=0) or None
    elif kind == CHUNKED:
        window = whole(config, "attention_chunk_size", default=0) or None
    if kind == CROSS:
        fixed, per_token = per_token * _image_tokens(outer), 0
    if not (per_token or fixed or wide):
        return None
    return CacheGroup(layers=1, per_token=per_token, window=window, fixed=fixed, fixed_wide=wide)
