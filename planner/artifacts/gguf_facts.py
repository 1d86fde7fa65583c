"""What a GGUF file's metadata says about the model: its architecture, and the name of its quantization mix.

Keys after the specification (ggml-org/ggml, docs/gguf.md). They are turned into the fields of a Hugging Face
configuration, so that one set of rules reads both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from planner.artifacts.headers.gguf import FILE_TYPES, GgufHeader, Value
from planner.artifacts.headers.tensor import StoredTensor
from planner.artifacts.quantization.weight import Layout, Weight
from planner.domain.scheme import NumberFormat, Precision
from planner.errors import InvalidFile

_MODEL_TYPES: Final[Mapping[str, str]] = {
    "qwen2moe": "qwen2_moe",
    "qwen3moe": "qwen3_moe",
    "gemma3": "gemma3_text",
    "phi2": "phi",
    "deepseek2": "deepseek_v2",
    "gpt-oss": "gpt_oss",
}
_KEYS: Final[Mapping[str, str]] = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.sliding_window": "sliding_window",
    "attention.kv_lora_rank": "kv_lora_rank",
    "attention.q_lora_rank": "q_lora_rank",
    "attention.value_length_mla": "v_head_dim",
    "context_length": "max_position_embeddings",
    "expert_count": "num_local_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
    "expert_shared_count": "n_shared_experts",
    "leading_dense_block_count": "first_k_dense_replace",
    "vocab_size": "vocab_size",
}
_BUFFERS: Final = frozenset({"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"})
_VOCABULARY: Final = frozenset({"token_embd.weight", "output.weight"})
_FLOATS: Final[Mapping[str, NumberFormat]] = {
    "F32": NumberFormat.FP32,
    "F64": NumberFormat.FP32,
    "F16": NumberFormat.FP16,
    "BF16": NumberFormat.BF16,
}
_INTEGERS: Final = frozenset({"I8", "I16", "I32", "I64"})


def gguf_weights(tensors: Sequence[StoredTensor]) -> tuple[Weight, ...]:
    """Return the logical weights of GGUF tensors. Raises InvalidFile for a block type no weight is kept in."""
    return tuple(map(_weight, tensors))


def _weight(tensor: StoredTensor) -> Weight:
    number = _FLOATS.get(tensor.dtype)
    if number is None and tensor.dtype not in _INTEGERS:
        try:
            number = NumberFormat(tensor.dtype.lower())
        except ValueError:
            raise InvalidFile(
                tensor.file,
                f"tensor {tensor.name[:200]!r}",
                f"type {tensor.dtype} is not supported for weights",
            ) from None
    if tensor.name in _BUFFERS:
        number = None
    return Weight(
        name=tensor.name,
        parameters=tensor.elements if number else 0,
        nbytes=tensor.nbytes,
        layout=Layout.GGUF,
        precision=Precision(format=number) if number else None,
        container=tensor.dtype,
        dimensions=len(tensor.shape),
        shape=tensor.shape,
    )


def gguf_config(header: GgufHeader, names: frozenset[str], label: str) -> dict[str, Any] | None:
    """Return the configuration that the metadata describes; None when layers differ in shape. Raises InvalidFile."""
    name = header.metadata.get("general.architecture")
    if not isinstance(name, str) or not name:
        raise InvalidFile(label, "general.architecture", "is missing", allowed="a text")
    if (
        name in {"clip", "controlvector", "adapter"}
        or header.metadata.get("general.type", "model") != "model"
    ):
        raise InvalidFile(
            label, "general.architecture", f"{name[:40]!r} is not a language model", allowed="a model"
        )
    config: dict[str, Any] = {"model_type": _MODEL_TYPES.get(name, name)}
    for key, field in _KEYS.items():
        value: Value | None = header.metadata.get(f"{name}.{key}")
        if isinstance(value, tuple):
            if len(set(value)) != 1:
                return None
            value = value[0]
        if value is not None:
            config[field] = value
    config.setdefault("vocab_size", header.lengths.get("tokenizer.ggml.tokens"))
    if "kv_lora_rank" in config:
        rope = header.metadata.get(f"{name}.rope.dimension_count")
        key_length = header.metadata.get(f"{name}.attention.key_length_mla", config.get("head_dim"))
        config["qk_rope_head_dim"] = rope
        config["qk_nope_head_dim"] = (
            key_length - rope if isinstance(rope, int) and isinstance(key_length, int) else None
        )
        config.setdefault("v_head_dim", header.metadata.get(f"{name}.attention.value_length"))
        config["num_key_value_heads"] = config.get("num_attention_heads")
        if "blk.0.exp_probs_b.bias" in names or any(n.endswith("exp_probs_b.bias") for n in names):
            config["model_type"] = "deepseek_v3"
    config["tie_word_embeddings"] = "output.weight" not in names
    config["attention_bias"] = "blk.0.attn_q.bias" in names
    config["mlp_bias"] = "blk.0.ffn_up.bias" in names
    return {field: value for field, value in config.items() if value is not None}


def gguf_label(header: GgufHeader, weights: Sequence[Weight], label: str) -> str | None:
    """Return the name of the quantization mix ("q4_k_m") when it says more than the weights' own format.

    Raises InvalidFile when `general.file_type` contradicts the tensors.
    """
    file_type = header.metadata.get("general.file_type")
    if not isinstance(file_type, int):
        return None
    name = FILE_TYPES.get(file_type & ~1024)  # 1024 marks a guess
    if name is None:
        raise InvalidFile(
            label, "general.file_type", f"{file_type} is unknown", allowed="a llama.cpp file type"
        )
    body: dict[NumberFormat, int] = {}
    for weight in weights:
        # Embedding and head keep a finer type than the one a file is named by, and are most of a small model.
        if weight.precision is not None and weight.dimensions >= 2 and weight.name not in _VOCABULARY:
            body[weight.precision.format] = body.get(weight.precision.format, 0) + weight.parameters
    if not body:
        return None
    largest = max(body, key=lambda number: body[number])
    plain = {"f32": 32, "f16": 16, "bf16": 16}.get(name)
    digits = re.search(r"\d", name)
    stated = plain or (int(digits.group()) if digits else 0)
    if file_type & 1024 == 0 and abs(stated - largest.nominal_bits) >= 2:
        problem = f"says {name}, but most weights are stored as {largest.value}"
        if plain is None and not any(number.is_gguf or number.nominal_bits < 16 for number in body):
            problem += ": quantization was not applied"
        raise InvalidFile(label, "general.file_type", problem)
    named_by_format = plain is not None or name in {number.value for number in NumberFormat}
    return None if named_by_format or abs(stated - largest.nominal_bits) >= 2 else name
