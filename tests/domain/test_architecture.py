"""Parameter and KV arithmetic against counts that are published for real models."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.domain.architecture import Architecture, Experts, LatentAttention
from planner.domain.huggingface import architecture_from_config, same_shape, supports_exact_count
from planner.errors import InvalidInput


def config(
    model_type: str, hidden: int, layers: int, heads: int, kv: int, inner: int, vocab: int, **more: Any
) -> dict[str, Any]:
    return {
        "model_type": model_type,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "intermediate_size": inner,
        "vocab_size": vocab,
        **more,
    }


TIED = {"tie_word_embeddings": True}
DEEPSEEK_V3 = config(
    "deepseek_v3", 7168, 61, 128, 128, 18432, 129280,
    moe_intermediate_size=2048, n_routed_experts=256, n_shared_experts=1, num_experts_per_tok=8, first_k_dense_replace=3,
    q_lora_rank=1536, kv_lora_rank=512, qk_rope_head_dim=64, qk_nope_head_dim=128, v_head_dim=128,
)  # fmt: skip
LLAMA_3_1_8B = config("llama", 4096, 32, 32, 8, 14336, 128256, max_position_embeddings=131072)

COUNTS: dict[str, tuple[dict[str, Any], int]] = {
    "Llama-2-7B": (config("llama", 4096, 32, 32, 32, 11008, 32000), 6_738_415_616),
    "Llama-2-13B": (config("llama", 5120, 40, 40, 40, 13824, 32000), 13_015_864_320),
    "Llama-2-70B": (config("llama", 8192, 80, 64, 8, 28672, 32000), 68_976_648_192),
    "Llama-3.1-8B": (LLAMA_3_1_8B, 8_030_261_248),
    "Llama-3.2-1B": (config("llama", 2048, 16, 32, 8, 8192, 128256, head_dim=64, **TIED), 1_235_814_400),
    "Mistral-7B-v0.1": (config("mistral", 4096, 32, 32, 8, 14336, 32000, sliding_window=4096), 7_241_732_096),
    "Mixtral-8x7B": (
        config("mixtral", 4096, 32, 32, 8, 14336, 32000, num_local_experts=8, num_experts_per_tok=2),
        46_702_792_704,
    ),
    "Qwen2.5-0.5B": (config("qwen2", 896, 24, 14, 2, 4864, 151936, **TIED), 494_032_768),
    "Qwen2.5-7B": (config("qwen2", 3584, 28, 28, 4, 18944, 152064), 7_615_616_512),
    "Qwen3-8B": (config("qwen3", 4096, 36, 32, 8, 12288, 151936, head_dim=128), 8_190_735_360),
    "Qwen3-30B-A3B": (
        config("qwen3_moe", 2048, 48, 32, 4, 6144, 151936, head_dim=128, moe_intermediate_size=768, num_experts=128, num_experts_per_tok=8, decoder_sparse_step=1, mlp_only_layers=[]),
        30_532_122_624,
    ),
    "Gemma-2-9B": (config("gemma2", 3584, 42, 16, 8, 14336, 256000, head_dim=256, sliding_window=4096), 9_241_705_984),
    "Phi-2": (config("phi", 2560, 32, 32, 32, 10240, 51200), 2_779_683_840),
    "Phi-3-mini": (config("phi3", 3072, 32, 32, 32, 8192, 32064), 3_821_079_552),
    "gpt-oss-20b": (
        config("gpt_oss", 2880, 24, 64, 8, 2880, 201088, head_dim=64, attention_bias=True, num_local_experts=32, num_experts_per_tok=4, sliding_window=128),
        20_914_757_184,
    ),
    # 671,026,404,352 weights and 256 stored routing biases in each of the 58 sparse layers
    "DeepSeek-V3": (DEEPSEEK_V3, 671_026_404_352 + 58 * 256),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_equal_the_published_count(name: str):
    document, count = COUNTS[name]
    architecture = architecture_from_config(document)
    assert architecture.parameters == count
    assert supports_exact_count(architecture)
    linear = architecture.parameters - architecture.embedding_parameters - architecture.norm_parameters
    assert architecture.linear_parameters == linear > 0


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("Mixtral-8x7B", 12.88),
        ("Qwen3-30B-A3B", 3.35),
        ("DeepSeek-V3", 37.55),
        ("gpt-oss-20b", 4.19),
        ("Llama-3.1-8B", 8.03),
    ],
)
def test_active_parameters_leave_out_the_experts_not_chosen(name: str, billions: float):
    architecture = architecture_from_config(COUNTS[name][0])
    assert architecture.active_parameters / 1e9 == pytest.approx(billions, abs=0.01)


@pytest.mark.parametrize(
    ("document", "bytes_per_token"),
    [
        (COUNTS["Llama-2-7B"][0], 524_288),
        (LLAMA_3_1_8B, 131_072),
        (config("mistral", 5120, 40, 32, 8, 32768, 131072, head_dim=128), 163_840),
        (COUNTS["Qwen2.5-7B"][0], 57_344),
        (DEEPSEEK_V3, 70_272),
    ],
)
def test_kv_cache_per_token_at_16_bits(document: dict[str, Any], bytes_per_token: int):
    """Published: Llama 2 and 3.1 by their cards, Mistral Small 24B as vLLM reports it, DeepSeek-V3 by its paper's MLA."""
    assert architecture_from_config(document).kv_elements(1) * 2 == bytes_per_token


