"""Nearest names: what an unknown name was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

CANDIDATES: Final = 1_000
"""How many names are compared at most, so that a wrong name costs milliseconds in any registry."""
_SHOWN: Final = 3
_LONGEST: Final = 100


def nearest(name: str, candidates: Iterable[str]) -> tuple[str, ...]:
    """Return up to three of `candidates` that look like `name`, best first."""
    by_key = {candidate.casefold(): candidate for candidate in candidates}
    found = get_close_matches(name.casefold()[:_LONGEST], list(by_key), n=_SHOWN, cutoff=0.5)
    return tuple(by_key[key] for key in found)


def shortened(name: str) -> str:
    """Return `name` short enough to be repeated in a message."""
    return name if len(name) <= _LONGEST else name[:_LONGEST] + "…"
