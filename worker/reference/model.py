"""The reference model's architecture: a small Llama with grouped-query attention and tied embeddings.

Widths are multiples of 128 so that every quantization scheme of the recipes, group 128 included, divides them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from planner.errors import InvalidInput
from worker.reference.tokenizer import BOS_ID, EOS_ID, PAD_ID


class ModelShape(msgspec.Struct, frozen=True, kw_only=True):
    """The dimensions of a Llama-architecture model; `context` is the longest trained sequence in tokens."""

    vocabulary: int = 4096
    hidden: int = 256
    intermediate: int = 768
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    context: int = 1024

    def validate(self) -> None:
        """Raise InvalidInput for a dimension that is not positive or does not divide as attention needs."""
        for name in self.__struct_fields__:
            if getattr(self, name) < 1:
                raise InvalidInput(name, f"{getattr(self, name)} is not positive", allowed="1 or more")
        if self.hidden % (2 * self.heads):
            raise InvalidInput(
                "heads", f"hidden {self.hidden} does not divide into {self.heads} heads of even width"
            )
        if self.heads % self.kv_heads:
            raise InvalidInput(
                "kv_heads",
                f"{self.heads} heads do not divide into {self.kv_heads} groups",
                allowed="a divisor of heads",
            )

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.hidden // self.heads

    @property
    def parameters(self) -> int:
        """Exact number of parameters; the tied embedding counts once."""
        attention = 2 * self.hidden * self.hidden + 2 * self.hidden * self.kv_heads * self.head_width
        mlp = 3 * self.hidden * self.intermediate
        norms = 2 * self.hidden
        return self.vocabulary * self.hidden + self.layers * (attention + mlp + norms) + self.hidden


def build_model(shape: ModelShape) -> Any:
    """Return a freshly initialised `LlamaForCausalLM` in FP32; the caller seeds torch."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    shape.validate()
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_width,
        max_position_embeddings=shape.context,
        tie_word_embeddings=True,
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
        pad_token_id=PAD_ID,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        bos_token_id=BOS_ID, eos_token_id=EOS_ID, pad_token_id=PAD_ID, do_sample=False
    )
    return model


def save_model(model: Any, directory: Path) -> None:
    """Write the weights in BF16 as one safetensors file beside `config.json` and `generation_config.json`.

    The model itself is left in BF16: a rounded copy is what is evaluated, never the FP32 master weights.
    """
    import torch

    directory.mkdir(parents=True, exist_ok=True)
    model.to(dtype=torch.bfloat16).save_pretrained(directory)


def load_model(directory: Path, *, device: str = "cpu", dtype: str = "bfloat16") -> Any:
    """Return the saved model in evaluation mode on the device."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype, local_files_only=True)
    return model.to(device).eval()