def test_sliding_layers_stop_growing_at_their_window():
    gemma = architecture_from_config(COUNTS["Gemma-2-9B"][0])
    assert (gemma.sliding_layers, gemma.sliding_window) == (21, 4096)
    per_token = 2 * 8 * 256
    assert gemma.kv_elements(1000) == 42 * per_token * 1000
    assert gemma.kv_elements(10_000) == per_token * (21 * 10_000 + 21 * 4096)


@pytest.mark.parametrize(
    ("document", "sliding"),
    [
        (config("mistral", 64, 4, 4, 2, 128, 100, sliding_window=32), 4),
        (config("mistral", 64, 4, 4, 2, 128, 100, sliding_window=None), 0),
        (config("gemma3_text", 64, 26, 4, 2, 128, 100, sliding_window=512, sliding_window_pattern=6), 22),
        (config("gpt_oss", 64, 24, 4, 2, 128, 100, sliding_window=128, num_local_experts=2), 12),
        (config("qwen2", 64, 28, 4, 2, 128, 100, sliding_window=32, use_sliding_window=False, max_window_layers=21), 0),
        (config("qwen2", 64, 28, 4, 2, 128, 100, sliding_window=32, use_sliding_window=True, max_window_layers=21), 7),
        (config("gemma3_text", 64, 2, 4, 2, 128, 100, sliding_window=512, layer_types=["sliding_attention", "full_attention"]), 1),
    ],
)  # fmt: skip
def test_which_layers_slide(document: dict[str, Any], sliding: int):
    assert architecture_from_config(document).sliding_layers == sliding


def test_a_multimodal_configuration_is_read_by_its_text_part():
    nested = {
        "model_type": "gemma3",
        "text_config": COUNTS["Gemma-2-9B"][0] | {"model_type": "gemma3_text"},
        "vision_config": {},
    }
    assert architecture_from_config(nested).hidden_size == 3584


def test_the_same_shape_whatever_it_is_called():
    one = architecture_from_config(LLAMA_3_1_8B)
    other = architecture_from_config(
        LLAMA_3_1_8B | {"model_type": "unheard_of", "max_position_embeddings": 8192}
    )
    assert same_shape(one, other)
    assert not supports_exact_count(other)
    assert not same_shape(one, architecture_from_config(COUNTS["Llama-2-7B"][0]))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"hidden_size": None}, "config.hidden_size"),
        ({"hidden_size": -1}, "config.hidden_size"),
        ({"hidden_size": "4096"}, "config.hidden_size"),
        ({"hidden_size": 4096.0}, "config.hidden_size"),
        ({"hidden_size": True}, "config.hidden_size"),
        ({"hidden_size": 10**400}, "config.hidden_size"),
        ({"hidden_size": 10**5000}, "config.hidden_size"),
        ({"hidden_size": "x" * 100_000}, "config.hidden_size"),
        ({"num_hidden_layers": 0}, "config.num_hidden_layers"),
        ({"num_hidden_layers": 10**6}, "config.num_hidden_layers"),
        ({"num_attention_heads": 0}, "config"),
        ({"num_key_value_heads": 0}, "architecture.kv_heads"),
        ({"num_key_value_heads": 5}, "architecture.kv_heads"),
        ({"vocab_size": 0}, "architecture.vocab_size"),
        ({"vocab_size": []}, "config.vocab_size"),
        ({"mlp_only_layers": 3, "num_experts": 4}, "config.mlp_only_layers"),
        ({"mlp_only_layers": ["a"], "num_experts": 4}, "config.mlp_only_layers"),
        ({"kv_lora_rank": 512}, "config.qk_rope_head_dim"),
        ({"kv_lora_rank": "a"}, "config.kv_lora_rank"),
        ({"sliding_window": -1}, "config.sliding_window"),
    ],
)
def test_hostile_configurations_name_the_field(change: dict[str, Any], field: str):
    with pytest.raises(InvalidInput) as caught:
        architecture_from_config(LLAMA_3_1_8B | change)
    assert caught.value.details["field"].startswith(field)
    assert len(caught.value.message) < 300


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
_NAMES = st.sampled_from(
    [
        "model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size", "vocab_size",
        "sliding_window", "sliding_window_pattern", "layer_types", "max_window_layers", "use_sliding_window", "num_experts", "num_local_experts",
        "n_routed_experts", "n_shared_experts", "moe_intermediate_size", "decoder_sparse_step", "mlp_only_layers", "first_k_dense_replace", "kv_lora_rank",
        "q_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "tie_word_embeddings", "max_position_embeddings", "text_config", "attention_bias",
    ]
)  # fmt: skip


