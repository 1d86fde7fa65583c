"""The cache layout against the reference implementations: a prompt and some steps, and the bytes of the cache's tensors."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final, cast

import msgspec
import pytest

from planner.domain.architecture import Architecture
from planner.domain.huggingface import architecture_from_config

pytestmark = pytest.mark.worker

REQUESTS, PROMPT, STEPS = 2, 20, 3
SMALL: Final[dict[str, Any]] = {
    "hidden_size": 64, "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96,
    "vocab_size": 120, "max_position_embeddings": 256, "head_dim": 16, "sliding_window": 8, "num_experts": 4,
    "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "n_routed_experts": 4, "pad_token_id": 0,
}  # fmt: skip
LATENT: Final[dict[str, Any]] = {
    "num_key_value_heads": 4, "q_lora_rank": 20, "kv_lora_rank": 24, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16,
    "v_head_dim": 20, "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1, "head_dim": 8,
}  # fmt: skip
INDEXED: Final[dict[str, Any]] = {**LATENT, "index_n_heads": 2, "index_head_dim": 16, "index_topk": 8}
MAMBA_2: Final[dict[str, Any]] = {
    "mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 16, "mamba_n_groups": 2, "mamba_expand": 2, "mamba_d_conv": 4,
}  # fmt: skip
DELTA: Final[dict[str, Any]] = {
    "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 16, "linear_value_head_dim": 8,
}  # fmt: skip
GPT: Final[dict[str, Any]] = {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 256, "vocab_size": 120}
ALTERNATING = ["sliding_attention", "full_attention"] * 3
CONVOLUTIONS = ["conv", "conv", "full_attention"] * 2
PARTICULAR: Final[dict[str, dict[str, Any]]] = {
    "afmoe": {}, "arcee": {}, "cohere2": {}, "doge": {}, "exaone4": {}, "falcon": {}, "gemma2": {}, "gemma3_text": {}, "gpt_neox": {},
    "gpt_oss": {}, "granite_swa": {}, "jetmoe": {}, "llama": {}, "mistral": {}, "mixtral": {}, "olmo3": {}, "opt": {}, "phi3": {},
    "qwen2": {}, "qwen3": {}, "smollm3": {}, "starcoder2": {}, "vaultgemma": {}, "mimo_v2_flash": {},
    "llama4_text": {"attention_chunk_size": 8, "intermediate_size_mlp": 96, "no_rope_layers": [1, 1, 1, 0, 1, 1]},
    "gemma3n_text": {
        "num_kv_shared_layers": 2, "layer_types": ALTERNATING, "vocab_size_per_layer_input": 120, "laurel_rank": 4,
        "hidden_size_per_layer_input": 8, "activation_sparsity_pattern": [0.0] * 6,
    },
    "gemma4_text": {
        "num_kv_shared_layers": 2, "layer_types": ALTERNATING, "vocab_size_per_layer_input": 120, "global_head_dim": 32,
        "hidden_size_per_layer_input": 8,
    },
    "deepseek_v2": {**LATENT, "q_lora_rank": None}, "deepseek_v3": LATENT, "minicpm3": LATENT,
    "deepseek_v32": INDEXED, "glm_moe_dsa": INDEXED,
    "longcat_flash": {
        **LATENT, "num_layers": 2, "ffn_hidden_size": 96, "expert_ffn_hidden_size": 32, "zero_expert_num": 2, "moe_topk": 2,
    },
    "mamba": {}, "falcon_mamba": {},
    "mamba2": {"num_heads": 8, "head_dim": 16, "state_size": 16, "n_groups": 2, "expand": 2},
    "bamba": {**MAMBA_2, "attn_layer_indices": [2, 5]},
    "granitemoehybrid": {
        **MAMBA_2, "layer_types": ["mamba", "mamba", "attention"] * 2, "shared_intermediate_size": 48,
    },
    "falcon_h1": {**MAMBA_2, "mamba_d_ssm": 128},
    "nemotron_h": {
        "hybrid_override_pattern": "M-M*-M", "mamba_num_heads": 8, "mamba_head_dim": 16, "ssm_state_size": 16, "n_groups": 2,
    },
    "zamba2": {
        "layers_block_type": ["mamba", "mamba", "hybrid"] * 2, "layer_types": ["mamba", "mamba", "hybrid"] * 2,
        "hybrid_layer_ids": [2, 5], "n_mamba_heads": 8, "mamba_d_state": 16, "mamba_ngroups": 2, "mamba_headdim": 16,
        "attention_head_dim": 32, "attention_hidden_size": 128,
    },
    "jamba": {"attn_layer_period": 3, "attn_layer_offset": 1},
    "qwen3_next": {**DELTA, "shared_expert_intermediate_size": 32}, "qwen3_5_text": DELTA, "olmo_hybrid": {},
    "kimi_linear": {
        **LATENT,
        "linear_attn_config": {
            "kda_layers": [1, 2, 3, 5], "full_attn_layers": [4, 6], "num_heads": 4, "head_dim": 16, "short_conv_kernel_size": 4,
        },
    },
    "bailing_hybrid": {**LATENT, "layer_group_size": 3},
    "lfm2": {"layer_types": CONVOLUTIONS}, "lfm2_moe": {"layer_types": CONVOLUTIONS, "num_dense_layers": 1},
    "minimax": {},
    "gpt2": GPT, "gpt_bigcode": GPT, "gptj": {**GPT, "rotary_dim": 8},
    "mpt": {"d_model": 64, "n_heads": 4, "n_layers": 3, "max_seq_len": 256, "vocab_size": 120},
}  # fmt: skip


def _tensors(item: Any, depth: int = 9) -> Iterator[Any]:
    import torch

    if isinstance(item, torch.Tensor):
        yield item
    elif depth and isinstance(item, dict):
        parts = cast("dict[str, Any]", item)
        # A window's length is kept as a tensor too, and is no part of the cache.
        for name, part in parts.items():
            if name != "_sliding_window_tensor":
                yield from _tensors(part, depth - 1)
    elif depth and isinstance(item, list | tuple):
        for part in cast("list[Any]", item):
            yield from _tensors(part, depth - 1)
    elif depth and type(item).__module__.startswith("transformers."):
        yield from _tensors(vars(item), depth - 1)


def _held(cache: Any) -> int:
    """Return the bytes of the cache's tensors, each counted once."""
    found = {id(tensor): tensor for tensor in _tensors(cache)}
    return sum(tensor.numel() * tensor.element_size() for tensor in found.values())


