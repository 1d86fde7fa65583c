"""From text to clauses: the longest word that can stand at each place, fed to the parser one by one.

The parser's state decides what can stand there, so "4090" is a device where a device may come and a number after
"context". This is why the tokens are not found by the parser generator's own lexer, which neither knows the vocabulary
nor looks at more than the top of the parser's stack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Final

from lark import Token

from planner.choose.language.clauses import Clause
from planner.choose.language.diagnosis import Failure, diagnose
from planner.choose.language.progress import Progress
from planner.choose.language.qualifiers import is_portable, refuse_portable, refuse_qualified
from planner.choose.language.syntax import grammar
from planner.choose.language.text import Source
from planner.choose.language.vocabulary import NameKind, Vocabulary

_FAMILY_FOLLOWS: Final = re.compile(r" ?(?:famil(?:y|ies)(?![a-z0-9])|series(?![a-z0-9])|系列|家族)")


_UNFINISHED: Final = frozenset({"NUMBER", "COUNT_WORD"})
"""Tokens after which a unit is expected, although the grammar lets them end a query."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """One terminal of the grammar with its compiled pattern; `skipped` ones are not fed to the parser."""

    name: str
    pattern: re.Pattern[str]
    order: tuple[int, int]
    skipped: bool


class Order(IntEnum):
    """Which of two equally long readings is taken."""

    PRIORITY = 0
    NAME = 1
    KEYWORD = 2
    TASK = 3
    SKIPPED = 4


@cache
def terminals() -> tuple[Terminal, ...]:
    """Return the terminals of the grammar that have a pattern, in the order of the grammar."""
    parser = grammar()
    skipped = set(parser.ignore_tokens)
    return tuple(
        Terminal(
            name=terminal.name,
            pattern=re.compile(terminal.pattern.to_regexp()),
            order=(
                Order.PRIORITY
                if terminal.priority
                else Order.SKIPPED
                if terminal.name in skipped
                else Order.KEYWORD,
                -terminal.priority,
            ),
            skipped=terminal.name in skipped,
        )
        for terminal in parser.terminals
        if terminal.name == NameKind.TASK.name or terminal.name not in NameKind.__members__
    )


def is_terminal(name: str, text: str) -> bool:
    """Return whether the whole of `text` is one word of the terminal `name`."""
    return any(terminal.name == name and terminal.pattern.fullmatch(text) for terminal in terminals())


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read the text at a place. Of equally long ones, the smaller `order` is preferred."""

    end: int
    order: tuple[int, int]
    terminal: str
    skipped: bool = False
    values: tuple[str, ...] = ()


def readings(text: str, position: int, vocabulary: Vocabulary) -> list[Reading]:
    """Return every way to read `text` at `position`, the longest first."""
    found: list[Reading] = []
    for terminal in terminals():
        match = terminal.pattern.match(text, position)
        if match is not None and match.end() > position:
            found.append(Reading(match.end(), terminal.order, terminal.name, skipped=terminal.skipped))
    for name in vocabulary.matches(text, position):
        family = name.kind is NameKind.FAMILY and _FAMILY_FOLLOWS.match(text, name.end) is not None
        rank = Order.TASK if name.kind is NameKind.TASK else Order.NAME
        order = (rank, -1 if family else name.kind + name.plural)
        found.append(Reading(name.end, order, name.kind.name, values=name.values))
    found.sort(key=lambda reading: (-reading.end, reading.order))
    return found


def read(source: Source, vocabulary: Vocabulary) -> list[Clause]:
    """Return the clauses of a query. Raises InvalidQuery at the first word that is not understood."""
    progress = Progress()
    position, previous = 0, None
    devices: list[Token] = []
    portable: tuple[int, int] | None = None
    while position < len(source.text):
        if source.text[position] == " ":
            position += 1
            continue
        found = readings(source.text, position, vocabulary)
        chosen = next((one for one in found if one.skipped or progress.can_take(one.terminal)), None)
        if chosen is None:
            raise diagnose(source, vocabulary, _failure(progress, position, previous, understood=bool(found)))
        if not chosen.skipped:
            previous = _token(source, position, chosen)
            if previous.type == NameKind.DEVICE.name:
                refuse_qualified(source, position, chosen.end, str(previous.value), vocabulary)
                devices.append(previous)
            progress.take(previous)
        elif is_portable(source.text[position : chosen.end]):
            portable = (position, chosen.end)
        position = chosen.end
    for device in devices if portable else ():
        place = device.start_pos or 0, device.end_pos or 0
        refuse_portable(source, place, str(device.value), portable or place, vocabulary)
    if not progress.can_end():
        raise diagnose(source, vocabulary, _failure(progress, len(source.text), previous, understood=True))
    return progress.end()


def _token(source: Source, start: int, reading: Reading) -> Token:
    text = source.text[start : reading.end]
    if len(reading.values) > 1:
        raise source.error(
            f"`{text}` is the name of more than one {reading.terminal.lower()}",
            start,
            reading.end,
            expected=tuple(f"`{value}`" for value in reading.values[:8]),
        )
    if reading.terminal == "QUOTED":
        text = f'"{source.original_slice(start + 1, reading.end - 1)}"'
    value = reading.values[0] if reading.values else text
    return Token(reading.terminal, value, start_pos=start, end_pos=reading.end)


def _failure(progress: Progress, position: int, previous: Token | None, *, understood: bool) -> Failure:
    return Failure(
        position=position,
        previous=None if previous is None else (previous.start_pos or 0, previous.end_pos or 0),
        wanted=progress.wanted(),
        complete=progress.can_end() and (previous is None or previous.type not in _UNFINISHED),
        understood=understood,
    )
