"""The reference model's tokenizer: byte-level BPE, so that any Unicode text survives a round trip.

The pre-tokenizer is the plain GPT-2 one on purpose: transformers, llama.cpp converters and serving runtimes all know
it, and its whitespace rule already makes one token of a line break with its indentation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.errors import InvalidInput

BOS = "<|bos|>"
EOS = "<|eos|>"
PAD = "<|pad|>"
SPECIAL_TOKENS = (BOS, EOS, PAD)
BOS_ID, EOS_ID, PAD_ID = range(3)

SMALLEST_VOCABULARY = 256 + len(SPECIAL_TOKENS)
LARGEST_VOCABULARY = 2**16
ENCODE_BATCH = 256


def train_tokenizer(texts: Iterable[str], *, vocabulary: int) -> Any:
    """Return a `tokenizers.Tokenizer` of at most `vocabulary` tokens; `encode` puts the bos token in front.

    Raises InvalidInput for a vocabulary smaller than the 256 bytes and special tokens or too large for 16 bits.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    if not SMALLEST_VOCABULARY <= vocabulary <= LARGEST_VOCABULARY:
        raise InvalidInput(
            "vocabulary", f"{vocabulary} tokens", allowed=f"{SMALLEST_VOCABULARY} to {LARGEST_VOCABULARY}"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A",
        pair=f"{BOS} $A {BOS} $B",
        special_tokens=[(BOS, BOS_ID)],
    )
    return tokenizer


def save_tokenizer(tokenizer: Any, directory: Path, *, context: int) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` so that `AutoTokenizer.from_pretrained` loads them."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
    config = {
        # the one class name that every transformers release with fast tokenizers knows
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "model_max_length": context,
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def encode_documents(tokenizer: Any, texts: Sequence[str]) -> Iterator[NDArray[np.uint16]]:
    """Yield the tokens of each text between bos and eos, encoded in parallel batch by batch."""
    for start in range(0, len(texts), ENCODE_BATCH):
        for encoding in tokenizer.encode_batch_fast(list(texts[start : start + ENCODE_BATCH])):
            yield np.asarray([*encoding.ids, EOS_ID], dtype=np.uint16)
