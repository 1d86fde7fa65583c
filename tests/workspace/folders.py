"""Folders as model writers leave them: a small Llama in safetensors, written byte by byte as the format says."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

HIDDEN, LAYERS, HEADS, KV_HEADS, INTERMEDIATE, VOCABULARY = 64, 2, 4, 2, 128, 256


def shapes(hidden: int = HIDDEN, layers: int = LAYERS) -> dict[str, tuple[int, ...]]:
    head = hidden // HEADS
    tensors: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCABULARY, hidden)}
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        tensors |= {
            f"{prefix}.self_attn.q_proj.weight": (hidden, hidden),
            f"{prefix}.self_attn.k_proj.weight": (KV_HEADS * head, hidden),
            f"{prefix}.self_attn.v_proj.weight": (KV_HEADS * head, hidden),
            f"{prefix}.self_attn.o_proj.weight": (hidden, hidden),
            f"{prefix}.mlp.gate_proj.weight": (INTERMEDIATE, hidden),
            f"{prefix}.mlp.up_proj.weight": (INTERMEDIATE, hidden),
            f"{prefix}.mlp.down_proj.weight": (hidden, INTERMEDIATE),
            f"{prefix}.input_layernorm.weight": (hidden,),
            f"{prefix}.post_attention_layernorm.weight": (hidden,),
        }
    return tensors | {"model.norm.weight": (hidden,)}


def write_llama(
    folder: Path, *, dtype: str = "BF16", seed: int = 0, hidden: int = HIDDEN, layers: int = LAYERS
) -> Path:
    """Write config.json and model.safetensors of a tied Llama with random weights; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    width = {"BF16": 2, "F32": 4}[dtype]
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    body, offset = bytearray(), 0
    for name, shape in shapes(hidden, layers).items():
        values = random.normal(0, 0.02, size=shape).astype(np.float32)
        raw = values.tobytes() if width == 4 else (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(raw)]}
        body += raw
        offset += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": {"BF16": "bfloat16", "F32": "float32"}[dtype],
        "hidden_size": hidden,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": hidden // HEADS,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    return folder


def parameters(hidden: int = HIDDEN, layers: int = LAYERS) -> int:
    return sum(int(np.prod(shape)) for shape in shapes(hidden, layers).values())
