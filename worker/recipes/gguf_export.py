"""Contents of a GGUF file for a model: metadata, tensors by llama.cpp's names, and the type that each is stored in.

One-dimensional tensors stay at 32 bits and linear layers get the type asked for, as llama.cpp's own converter does.
Below 8 bits llama.cpp keeps the output head (the embedding, where it is tied) in Q6_K, because every logit passes
through it; `gguf` cannot write that, so here it is Q8_0, the next finer type. A row that no block divides falls to F16,
as in llama.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType

from planner.artifacts import model_card
from planner.errors import InvalidInput
from worker.engines.formats.gguf_contents import ROPE_FACTORS, GgufContents, GgufTensor
from worker.engines.formats.gguf_layout import Layout, Names, interleave, layout_for, rotary_heads
from worker.recipes.gguf_vocabulary import add_vocabulary

_HEAD: Final = frozenset({"output.weight", "token_embd.weight"})
_SCALINGS: Final = {"linear": gguf.RopeScalingType.LINEAR, "yarn": gguf.RopeScalingType.YARN}


def stored_kind(
    name: str, shape: tuple[int, ...], wanted: GGMLQuantizationType, *, tied: bool
) -> GGMLQuantizationType:
    """Return the type that the tensor `name` (GGUF's name) is stored in when linear layers are to be `wanted`."""
    if len(shape) < 2:
        return GGMLQuantizationType.F32
    block, size = gguf.GGML_QUANT_SIZES[wanted]
    kind = wanted
    is_head = name == ("token_embd.weight" if tied else "output.weight")
    if is_head and size / block < 1.0:
        kind = GGMLQuantizationType.Q8_0
    return GGMLQuantizationType.F16 if shape[-1] % gguf.GGML_QUANT_SIZES[kind][0] else kind


def export(model: Any, base: Path, wanted: GGMLQuantizationType) -> tuple[gguf.GGUFWriter, GgufContents]:
    """Return a filled writer and what it will write, for a model in 32 bits that was loaded from the folder `base`.

    Raises InvalidInput for an architecture, and InvalidFile for a tokenizer, that llama.cpp has no counterpart for.
    """
    config = model.config
    layout = layout_for(config.model_type)
    _require_plain_attention(config)
    writer = gguf.GGUFWriter(None, layout.name)
    tensors = _tensors(model, layout, wanted)
    _add_metadata(writer, config, layout, wanted, base)
    add_vocabulary(writer, base, int(config.vocab_size))
    factors = _rope_factors(config)
    if factors is not None:
        tensors[ROPE_FACTORS] = GgufTensor(
            name=ROPE_FACTORS, kind=GGMLQuantizationType.F32, shape=factors.shape, data=factors.view(np.uint8)
        )
    for tensor in tensors.values():
        writer.add_tensor(
            tensor.name,
            tensor.data.reshape(gguf.quant_shape_to_byte_shape(tensor.shape, tensor.kind)),
            raw_dtype=tensor.kind,
        )
    held = writer.kv_data[0]
    contents = GgufContents(
        metadata={key: entry.value for key, entry in held.items()},
        lengths={key: len(entry.value) for key, entry in held.items() if isinstance(entry.value, list)},
        tensors=tensors,
    )
    return writer, contents


def _require_plain_attention(config: Any) -> None:
    """Raise InvalidInput for attention that these architectures of llama.cpp do not have."""
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    if windowed:
        raise InvalidInput("base", "attends to a sliding window", allowed="full attention in every layer")
    if getattr(config, "hidden_act", "silu") != "silu":
        raise InvalidInput("base", f"has the activation `{config.hidden_act}`", allowed="silu")


def _tensors(model: Any, layout: Layout, wanted: GGMLQuantizationType) -> dict[str, GgufTensor]:
    config = model.config
    names = Names(layout, config.num_hidden_layers)
    tied = bool(config.tie_word_embeddings)
    tensors: dict[str, GgufTensor] = {}
    for name, weight in model.named_parameters():
        stored = names(name)
        values = weight.detach().float().cpu().numpy()
        heads = rotary_heads(name, config.num_attention_heads, config.num_key_value_heads)
        if layout.interleaved and heads is not None:
            values = interleave(values, heads)
        kind = stored_kind(stored, values.shape, wanted, tied=tied)
        data = gguf.quantize(np.ascontiguousarray(values), kind)
        tensors[stored] = GgufTensor(
            name=stored,
            kind=kind,
            shape=tuple(values.shape),
            data=np.ascontiguousarray(data).view(np.uint8).reshape(-1),
        )
    # llama.cpp's order: what comes before the layers, the layers, what comes after. Any order loads.
    return dict(sorted(tensors.items(), key=lambda item: _position(item[0])))


def _position(name: str) -> tuple[int, int, str]:
    if name.startswith("blk."):
        return 1, int(name.split(".")[1]), name
    return (0 if name == "token_embd.weight" else 2), 0, name


def _add_metadata(
    writer: gguf.GGUFWriter, config: Any, layout: Layout, wanted: GGMLQuantizationType, base: Path
) -> None:
    heads = int(config.num_attention_heads)
    width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    writer.add_type("model")
    license_id = _card(base).get("license")
    if license_id:
        writer.add_license(license_id)
    writer.add_block_count(int(config.num_hidden_layers))
    writer.add_context_length(int(config.max_position_embeddings))
    writer.add_embedding_length(int(config.hidden_size))
    writer.add_feed_forward_length(int(config.intermediate_size))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(config.num_key_value_heads))
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_layer_norm_rms_eps(float(config.rms_norm_eps))
    writer.add_vocab_size(int(config.vocab_size))
    if layout.name == "llama":
        writer.add_rope_dimension_count(width)
    _add_rope(writer, config)
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{wanted.name}"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _card(base: Path) -> Mapping[str, str]:
    path = base / "README.md"
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        return model_card.front_matter(file.read(1 << 16))


