"""A GGUF file as a transformers model: the values of its blocks, widened to 32 bits, in the architecture it names.

The widened model computes what the file says with transformers' arithmetic. It serves for evaluation; its speed and
memory say nothing about llama.cpp, which multiplies the blocks as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from planner.artifacts.gguf_facts import gguf_config
from planner.artifacts.headers.gguf import read_gguf
from planner.errors import InvalidFile
from worker.engines.formats.gguf_contents import ROPE_FACTORS, GgufContents, gguf_files, read_contents
from worker.engines.formats.gguf_layout import Layout, Names, layout_named, rotary_heads, separate
from worker.measure.weights import STORED_WEIGHTS

if TYPE_CHECKING:
    import torch

GGUF_KIND: Final = "gguf_kind"
"""Attribute of a linear layer of a model that came from a GGUF file: the stored type of its weight."""

_FILE: Final = "GGUF"


def load_gguf(directory: Path, *, device: torch.device, dtype: str | None = None) -> Any:
    """Return the model in the folder's GGUF file, in 32 bits unless `dtype` names another, in evaluation mode.

    Raises InvalidFile for a file that cannot be understood, lacks a weight, or holds one too many or of the wrong shape.
    """
    return assemble(read_contents(gguf_files(directory)), device=device, dtype=dtype)


def gguf_configuration(directory: Path) -> dict[str, Any]:
    """Return what the folder's GGUF file says of its architecture, in the words of a `config.json`. Raises InvalidFile."""
    path = gguf_files(directory)[0]
    header = read_gguf(path, path.name)
    config = gguf_config(header, frozenset(tensor.name for tensor in header.tensors), path.name)
    if config is None:
        raise InvalidFile(path.name, "", "has layers that differ in shape", allowed="layers of one shape")
    return {**config, "quantization_config": {"quant_method": "gguf"}}


def assemble(contents: GgufContents, *, device: torch.device, dtype: str | None = None) -> Any:
    """Return the model that the contents describe; raises as `load_gguf` does."""
    import torch
    from transformers import AutoModelForCausalLM

    layout = layout_named(contents.metadata.get("general.architecture"))
    config = _config(contents, layout)
    number = getattr(torch, dtype or "float32")
    options: dict[str, Any] = {} if device.type == "cpu" else {"device_map": {"": str(device)}}
    with torch.device("meta"):
        empty: Any = AutoModelForCausalLM.from_config(config)
    expected = {name: tuple(weight.shape) for name, weight in empty.named_parameters()}
    model, report = type(empty).from_pretrained(
        None,
        config=config,
        state_dict=_state(contents, layout, config, expected),
        dtype=number,
        output_loading_info=True,
        **options,
    )
    problems = {key: sorted(map(str, names)) for key, names in report.items() if names}
    if problems:
        raise InvalidFile(_FILE, "tensors", f"do not make the model: {problems}"[:300])
    _scale_rotation(model, contents)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            setattr(
                module, GGUF_KIND, _kind(contents, Names(layout, config.num_hidden_layers)(f"{name}.weight"))
            )
    setattr(model, STORED_WEIGHTS, contents.weights())
    return model.eval()


def _kind(contents: GgufContents, name: str) -> str:
    """Return the stored type of a linear layer; a head without a tensor of its own uses the embedding's."""
    tensor = contents.tensors.get(name) or contents.tensors["token_embd.weight"]
    kind: str = tensor.kind.name.lower()
    return kind


