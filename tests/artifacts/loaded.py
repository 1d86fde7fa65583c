"""Real writers for tests and benchmarks: tiny Llamas through transformers and torchao, and what loaded ones hold."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SIZES = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 320,
    "max_position_embeddings": 256,
}


def save_llama(
    folder: Path,
    *,
    dtype: str = "bfloat16",
    tied: bool = False,
    sizes: Mapping[str, int] = SIZES,
    shard_size: str = "10GB",
) -> Path:
    """Save a random Llama the way `save_pretrained` does and return its folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**sizes, tie_word_embeddings=tied))
    model.to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size=shard_size)
    return folder


def recipes() -> dict[str, Any]:
    """Return torchao recipes that run on any CPU."""
    import torch
    from torchao.quantization import (
        Float8WeightOnlyConfig,
        FqnToConfig,
        Int8DynamicActivationInt8WeightConfig,
        Int8DynamicActivationIntxWeightConfig,
        Int8WeightOnlyConfig,
        IntxWeightOnlyConfig,
        PerGroup,
    )

    int4: Any = vars(torch)["int4"]  # absent from the stubs
    intx4 = IntxWeightOnlyConfig(weight_dtype=int4, granularity=PerGroup(32))
    return {
        "int8 weight-only": Int8WeightOnlyConfig(),
        "int8 weight-only, groups of 64": Int8WeightOnlyConfig(granularity=PerGroup(64)),
        "int8 dynamic": Int8DynamicActivationInt8WeightConfig(),
        "intx4, groups of 32": intx4,
        "int8 dynamic x intx4": Int8DynamicActivationIntxWeightConfig(
            weight_dtype=int4, weight_granularity=PerGroup(32)
        ),
        "fp8 weight-only": Float8WeightOnlyConfig(),
        "mix of int8 and intx4": FqnToConfig(
            {"re:.*mlp.*": intx4, "re:.*self_attn.*": Int8WeightOnlyConfig()}
        ),
    }


def quantize(plain: Path, folder: Path, recipe: Any, *, shard_size: str = "10GB") -> Path:
    """Load `plain` through a torchao recipe, save the result and return its folder."""
    from transformers import AutoModelForCausalLM, TorchAoConfig

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch and torchao warn about their own internals
        model = AutoModelForCausalLM.from_pretrained(plain, quantization_config=TorchAoConfig(recipe))
        model.save_pretrained(folder, max_shard_size=shard_size)
    return folder


def load(folder: Path) -> Any:
    """Load a saved model in the types it was saved in."""
    from transformers import AutoModelForCausalLM

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AutoModelForCausalLM.from_pretrained(folder, dtype="auto")


def _storages(tensor: Any) -> Iterator[tuple[int, int]]:
    """Yield address and bytes of every plain tensor inside `tensor`, which may be a subclass around others."""
    if hasattr(tensor, "__tensor_flatten__"):
        for name in tensor.__tensor_flatten__()[0]:
            yield from _storages(getattr(tensor, name))
    else:
        yield tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes()


def held_bytes(model: Any, *, buffers: bool) -> int:
    """Return the bytes a loaded model's parameters (and buffers) occupy; shared storage counts once."""
    tensors = [*model.parameters(), *(model.buffers() if buffers else ())]
    storages: dict[int, int] = {}
    for tensor in tensors:
        storages.update(_storages(tensor))
    return sum(storages.values())
