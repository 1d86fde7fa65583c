"""Writers of small variants for tests: a safetensors writer, and a tiny Llama laid out as each method lays it out."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from planner.artifacts.headers.safetensors import DTYPE_BITS
from planner.domain.variant import Artifact

Tensor = tuple[str, tuple[int, ...]] | tuple[str, tuple[int, ...], bytes]
Tensors = dict[str, Tensor]

HIDDEN, INTERMEDIATE, LAYERS, HEADS, KV_HEADS, VOCAB = 128, 256, 2, 4, 2, 320
PARAMETERS = 377_472
"""Of the tiny Llama with separate head, as `sum(p.numel() for p in model.parameters())` says."""
LINEAR = 2 * (2 * 128 * 128 + 2 * 64 * 128 + 3 * 128 * 256)

LINEAR_SHAPES = {
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (HIDDEN // 2, HIDDEN),
    "self_attn.v_proj": (HIDDEN // 2, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (INTERMEDIATE, HIDDEN),
    "mlp.up_proj": (INTERMEDIATE, HIDDEN),
    "mlp.down_proj": (HIDDEN, INTERMEDIATE),
}


def nbytes(dtype: str, shape: Iterable[int]) -> int:
    return math.prod(shape) * DTYPE_BITS[dtype] // 8


def safetensors_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """Lay tensors out as the reference writer does: header padded with spaces to a multiple of 8."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    data = b""
    for name, tensor in tensors.items():
        dtype, shape = tensor[0], tensor[1]
        content = tensor[2] if len(tensor) == 3 else bytes(nbytes(dtype, shape))
        header[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [len(data), len(data) + len(content)],
        }
        data += content
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def config(quantization: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "vocab_size": VOCAB,
        "max_position_embeddings": 256,
        "tie_word_embeddings": False,
        **changes,
    }
    if quantization is not None:
        document["quantization_config"] = dict(quantization)
    return document


def llama(
    linear: Callable[[str, tuple[int, int]], Tensors], *, dtype: str = "BF16", head: bool = True
) -> Tensors:
    """Return the tensors of the tiny Llama, its projections laid out by `linear(module, (out, in))`."""
    tensors: Tensors = {"model.embed_tokens.weight": (dtype, (VOCAB, HIDDEN))}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        for name, shape in LINEAR_SHAPES.items():
            tensors.update(linear(prefix + name, shape))
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}{norm}.weight"] = (dtype, (HIDDEN,))
    tensors["model.norm.weight"] = (dtype, (HIDDEN,))
    if head:
        tensors["lm_head.weight"] = (dtype, (VOCAB, HIDDEN))
    return tensors