def _config(contents: GgufContents, layout: Layout) -> Any:
    """Return the transformers configuration that the metadata describes. Raises InvalidFile naming the key."""
    from transformers import AutoConfig

    def number(key: str, default: float | None = None) -> Any:
        value = contents.metadata.get(f"{layout.name}.{key}", default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidFile(_FILE, f"{layout.name}.{key}", f"is {value!r:.40}", allowed="a number")
        if not 0 <= value < 2**53:
            raise InvalidFile(_FILE, f"{layout.name}.{key}", f"{value} is out of range")
        return value

    layers, heads = number("block_count"), number("attention.head_count")
    if not 1 <= layers <= len(contents.tensors) or not 1 <= heads <= number("embedding_length"):
        raise InvalidFile(_FILE, f"{layout.name}.block_count", "or head count does not fit the tensors")
    names = contents.tensors
    biased = "blk.0.attn_q.bias" in names
    options: dict[str, Any] = {
        "hidden_size": number("embedding_length"),
        "intermediate_size": number("feed_forward_length"),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": number("attention.head_count_kv", heads),
        "head_dim": number("attention.key_length", number("embedding_length") // heads),
        "rms_norm_eps": number("attention.layer_norm_rms_epsilon"),
        "max_position_embeddings": number("context_length"),
        "vocab_size": names["token_embd.weight"].shape[0] if "token_embd.weight" in names else 0,
        "tie_word_embeddings": "output.weight" not in names,
        "rope_parameters": _rope(contents, layout, number),
    }
    if layout.name == "llama":
        options |= {"attention_bias": biased, "mlp_bias": "blk.0.ffn_up.bias" in names}
    for token in ("bos", "eos"):
        options[f"{token}_token_id"] = contents.metadata.get(f"tokenizer.ggml.{token}_token_id")
    config = AutoConfig.for_model(layout.name, **options)
    config.architectures = None
    return config


def _rope(contents: GgufContents, layout: Layout, number: Any) -> dict[str, Any]:
    rope: dict[str, Any] = {"rope_theta": float(number("rope.freq_base", 10_000.0)), "rope_type": "default"}
    kind = contents.metadata.get(f"{layout.name}.rope.scaling.type", "none")
    if kind == "none":
        return rope
    if kind not in {"linear", "yarn"}:
        raise InvalidFile(
            _FILE,
            f"{layout.name}.rope.scaling.type",
            f"{str(kind)[:40]!r} cannot be loaded here",
            allowed="none, linear, yarn",
        )
    rope |= {"rope_type": kind, "factor": float(number("rope.scaling.factor"))}
    if kind == "yarn":
        rope["original_max_position_embeddings"] = number("rope.scaling.original_context_length")
        for key, field in (("yarn_beta_fast", "beta_fast"), ("yarn_beta_slow", "beta_slow")):
            if f"{layout.name}.rope.scaling.{key}" in contents.metadata:
                rope[field] = float(number(f"rope.scaling.{key}"))
    return rope


def _state(
    contents: GgufContents, layout: Layout, config: Any, expected: dict[str, tuple[int, ...]]
) -> dict[str, torch.Tensor]:
    """Return the widened weights by transformers' names."""
    import torch

    names = Names(layout, config.num_hidden_layers)
    left = dict(contents.tensors)
    left.pop(ROPE_FACTORS, None)
    state: dict[str, torch.Tensor] = {}
    for name, shape in expected.items():
        stored = names(name)
        tensor = left.pop(stored, None)
        if tensor is None:
            raise InvalidFile(_FILE, "tensors", f"lack `{stored}`")
        if tensor.shape != shape:
            raise InvalidFile(
                _FILE, f"tensor {stored!r}", f"has the shape {list(tensor.shape)}", allowed=str(list(shape))
            )
        values = tensor.values()
        heads = rotary_heads(name, config.num_attention_heads, config.num_key_value_heads)
        if layout.interleaved and heads is not None:
            values = separate(values, heads)
        state[name] = torch.from_numpy(np.array(values, order="C"))
    if left:
        raise InvalidFile(_FILE, "tensors", f"hold `{min(left)[:200]}`, which the architecture does not have")
    return state


def _scale_rotation(model: Any, contents: GgufContents) -> None:
    """Divide the rotary frequencies by the file's factors, as llama.cpp does."""
    import torch

    tensor = contents.tensors.get(ROPE_FACTORS)
    if tensor is None:
        return
    rotary = model.get_decoder().rotary_emb
    factors = torch.from_numpy(np.array(tensor.values())).to(rotary.inv_freq.device)
    if factors.shape != rotary.inv_freq.shape or not bool((factors > 0).all()):
        raise InvalidFile(_FILE, f"tensor {ROPE_FACTORS!r}", "does not fit the width of a head")
    rotary.inv_freq = rotary.inv_freq / factors
    rotary.original_inv_freq = rotary.inv_freq.clone()
