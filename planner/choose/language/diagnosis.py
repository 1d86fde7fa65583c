"""Errors that help: which word was not understood, what could have stood there, and the nearest word there is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from typing import Final

from planner.choose.language import words
from planner.choose.language.syntax import grammar
from planner.choose.language.text import Source
from planner.choose.language.vocabulary import NameKind, Vocabulary
from planner.errors import InvalidQuery

_WORD: Final = re.compile(r"[a-z0-9_.\-/#]*[a-z0-9_#]|[^\s,;。，；、]")
_JOINED: Final = re.compile(r"[a-z0-9.]")
_DECIMAL_COMMA: Final = re.compile(r"([0-9]+),([0-9]{1,2})(?![0-9])")
_CHINESE: Final = re.compile(r"[\u4e00-\u9fff]+")
_LITERAL: Final = re.compile(r"(?:[a-z0-9]|\\?[ ./_\-]|[\u4e00-\u9fff]){2,}")
_OR: Final = frozenset({"or", "或", "或者"})
_SHORTEST_SUGGESTION: Final = 3
_LONGEST_SUGGESTION: Final = 48
_NEAR: Final = 0.78
"""How alike two spellings must be for a suggestion (2 x matching characters / all characters)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Where reading stopped: the place, the token before it, and the terminals that could have followed."""

    position: int
    previous: tuple[int, int] | None
    wanted: tuple[str, ...]
    complete: bool
    """True when what stands before is a query of its own, so that any clause could have followed."""
    understood: bool
    """True when the word is one of the language that cannot stand here."""


def diagnose(source: Source, vocabulary: Vocabulary, failure: Failure) -> InvalidQuery:
    """Return the error for a word that could not be read, or for a query that ends too early."""
    expected = _expected(failure)
    if failure.position >= len(source.text):
        start, end = failure.previous or (0, 1)
        while start > 0 and _JOINED.match(source.text, start - 1):
            start -= 1
        return source.error(
            f"the query ends after `{source.text[start:end]}`, which needs more",
            start,
            end,
            expected=expected,
        )
    start, end = word_at(source.text, failure.position, failure.previous)
    suggestion = _decimal_point(source.text, failure)
    if not failure.understood:
        wanted = None if failure.complete else failure.wanted
        start, end, suggestion = _suggest(
            source.text, start, end, _candidates(vocabulary, wanted), _device_names(vocabulary)
        )
    word = source.text[start:end]
    if failure.understood and word in _OR:
        problem = f"`{word}` stands between schemes only: ask once per model, device or format"
    elif failure.understood and failure.previous is not None and not failure.complete:
        before = source.text[failure.previous[0] : failure.previous[1]]
        problem = f"`{word}` cannot follow `{before}`"
    elif failure.understood:
        problem = f"`{word}` cannot stand here"
    else:
        problem = f"`{word}` is not understood"
    return source.error(problem, start, end, expected=expected, suggestion=suggestion)


def _decimal_point(text: str, failure: Failure) -> str | None:
    """Return "0.5" where a decimal comma was written: "0,5"."""
    match = _DECIMAL_COMMA.match(text, failure.previous[0]) if failure.previous else None
    return f"{match[1]}.{match[2]}" if match and match.end(1) == failure.position else None


def _expected(failure: Failure) -> tuple[str, ...]:
    if failure.complete:
        return words.CLAUSES
    named = (words.TERMINALS.get(name) for name in sorted(failure.wanted, key=_rank))
    return tuple(dict.fromkeys(name for name in named if name))[:8]


def _rank(terminal: str) -> int:
    order = tuple(words.TERMINALS)
    return order.index(terminal) if terminal in order else len(order)


def word_at(text: str, position: int, previous: tuple[int, int] | None) -> tuple[int, int]:
    """Return the whole word around `position`, with a number that stands directly before it: "24gx"."""
    start = position
    touching = previous is not None and previous[1] == position and text[position].isalnum()
    if previous is not None and touching and text[previous[0] : position].isascii():
        start = previous[0]
    match = _CHINESE.match(text, position) or _WORD.match(text, position)
    return start, match.end() if match else position + 1


def _spaced(name: str) -> str:
    """Return a name with every separator as a space, so that spelling habits do not count as mistakes."""
    return name.replace("-", " ").replace("_", " ")


def nearest(word: str, candidates: Iterable[str]) -> tuple[float, str] | None:
    """Return the candidate most like `word` with its likeness, None when none is near; ties go to the alphabet."""
    matcher = SequenceMatcher(a="", b=_spaced(word), autojunk=False)
    best: tuple[float, str] | None = None
    for candidate in candidates:
        if candidate[:1] != word[:1]:  # a slip seldom hits the first letter: "iphone" is no "phone"
            continue
        matcher.set_seq1(_spaced(candidate))
        floor = max(_NEAR, best[0] if best else 0)
        if matcher.real_quick_ratio() < floor or matcher.quick_ratio() < floor:
            continue
        ratio = matcher.ratio()
        if ratio >= floor and (best is None or ratio > best[0] or candidate < best[1]):
            best = (ratio, candidate)
    return best


def _suggest(
    text: str, start: int, end: int, candidates: tuple[str, ...], devices: frozenset[str]
) -> tuple[int, int, str | None]:
    """Return the nearest spelling for the word, or for it with up to three words after it: "llamma 3.1 8b"."""
    ends = [end]
    for match in re.finditer(r"[^\s,;，；、。]+", text[end : end + _LONGEST_SUGGESTION]):
        if len(ends) == 4 or text[ends[-1] : end + match.start()].strip(" "):
            break
        ends.append(end + match.end())
    best: tuple[float, int, str] | None = None
    for stop in ends:
        phrase = text[start:stop]
        fits = _SHORTEST_SUGGESTION <= len(phrase) <= _LONGEST_SUGGESTION
        found = nearest(phrase, _same_digits(phrase, candidates, devices)) if fits else None
        if found is not None and (best is None or found[0] > best[0]):
            best = (found[0], stop, found[1])
    return (start, end, None) if best is None else (start, best[1], best[2])


def _device_names(vocabulary: Vocabulary) -> frozenset[str]:
    return frozenset(vocabulary.spellings(NameKind.DEVICE))


def _same_digits(phrase: str, candidates: Iterable[str], devices: frozenset[str]) -> Iterator[str]:
    """Yield the candidates without the devices whose digits are not those of the phrase: other digits, other device."""
    digits = re.findall(r"[0-9]", phrase)
    for candidate in candidates:
        if candidate not in devices or re.findall(r"[0-9]", candidate) == digits:
            yield candidate


def _candidates(vocabulary: Vocabulary, wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the words that could stand at the place: all of them where a new clause may start."""
    keywords = literals()
    chosen = keywords if wanted is None else {name: keywords[name] for name in wanted if name in keywords}
    found = [word for terminal in chosen.values() for word in terminal]
    if wanted is None or any(kind.name in wanted for kind in NameKind):
        found += vocabulary.spellings()
    return tuple(dict.fromkeys(found))


@cache
def literals() -> dict[str, tuple[str, ...]]:
    """Return the plain words of each terminal that is not skipped, read from its pattern."""
    parser = grammar()
    return {
        terminal.name: tuple(_plain(terminal.pattern.to_regexp()))
        for terminal in parser.terminals
        if terminal.name not in parser.ignore_tokens
    }


def _plain(pattern: str) -> Iterator[str]:
    without_groups = re.sub(r"\(\?[!=][^()]*(?:\([^()]*\)[^()]*)*\)", "|", pattern)
    for part in re.split(r"[|()]|\?:", without_groups):
        if _LITERAL.fullmatch(part):
            yield part.replace("\\", "")
