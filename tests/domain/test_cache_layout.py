"""The cache layout of well-known hybrids, from the fields of their published configurations."""

from __future__ import annotations

from typing import Any

import pytest

from planner.domain.huggingface import architecture_from_config
from planner.errors import InvalidInput

BASE: dict[str, Any] = {
    "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "intermediate_size": 14336, "vocab_size": 65536,
}  # fmt: skip


def test_jamba_caches_every_eighth_layer_and_keeps_states_in_the_others() -> None:
    shape = architecture_from_config({
        **BASE, "model_type": "jamba", "attn_layer_period": 8, "attn_layer_offset": 4, "mamba_d_state": 16,
        "mamba_d_conv": 4, "mamba_expand": 2,
    })  # fmt: skip
    assert shape.kv_elements(1000) == 4 * 2 * 8 * 128 * 1000
    assert shape.state_elements == (28 * 8192 * 4, 28 * 8192 * 16)


def test_qwen3_next_attends_in_every_fourth_layer() -> None:
    shape = architecture_from_config({
        "model_type": "qwen3_next", "hidden_size": 2048, "num_hidden_layers": 48, "num_attention_heads": 16,
        "num_key_value_heads": 2, "head_dim": 256, "intermediate_size": 5120, "vocab_size": 151936,
        "full_attention_interval": 4, "linear_num_value_heads": 32, "linear_num_key_heads": 16,
        "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4,
    })  # fmt: skip
    assert shape.kv_elements(1) == 12 * 2 * 2 * 256
    assert shape.state_elements == (36 * 8192 * 4, 36 * 32 * 128 * 128)


def test_layers_that_share_a_cache_keep_none_of_their_own() -> None:
    kinds = ["sliding_attention"] * 4 + ["full_attention"]
    shape = architecture_from_config({
        **BASE, "model_type": "gemma3n_text", "num_hidden_layers": 30, "layer_types": kinds * 6, "sliding_window": 512,
        "num_kv_shared_layers": 10, "intermediate_size": [16384] * 30,
    })  # fmt: skip
    each = 2 * 8 * 128
    assert shape.kv_elements(8192) == each * (16 * 512 + 4 * 8192)
    assert shape.intermediate_size == 16384


def test_cross_attention_caches_an_image_and_no_text() -> None:
    shape = architecture_from_config({
        "model_type": "mllama",
        "text_config": {
            **BASE, "model_type": "mllama_text_model", "num_hidden_layers": 40,
            "cross_attention_layers": [3, 8, 13, 18, 23, 28, 33, 38],
        },
        "vision_config": {"image_size": 560, "patch_size": 14, "max_num_tiles": 4},
    })  # fmt: skip
    each = 2 * 8 * 128
    assert shape.kv_elements(100) == 32 * each * 100
    assert shape.state_elements == (8 * each * 4 * 1601, 0)


def test_a_model_without_attention_has_a_state_alone() -> None:
    shape = architecture_from_config({
        "model_type": "mamba2", "hidden_size": 4096, "num_hidden_layers": 64, "vocab_size": 32768, "num_heads": 128,
        "head_dim": 64, "state_size": 128, "n_groups": 8, "expand": 2, "conv_kernel": 4,
    })  # fmt: skip
    assert shape.kv_elements(100_000) == 0
    assert shape.state_elements == (64 * (8192 + 2 * 8 * 128) * 4, 64 * 8192 * 128)


def test_layers_of_an_unknown_kind_are_counted_as_full_attention() -> None:
    shape = architecture_from_config({
        **BASE, "model_type": "of-tomorrow", "layer_types": ["linear_attention", "full_attention"] * 16,
    })  # fmt: skip
    assert shape.kv_elements(10) == 32 * 2 * 8 * 128 * 10


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model_type": "mamba2", "state_size": -1, "num_heads": 8}, "config.state_size"),
        ({"model_type": "bamba", "attn_layer_indices": ["x"]}, "config.attn_layer_indices"),
        ({"model_type": "qwen3_next", "full_attention_interval": 4}, "config.linear_num_key_heads"),
        ({"model_type": "gemma3n_text", "intermediate_size": [1, "x"]}, "config.intermediate_size"),
    ],
)
def test_a_damaged_configuration_names_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        architecture_from_config({**BASE, **change})
    assert field in str(caught.value)
