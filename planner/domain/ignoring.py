"""Rules of `.gitignore`: which paths a repository does not want (https://git-scm.com/docs/gitignore). Pure."""

from __future__ import annotations

import re
from typing import Final

import msgspec

MAX_RULES: Final = 1_000
_MAX_RULE: Final = 200
_WILD: Final = re.compile(r"\*\*/|/\*\*$|\*+|\?|\[!?[^\]/\\]{1,50}\]|\\.|.", re.DOTALL)


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One line: what it matches, whether only folders, and whether it takes back an earlier one."""

    pattern: str
    folders_only: bool
    negated: bool


def read_rules(text: str) -> tuple[Rule, ...]:
    """Return the rules in a `.gitignore`; lines beyond the first thousand and overlong ones are left out."""
    rules: list[Rule] = []
    for line in text.splitlines()[:MAX_RULES]:
        rule = line.rstrip()
        if not rule or rule.startswith("#") or len(rule) > _MAX_RULE:
            continue
        negated, rule = rule.startswith("!"), rule.removeprefix("!")
        folders_only, rule = rule.endswith("/"), rule.rstrip("/")
        if not rule:
            continue
        anchored = "/" in rule
        pattern = "".join(_translated(piece) for piece in _WILD.findall(rule.lstrip("/")))
        rules.append(
            Rule(
                pattern=pattern if anchored else f"(?:.*/)?{pattern}",
                folders_only=folders_only,
                negated=negated,
            )
        )
    return tuple(rules)


def is_ignored(path: str, rules: tuple[Rule, ...]) -> bool:
    """Return whether `path`, or a folder that it lies in, is ignored: the last rule that fits decides."""
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        ignored = False
        for rule in rules:
            if rule.folders_only and depth == len(parts):
                continue
            if re.fullmatch(rule.pattern, "/".join(parts[:depth])):
                ignored = not rule.negated
        if ignored:
            return True
    return False


def _translated(piece: str) -> str:
    if piece == "**/":
        return "(?:.*/)?"
    if piece == "/**":
        return "/.*"
    if piece.startswith("*"):
        return "[^/]*"
    if piece == "?":
        return "[^/]"
    if len(piece) > 2 and piece[0] == "[":
        inside = piece[1:-1]
        return (
            "["
            + ("^" + re.escape(inside[1:]) if inside.startswith("!") else re.escape(inside)).replace(
                "\\-", "-"
            )
            + "]"
        )
    return re.escape(piece[-1:])
