"""How names of models, families and devices are compared, so that spelling habits do not matter.

A name is its sequence of runs of letters and of digits: "Llama-3.1-8B", "llama 3.1 8b" and "LLAMA3.1_8B" are all
(llama, 3.1, 8, b). Separators count only where they keep two numbers or two words apart, so "gemma 2 2b" is not
"gemma 22b".
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

RUN: Final = re.compile(r"\d+(?:\.\d+)*|[a-z]+|[^\W\d_]")
"""One run of a folded name: a number with its dots, a word, or one letter of a script without word spaces."""


def fold(text: str) -> str:
    """Return `text` in compatibility form and lower case, the form in which runs are found."""
    return unicodedata.normalize("NFKC", text).lower()


def name_runs(name: str) -> tuple[str, ...]:
    """Return the runs of `name`: ("llama", "3.1", "8", "b") for "Llama-3.1-8B"."""
    return tuple(RUN.findall(fold(name)))


def same_name(one: str, other: str) -> bool:
    """Return whether two names differ only in letter case and separators."""
    return name_runs(one) == name_runs(other)


def is_within_family(family: str, wanted: str) -> bool:
    """Return whether `family` is `wanted` or a branch of it: "Llama-3.1" is within "Llama" and within "Llama 3".

    The runs of `wanted` must begin those of `family`; its last number may be the major version of the family's.
    """
    have, want = name_runs(family), name_runs(wanted)
    if not want or len(have) < len(want) or have[: len(want) - 1] != want[:-1]:
        return False
    last, asked = have[len(want) - 1], want[-1]
    return last == asked or (asked.isdecimal() and last.startswith(f"{asked}."))