def write(
    folder: Path,
    tensors: Mapping[str, Tensor],
    document: Mapping[str, Any] | None,
    metadata: Mapping[str, str] | None = None,
) -> dict[str, Path]:
    """Write `model.safetensors` and `config.json` and return the files by path."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"model.safetensors": folder / "model.safetensors"}
    files["model.safetensors"].write_bytes(safetensors_bytes(tensors, metadata))
    if document is not None:
        files["config.json"] = folder / "config.json"
        files["config.json"].write_text(json.dumps(document))
    return files


def listed(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def artifact(path: str, data: bytes) -> Artifact:
    return Artifact(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())


# -- how each method lays out a linear layer of (out, in) ----------------------------------------------------------


def plain(module: str, shape: tuple[int, int]) -> Tensors:
    return {f"{module}.weight": ("BF16", shape)}


def gptq(bits: int = 4, group: int = 64) -> Callable[[str, tuple[int, int]], Tensors]:
    def linear(module: str, shape: tuple[int, int]) -> Tensors:
        outputs, inputs = shape
        groups = math.ceil(inputs / group) if group > 0 else 1
        return {
            f"{module}.g_idx": ("I32", (inputs,)),
            f"{module}.qweight": ("I32", (inputs * bits // 32, outputs)),
            f"{module}.qzeros": ("I32", (groups, outputs * bits // 32)),
            f"{module}.scales": ("F16", (groups, outputs)),
        }

    return linear


def awq(group: int = 64) -> Callable[[str, tuple[int, int]], Tensors]:
    def linear(module: str, shape: tuple[int, int]) -> Tensors:
        outputs, inputs = shape
        return {
            f"{module}.qweight": ("I32", (inputs, outputs // 8)),
            f"{module}.qzeros": ("I32", (inputs // group, outputs // 8)),
            f"{module}.scales": ("F16", (inputs // group, outputs)),
        }

    return linear


def bnb_4bit(*, nested: bool = False, kind: str = "nf4") -> Callable[[str, tuple[int, int]], Tensors]:
    def linear(module: str, shape: tuple[int, int]) -> Tensors:
        elements = math.prod(shape)
        state = {"quant_type": kind, "blocksize": 64, "dtype": "bfloat16", "shape": list(shape)}
        tensors: Tensors = {
            f"{module}.weight": ("U8", (elements // 2, 1)),
            f"{module}.weight.absmax": ("U8" if nested else "F32", (elements // 64,)),
            f"{module}.weight.quant_map": ("F32", (16,)),
        }
        if nested:
            state |= {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.01}
            tensors[f"{module}.weight.nested_absmax"] = ("F32", (math.ceil(elements / 64 / 256),))
            tensors[f"{module}.weight.nested_quant_map"] = ("F32", (256,))
        text = json.dumps(state).encode()
        tensors[f"{module}.weight.quant_state.bitsandbytes__{kind}"] = ("U8", (len(text),), text)
        return tensors

    return linear


def bnb_8bit(module: str, shape: tuple[int, int]) -> Tensors:
    return {
        f"{module}.SCB": ("F32", (shape[0],)),
        f"{module}.weight": ("I8", shape),
        f"{module}.weight_format": ("U8", ()),
    }


def compressed_int(bits: int = 4, group: int = 64, *, symmetric: bool = True) -> Callable[..., Tensors]:
    def linear(module: str, shape: tuple[int, int]) -> Tensors:
        outputs, inputs = shape
        tensors: Tensors = {
            f"{module}.weight_packed": ("I32", (outputs, math.ceil(inputs / (32 // bits)))),
            f"{module}.weight_scale": ("BF16", (outputs, inputs // group)),
            f"{module}.weight_shape": ("I64", (2,), struct.pack("<2q", outputs, inputs)),
        }
        if not symmetric:
            tensors[f"{module}.weight_zero_point"] = (
                "I32",
                (math.ceil(outputs / (32 // bits)), inputs // group),
            )
        return tensors

    return linear


def scaled(
    dtype: str, *, scale: str = "BF16", static: bool = False
) -> Callable[[str, tuple[int, int]], Tensors]:
    """compressed-tensors' int8 and float8, and FBGEMM: one scale per output row."""

    def linear(module: str, shape: tuple[int, int]) -> Tensors:
        tensors: Tensors = {
            f"{module}.weight": (dtype, shape),
            f"{module}.weight_scale": (scale, (shape[0], 1)),
        }
        if static:
            tensors[f"{module}.input_scale"] = ("F32", (1,))
        return tensors

    return linear


def fp8_blocks(module: str, shape: tuple[int, int]) -> Tensors:
    blocks = (math.ceil(shape[0] / 128), math.ceil(shape[1] / 128))
    return {f"{module}.weight": ("F8_E4M3", shape), f"{module}.weight_scale_inv": ("F32", blocks)}


def nvfp4(*, modelopt: bool) -> Callable[[str, tuple[int, int]], Tensors]:
    def linear(module: str, shape: tuple[int, int]) -> Tensors:
        outputs, inputs = shape
        scale: Tensors = {f"{module}.weight_scale": ("F8_E4M3", (outputs, inputs // 16))}
        if modelopt:
            return {
                f"{module}.weight": ("U8", (outputs, inputs // 2)),
                f"{module}.weight_scale_2": ("F32", ()),
                f"{module}.input_scale": ("F32", ()),
                **scale,
            }
        return {
            f"{module}.weight_packed": ("U8", (outputs, inputs // 2)),
            f"{module}.weight_global_scale": ("F32", (1,)),
            f"{module}.input_global_scale": ("F32", (1,)),
            **scale,
        }

    return linear


def mxfp4_packed(module: str, shape: tuple[int, int]) -> Tensors:
    outputs, inputs = shape
    return {
        f"{module}.weight_packed": ("U8", (outputs, inputs // 2)),
        f"{module}.weight_scale": ("U8", (outputs, inputs // 32)),
    }


def mxfp8(module: str, shape: tuple[int, int]) -> Tensors:
    return {
        f"{module}.weight": ("F8_E4M3", shape),
        f"{module}.weight_scale": ("U8", (shape[0], shape[1] // 32)),
    }


def quantizer(bits: int, kind: str = "int", **more: Any) -> dict[str, Any]:
    return {"num_bits": bits, "type": kind, "symmetric": True, **more}


def compressed(
    weights: Mapping[str, Any], inputs: Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    group = {
        "targets": ["Linear"],
        "weights": dict(weights),
        "input_activations": inputs,
        "output_activations": None,
    }
    return {
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
        **more,
    }
