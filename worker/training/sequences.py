"""Text as sequences of one length: documents packed one after the other, so no step spends time on padding.

A document is followed by the end-of-text token and may continue in the next sequence. The first sequences are held out:
they are never trained on, and losses before and after are taken on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from planner.errors import InvalidInput
from worker.evaluate.dataset import Text
from worker.evaluate.windows import cut_windows

if TYPE_CHECKING:
    import torch

    from worker.evaluate.dataset import Dataset

HELD_OUT: Final = 32
"""Most sequences that are kept from training."""
HELD_OUT_SHARE: Final = 0.2
"""Most of a short text that is kept from training."""
CHARACTERS_PER_TOKEN: Final = 4
"""Roughly, for tokenizers of text and code; it only decides how long a stretch of a document is read."""
_WHOLE: Final = 2**31

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sequences:
    """Token ids, one sequence a row, each one token longer than the model is given: its last is only predicted."""

    train: Ids
    held_out: Ids

    def batches(self, size: int, *, seed: int, device: torch.device) -> Iterator[torch.Tensor]:
        """Yield batches without end: every sequence once a pass, each pass in another order fixed by the seed."""
        import torch

        generator = np.random.default_rng(seed)
        left = np.empty(0, dtype=np.int64)
        while True:
            while len(left) < size:
                left = np.concatenate([left, generator.permutation(len(self.train))])
            picked, left = left[:size], left[size:]
            yield torch.from_numpy(self.train[picked]).to(device)

    def held_out_batches(self, size: int, *, device: torch.device) -> Iterator[torch.Tensor]:
        """Yield the sequences that are never trained on, the last batch as short as it comes."""
        import torch

        for start in range(0, len(self.held_out), size):
            yield torch.from_numpy(self.held_out[start : start + size]).to(device)


def pack(text: Dataset, tokenizer: Any, *, length: int, wanted: int) -> Ids:
    """Return up to `wanted` sequences of `length` + 1 tokens, from as many documents as possible.

    Only as much is read as is needed: a stretch of each document, a longer one only where all together are too short.
    Raises InvalidInput when the text has not even one sequence.
    """
    needed = wanted * (length + 1)
    share = max(length + 1, 2 * needed // max(1, len(text.documents)))
    longest = max((len(document.text) for document in text.documents), default=0)
    stream = _read(text, tokenizer, needed, share=share)
    while len(stream) < needed and share <= longest:
        share *= 2
        stream = _read(text, tokenizer, needed, share=share)
    count = min(wanted, len(stream) // (length + 1))
    if count < 1:
        raise InvalidInput(
            "dataset",
            f"`{text.name}` has {len(stream)} tokens",
            allowed=f"at least one sequence of {length + 1} tokens",
        )
    return stream[: count * (length + 1)].reshape(count, length + 1)


def _read(text: Dataset, tokenizer: Any, needed: int, *, share: int) -> Ids:
    """Return at most `share` tokens of each document, from the line at a fixed random place, until there are enough."""
    characters = share * CHARACTERS_PER_TOKEN
    generator = np.random.default_rng(0)
    end = tokenizer.eos_token_id
    pieces: list[Ids] = [np.empty(0, dtype=np.int64)]
    tokens = 0
    for document in text.documents:
        if tokens >= needed:
            break
        content = document.text
        if len(content) > characters:
            start = int(generator.integers(0, len(content) - characters))
            start = content.rfind("\n", 0, start) + 1
            content = content[start : start + characters]
        windows = cut_windows([Text(id=document.id, text=content)], tokenizer, length=_WHOLE)
        ids = [window.ids[:share] for window in windows]
        if end is not None and ids:
            ids.append(np.asarray([end], dtype=np.int64))
        pieces += ids
        tokens += sum(len(part) for part in ids)
    return np.concatenate(pieces)


def training_sequences(text: Dataset, tokenizer: Any, *, length: int, wanted: int) -> Sequences:
    """Return `wanted` sequences to train on, or as many as the text has, and those held out from its beginning.

    Raises InvalidInput when the text has fewer than two sequences.
    """
    packed = pack(text, tokenizer, length=length, wanted=wanted + HELD_OUT)
    if len(packed) < 2:
        raise InvalidInput(
            "dataset",
            f"`{text.name}` has one sequence of {length + 1} tokens only",
            allowed="two or more: one is held out",
        )
    held_out = min(HELD_OUT, max(1, int(len(packed) * HELD_OUT_SHARE)))
    return Sequences(train=packed[held_out:], held_out=packed[:held_out])