@given(
    st.sampled_from([document for document, _ in COUNTS.values()]),
    st.dictionaries(_NAMES, _JSON | st.integers(-1, 300), max_size=6),
)
def test_any_configuration_is_an_architecture_or_an_invalid_input(
    document: dict[str, Any], change: dict[str, Any]
):
    try:
        architecture = architecture_from_config(document | change)
    except InvalidInput:
        return
    assert architecture.parameters > 0
    assert float(architecture.parameters) > 0
    assert architecture.active_parameters <= architecture.parameters or architecture.experts is not None
    assert architecture.kv_elements(4096) >= 0


sizes = st.integers(1, 64)


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    kv_heads, ratio, layers = draw(sizes), draw(st.integers(1, 8)), draw(st.integers(1, 12))
    experts = draw(
        st.none()
        | st.builds(
            Experts,
            count=st.integers(2, 16),
            active=st.integers(1, 2),
            intermediate_size=sizes,
            shared_intermediate_size=st.integers(0, 8),
            dense_layers=st.integers(0, layers),
        )
    )
    mla = draw(
        st.none()
        | st.builds(
            LatentAttention,
            kv_lora_rank=sizes,
            rope_head_dim=sizes,
            nope_head_dim=sizes,
            value_head_dim=sizes,
            query_lora_rank=st.none() | sizes,
        )
    )
    sliding = draw(st.integers(0, layers))
    return Architecture(
        hidden_size=draw(sizes),
        layers=layers,
        heads=kv_heads * ratio,
        kv_heads=kv_heads,
        head_dim=draw(sizes),
        intermediate_size=draw(sizes),
        vocab_size=draw(sizes),
        tied_embeddings=draw(st.booleans()),
        sliding_window=draw(st.integers(1, 100)) if sliding else None,
        sliding_layers=sliding,
        experts=experts,
        mla=mla,
    )


@given(architectures(), st.integers(1, 10_000), st.integers(0, 10_000))
def test_the_kv_cache_grows_with_the_context_and_never_faster_than_linearly(
    shape: Architecture, tokens: int, more: int
):
    assert shape.kv_elements(tokens) <= shape.kv_elements(tokens + more)
    assert shape.kv_elements(tokens) <= tokens * shape.kv_elements(1)


@given(architectures())
def test_parameters_add_up(shape: Architecture):
    assert shape.parameters == shape.linear_parameters + shape.embedding_parameters + shape.norm_parameters
    assert 0 < shape.active_parameters <= shape.parameters
    assert shape.sparse_layers <= shape.layers


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"layers": 0}, "layers"),
        ({"kv_heads": 3}, "kv_heads"),
        ({"sliding_layers": 9}, "sliding_layers"),
        ({"sliding_layers": 1}, "sliding_layers"),
    ],
)
def test_impossible_shapes_are_refused(change: dict[str, int], field: str):
    good: dict[str, Any] = {
        "hidden_size": 64,
        "layers": 4,
        "heads": 4,
        "kv_heads": 2,
        "head_dim": 16,
        "intermediate_size": 128,
        "vocab_size": 100,
    }
    with pytest.raises(InvalidInput, match=f"architecture.{field}"):
        Architecture(**(good | change))
