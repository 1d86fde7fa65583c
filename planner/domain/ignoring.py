"""Rules of `.gitignore`: which paths a repository does not want (https://git-scm.com/docs/gitignore). Pure.

Patterns come from anybody, so they are matched step by step and not as regular expressions, which some could keep busy.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

import msgspec

MAX_RULES: Final = 1_000
_MAX_RULE: Final = 200
_MANY: Final = "**"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One line: its pattern folder by folder, whether it means only folders, and whether it takes back an earlier one."""

    parts: tuple[str, ...]
    folders_only: bool
    negated: bool


def read_rules(text: str) -> tuple[Rule, ...]:
    """Return the rules in a `.gitignore`; lines beyond the first thousand and overlong ones are left out."""
    rules: list[Rule] = []
    for line in text.split("\n")[:MAX_RULES]:
        rule = line.rstrip("\r").rstrip(" ")
        if not rule or rule.startswith("#") or len(rule) > _MAX_RULE:
            continue
        negated, rule = rule.startswith("!"), rule.removeprefix("!")
        folders_only, rule = rule.endswith("/"), rule.removesuffix("/")
        if not rule:
            continue
        parts = tuple(rule.removeprefix("/").split("/"))
        if "/" not in rule:
            parts = (_MANY, *parts)
        rules.append(Rule(parts=parts, folders_only=folders_only, negated=negated))
    return tuple(rules)


def is_ignored(path: str, rules: Sequence[Rule]) -> bool:
    """Return whether `path`, or a folder that it lies in, is ignored: the last rule that fits decides."""
    names = path.split("/")
    for depth in range(1, len(names) + 1):
        ignored = False
        for rule in rules:
            if not (rule.folders_only and depth == len(names)) and _fits(rule.parts, names[:depth]):
                ignored = not rule.negated
        if ignored:
            return True
    return False


def _fits(parts: Sequence[str], names: Sequence[str]) -> bool:
    """Return whether folder names fit a pattern; `reached` are the numbers of names that its beginning can take up."""
    reached = {0}
    for number, part in enumerate(parts):
        if part == _MANY:
            least = min(reached, default=len(names) + 1) + (number > 0 and number == len(parts) - 1)
            reached = set(range(least, len(names) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(names) and _name_fits(part, names[at])}
        if not reached:
            return False
    return len(names) in reached


def _name_fits(pattern: str, name: str) -> bool:
    r"""Return whether one name fits: `*`, `?`, `[…]`, and `\\` before a character that means itself."""
    pieces = _pieces(pattern)
    at = piece = 0
    star, resume = -1, 0
    while at < len(name):
        if piece < len(pieces) and pieces[piece] == "*":
            star, resume = piece, at
            piece += 1
        elif piece < len(pieces) and _character_fits(pieces[piece], name[at]):
            piece, at = piece + 1, at + 1
        elif star >= 0:
            resume += 1
            piece, at = star + 1, resume
        else:
            return False
    return all(rest == "*" for rest in pieces[piece:])


@lru_cache(maxsize=MAX_RULES)
def _pieces(pattern: str) -> tuple[str, ...]:
    pieces: list[str] = []
    at = 0
    while at < len(pattern):
        end = at + 1
        if pattern[at] == "\\" and end < len(pattern):
            end += 1
        elif pattern[at] == "[" and (closing := pattern.find("]", at + 2)) > 0:
            end = closing + 1
        pieces.append(pattern[at:end])
        at = end
    return tuple(pieces)


def _character_fits(piece: str, character: str) -> bool:
    if len(piece) > 2:
        return fnmatchcase(character, piece.replace("[^", "[!", 1))
    return piece == "?" or piece[-1] == character
