"""Tiny models and tokenizers of every kind that GGUF export knows, for its tests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from worker.recipes.gguf_vocabulary import _LLAMA3, _QWEN2
from worker.reference import evaluation_path, model_path

SHAPE = {
    "vocab_size": 4096,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {"tie_word_embeddings": True}),
    "llama, own head": ("llama", {"tie_word_embeddings": False}),
    "llama, biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, wide heads": ("llama", {"head_dim": 32}),
    "llama, llama3 positions": ("llama", {"rope_parameters": LLAMA3_ROPE}),
    "llama, linear positions": (
        "llama",
        {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5000.0}},
    ),
    "llama, yarn positions": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "yarn",
                "factor": 4.0,
                "rope_theta": 10000.0,
                "original_max_position_embeddings": 64,
            }
        },
    ),
    "mistral": ("mistral", {"sliding_window": None}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {"head_dim": 32}),
}


def write(directory: Path, name: str, **changes: Any) -> Path:
    """A random model in BF16 with the reference tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from worker.engines.loading import quiet_libraries

    quiet_libraries()
    kind, options = MODELS[name]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**SHAPE, **options, **changes}))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.to(torch.bfloat16).save_pretrained(directory)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(model_path() / file, directory / file)
    return directory


def train_tokenizer(kind: str) -> Any:
    """A tokenizer of the kind, trained on the evaluation text."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    if kind == "sentencepiece":
        tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
        )
        tokenizer.decoder = decoders.ByteFallback()
        special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
        alphabet: list[str] = []
    else:
        tokenizer = Tokenizer(models.BPE(ignore_merges=kind == "llama-bpe"))
        level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind in {"gpt-2", "smollm"})
        before: dict[str, list[Any]] = {
            "gpt-2": [],
            "smollm": [pre_tokenizers.Digits(individual_digits=True)],
            "llama-bpe": [pre_tokenizers.Split(Regex(_LLAMA3), "isolated")],
            "smaug-bpe": [pre_tokenizers.Split(Regex(_LLAMA3), "isolated")],
            "qwen2": [pre_tokenizers.Split(Regex(_QWEN2), "isolated")],
        }
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*before[kind], level])
        tokenizer.decoder = decoders.ByteLevel()
        special, alphabet = ["<s>", "</s>"], pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    text = evaluation_path().read_text()
    pieces = [text[start : start + 2000] for start in range(0, 60_000, 2000)]
    if kind == "sentencepiece":  # the trainer makes no merges across words, as SentencePiece does not
        pieces = [word for piece in pieces for word in piece.split()]
    tokenizer.train_from_iterator(pieces, trainer)
    return tokenizer
