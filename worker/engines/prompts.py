"""Prompts as text with a known number of tokens, for servers that take no token ids.

Random ids decoded to text do not come back as the same ids: pieces join. So prompts are made of tokens that stand for one
word each, which a tokenizer that splits at spaces gives back one by one; what still differs is cut or filled up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from planner.errors import InvalidInput

_TRIED: Final = 20_000
_WANTED: Final = 4000
_LEAST: Final = 16
_ROUNDS: Final = 12


class TextPrompts:
    """Makes texts of a wished length with one tokenizer. Raises InvalidInput for one without single-word tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._words = self._single_words()
        if len(self._words) < _LEAST:
            raise InvalidInput(
                "variant",
                f"its tokenizer has {len(self._words)} tokens that stand for a word",
                allowed=f"at least {_LEAST}, or a server that takes token ids",
            )

    def text(self, ids: Sequence[int]) -> tuple[str, int]:
        """Return a text drawn by `ids` with as many tokens as there are ids, and how many it really has."""
        words = [self._words[number % len(self._words)] for number in ids]
        wanted = len(words)
        best: tuple[str, int] | None = None
        for round_ in range(_ROUNDS):
            text = "".join(words).lstrip()
            count = self.count(text)
            if best is None or abs(count - wanted) < abs(best[1] - wanted):
                best = (text, count)
            if count == wanted:
                break
            words = (
                words[: wanted - count]
                if count > wanted
                else [
                    *words,
                    *(self._words[(round_ + number) % len(self._words)] for number in range(wanted - count)),
                ]
            )
        assert best is not None
        return best

    def count(self, text: str) -> int:
        """Return how many tokens the text has, without those that a server adds."""
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def _single_words(self) -> list[str]:
        size = len(self._tokenizer)
        order = np.random.default_rng(0).permutation(size)[:_TRIED]
        found: list[str] = []
        for number in order.tolist():
            text = self._tokenizer.decode([number])
            if text[:1] == " " and text[1:].isascii() and text[1:].isalpha():
                if self._tokenizer.encode(text, add_special_tokens=False) == [number]:
                    found.append(text)
                if len(found) >= _WANTED:
                    break
        return found
