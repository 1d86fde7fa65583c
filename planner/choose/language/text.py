"""A query as it is read: normalised, with the way back to what the user typed.

Errors must point into the original text, while full-width signs, capitals and stray white space must not matter. So
each character of the normalised text remembers which original character it came from.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final

from planner.errors import InvalidQuery

MAX_LENGTH: Final = 2000
"""Longest query accepted, in characters."""

_INVISIBLE: Final = frozenset("\u00ad\u200b\u200c\u200d\u2060\ufeff")
"""Zero-width characters that copying from documents leaves behind; they are dropped."""
_REFUSED: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
"""Unicode categories that no word is written with: controls, overrides of direction, surrogates, unassigned."""


@dataclass(frozen=True, slots=True)
class Source:
    """The original query, its normalised form, and for each normalised character the original's index."""

    original: str
    text: str
    origins: tuple[int, ...]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return position and length in the original text of the normalised characters from `start` to `end`."""
        if not self.origins:
            return 0, max(len(self.original), 1)
        if start >= len(self.origins):
            return len(self.original), 1
        first = self.origins[start]
        last = self.origins[min(max(end, start + 1), len(self.origins)) - 1]
        return first, last - first + 1

    def original_slice(self, start: int, end: int) -> str:
        """Return the user's own characters behind the normalised ones from `start` to `end`."""
        position, length = self.span(start, end)
        return self.original[position : position + length]

    def error(
        self,
        problem: str,
        start: int,
        end: int,
        *,
        expected: tuple[str, ...] = (),
        suggestion: str | None = None,
    ) -> InvalidQuery:
        """Return the error that points at the normalised characters from `start` to `end`."""
        position, length = self.span(start, end)
        return InvalidQuery(
            problem,
            query=self.original,
            position=position,
            length=length,
            expected=expected,
            suggestion=suggestion,
        )


def normalise(original: str) -> Source:
    """Return `original` in compatibility form, lower case, with runs of white space as one space.

    Raises InvalidQuery when it is empty, longer than MAX_LENGTH, or holds control characters.
    """
    if len(original) > MAX_LENGTH:
        raise InvalidQuery(
            f"the query has {len(original)} characters, more than {MAX_LENGTH}",
            query=original[:MAX_LENGTH],
            position=MAX_LENGTH,
            length=len(original) - MAX_LENGTH,
            expected=(f"at most {MAX_LENGTH} characters",),
        )
    characters: list[str] = []
    origins: list[int] = []
    for index, character in enumerate(original):
        if character in _INVISIBLE:
            continue
        for piece in _fold(original, index, character):
            if piece != " " or (characters and characters[-1] != " "):
                characters.append(piece)
                origins.append(index)
    if characters and characters[-1] == " ":
        characters.pop()
        origins.pop()
    if not characters:
        raise InvalidQuery(
            "the query is empty",
            query=original,
            position=0,
            length=max(len(original), 1),
            expected=("a question such as `13B on 24GB, ≤1% loss`",),
        )
    return Source(original=original, text="".join(characters), origins=tuple(origins))


def _fold(original: str, index: int, character: str) -> str:
    if "!" <= character <= "~":
        return character.lower()
    if character.isspace():
        return "\n" if character in "\n\r" else " "
    if unicodedata.category(character) in _REFUSED:
        raise InvalidQuery(
            f"character U+{ord(character):04X} cannot be part of a query",
            query=original.encode("utf-8", "replace").decode(),
            position=index,
            expected=("letters, digits and signs",),
        )
    folded = unicodedata.normalize("NFKC", character).lower()
    return "".join(" " if piece.isspace() else piece for piece in folded)