def _between_steps(shape: Architecture) -> Architecture:
    """Return the shape with windows as transformers keeps them between steps: without the token that comes next."""
    groups = (
        msgspec.structs.replace(group, window=group.window - 1) if group.window else group
        for group in shape.cache_groups
    )
    return msgspec.structs.replace(shape, caches=tuple(groups))


@pytest.mark.parametrize("model_type", sorted(PARTICULAR))
def test_bytes_equal_those_of_the_cache_after_a_prompt_and_steps(model_type: str) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    known = transformers.models.auto.configuration_auto.CONFIG_MAPPING
    if model_type not in known:
        pytest.skip(f"this transformers has no {model_type}")
    fields = known[model_type].__dataclass_fields__
    document = {
        name: value for name, value in SMALL.items() if name in fields and name not in PARTICULAR[model_type]
    }
    reference = known[model_type](**document, **PARTICULAR[model_type])
    model = transformers.AutoModelForCausalLM.from_config(reference, dtype=torch.bfloat16).eval()
    assert sum(tensor.numel() for tensor in model.parameters()) < 20_000_000
    with torch.inference_mode():
        found = model(input_ids=torch.randint(3, 100, (REQUESTS, PROMPT)), use_cache=True)
        takes = inspect.signature(model.forward).parameters  # releases call it differently
        names = ("cache", "past_key_values", "cache_params")
        name = next(name for name in names if name in takes)
        held = next(each for each in names if getattr(found, each, None) is not None)
        for _ in range(STEPS):
            token = torch.randint(3, 100, (REQUESTS, 1))
            found = model(input_ids=token, use_cache=True, **{name: getattr(found, held)})
    shape = architecture_from_config(reference.to_dict())
    kept = _between_steps(shape).kv_elements(PROMPT + STEPS) * 2
    fixed, wide = shape.state_elements
    assert REQUESTS * (kept + fixed * 2 + wide * 4) == _held(getattr(found, held))
