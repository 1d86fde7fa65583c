"""The claim of exactness, checked against the reference implementations: every known model type, without weights."""

from __future__ import annotations

from typing import Any

import pytest

from planner.domain.huggingface import KNOWN_TYPES, architecture_from_config

pytestmark = pytest.mark.worker

SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 128,
    "max_position_embeddings": 64,
}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 48}
PARTICULAR: dict[str, dict[str, Any]] = {
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": EXPERTS | {"num_experts": 4, "shared_expert_intermediate_size": 80},
    "qwen3": {"head_dim": 32},
    "qwen3_moe": EXPERTS | {"num_experts": 4, "head_dim": 32},
    "gemma": {"head_dim": 32},
    "gemma2": {"head_dim": 32, "sliding_window": 16},
    "gemma3_text": {"head_dim": 32, "sliding_window": 16},
    "phi": {"num_key_value_heads": 4},
    "phi3": {"pad_token_id": 0},
    "deepseek_v2": EXPERTS
    | {"n_routed_experts": 4, "n_shared_experts": 2, "first_k_dense_replace": 1, "q_lora_rank": None, "num_key_value_heads": 4}
    | {"kv_lora_rank": 24, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 20},
    "deepseek_v3": EXPERTS
    | {"n_routed_experts": 4, "n_shared_experts": 1, "first_k_dense_replace": 2, "q_lora_rank": 20, "num_key_value_heads": 4}
    | {"kv_lora_rank": 24, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 20, "n_group": 1, "topk_group": 1},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 32, "sliding_window": 16},
    "smollm3": {"pad_token_id": 0},
}  # fmt: skip


@pytest.mark.parametrize("model_type", sorted(KNOWN_TYPES))
def test_count_equals_the_modules_of_the_reference_implementation(model_type: str):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    document = SMALL | PARTICULAR.get(model_type, {})
    reference = transformers.AutoConfig.for_model(model_type, **document)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(reference)
    stored = {id(tensor): tensor.numel() for tensor in model.parameters()}
    count = sum(stored.values())
    count += sum(
        tensor.numel() for name, tensor in model.named_buffers() if name.endswith("e_score_correction_bias")
    )
    architecture = architecture_from_config(reference.to_dict())
    assert architecture.parameters == count
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert architecture.tied_embeddings is tied