def _rope(config: Any) -> Mapping[str, Any]:
    rope: Mapping[str, Any] = config.rope_parameters or {}
    return rope


def _add_rope(writer: gguf.GGUFWriter, config: Any) -> None:
    """Write base frequency and scaling. Raises InvalidInput for a scaling that llama.cpp does not have."""
    rope = _rope(config)
    writer.add_rope_freq_base(float(rope.get("rope_theta", 10_000.0)))
    kind = rope.get("rope_type", "default")
    if kind in {"default", "llama3"}:  # llama3's is a tensor of factors
        return
    if kind not in _SCALINGS:
        raise InvalidInput(
            "base", f"scales rotary positions by `{kind}`", allowed="default, linear, yarn, llama3"
        )
    writer.add_rope_scaling_type(_SCALINGS[kind])
    writer.add_rope_scaling_factor(float(rope["factor"]))
    if kind == "yarn":
        original = rope.get("original_max_position_embeddings") or config.max_position_embeddings
        writer.add_rope_scaling_orig_ctx_len(int(original))
        if rope.get("beta_fast") is not None:
            writer.add_rope_scaling_yarn_beta_fast(float(rope["beta_fast"]))
        if rope.get("beta_slow") is not None:
            writer.add_rope_scaling_yarn_beta_slow(float(rope["beta_slow"]))


def _rope_factors(config: Any) -> npt.NDArray[np.float32] | None:
    """Return what Llama 3's scaling divides every rotary frequency by; None without it.

    Wavelengths below original/high stay, those above original/low are stretched by the factor, and between them both are
    blended (transformers, modeling_rope_utils.py, `_compute_llama3_parameters`).
    """
    rope = _rope(config)
    if rope.get("rope_type") != "llama3":
        return None
    width = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    factor, low, high = rope["factor"], rope["low_freq_factor"], rope["high_freq_factor"]
    original = rope["original_max_position_embeddings"]
    frequencies = 1.0 / rope["rope_theta"] ** (np.arange(0, width, 2, dtype=np.float64) / width)
    wavelengths = 2 * math.pi / frequencies
    smooth = (original / wavelengths - low) / (high - low)
    blended = 1 / ((1 - smooth) / factor + smooth)
    factors = np.where(
        wavelengths < original / high, 1.0, np.where(wavelengths > original / low, factor, blended)
    )
    return factors.astype(np.float32)
