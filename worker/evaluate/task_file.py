"""Task files: multiple choice and generation from JSON Lines, identified by their sha256.

The first line says what the task is, every other line is one item (`docs/evaluation.md`). Whatever is not understood is
refused with its line, because a silently skipped item would be a different task.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from planner.errors import InvalidFile, InvalidInput

MAX_BYTES: Final = 2**30
MAX_TOKENS: Final = 32_768
MAX_PATTERN: Final = 1000
Match = Literal["exact", "contains", "numeric", "regex"]


class ChoiceHeader(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="choice", tag_field="kind"
):
    """Multiple choice: the model "answers" with the choice it holds most likely."""

    task: str


class GenerationHeader(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="generation", tag_field="kind"
):
    """Generation: the model continues the prompt, greedily, and what it wrote is matched with reference answers."""

    task: str
    match: Match = "exact"
    max_tokens: int = 64
    stop: tuple[str, ...] = ()
    ignore_case: bool = False


class ChoiceItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A context, what may follow it, and the index (from 0) of what does."""

    context: str
    choices: tuple[str, ...]
    answer: int
    id: str | int | None = None


class GenerationItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A prompt and the answers that count as right: texts, numbers or patterns, as the task's `match` says."""

    prompt: str
    answers: tuple[str, ...]
    id: str | int | None = None


@dataclass(frozen=True)
class ChoiceTask:
    """A multiple-choice task with its items by id."""

    header: ChoiceHeader
    items: tuple[tuple[str, ChoiceItem], ...]
    name: str
    digest: str

    @property
    def chance(self) -> float:
        """Score of guessing."""
        return math.fsum(1 / len(item.choices) for _, item in self.items) / len(self.items)


@dataclass(frozen=True)
class GenerationTask:
    """A generation task with its items by id."""

    header: GenerationHeader
    items: tuple[tuple[str, GenerationItem], ...]
    name: str
    digest: str


Task = ChoiceTask | GenerationTask
ItemT = TypeVar("ItemT", ChoiceItem, GenerationItem)


def read_task(path: Path, *, limit: int | None = None) -> Task:
    """Return the task in a file, with its first `limit` items.

    Raises InvalidInput when the file cannot be read or is over 1 GiB, InvalidFile naming the line that is wrong.
    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise InvalidInput(
            "task", f"`{path}` cannot be read: {error.strerror}", allowed="a task file"
        ) from error
    if size > MAX_BYTES:
        raise InvalidInput("task", f"`{path.name}` has {size} bytes", allowed="at most 1 GiB")
    return parse_task(content, file=path.name, limit=limit)


def parse_task(content: bytes, *, file: str, limit: int | None = None) -> Task:
    """Return the task in the bytes of a file called `file`. Raises InvalidInput, and InvalidFile naming the line."""
    if limit is not None and limit < 1:
        raise InvalidInput("limit", f"{limit} is out of range", allowed="1 or more")
    lines = [(number, line) for number, line in enumerate(content.split(b"\n"), start=1) if line.strip()]
    if not lines:
        raise InvalidFile(file, "", "is empty", allowed="a line that names the task, and one line per item")
    header = _header(*lines[0], file)
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    if isinstance(header, ChoiceHeader):
        choices = _items(lines[1:], ChoiceItem, file, _check_choice)
        return ChoiceTask(header, choices[:limit], _name(header.task, len(choices), limit), digest)
    generated = _items(lines[1:], GenerationItem, file, partial(_check_generation, header))
    return GenerationTask(header, generated[:limit], _name(header.task, len(generated), limit), digest)


def _name(task: str, items: int, limit: int | None) -> str:
    return task if limit is None or limit >= items else f"{task}[:{limit}]"


def _header(number: int, line: bytes, file: str) -> ChoiceHeader | GenerationHeader:
    allowed = '{"task": "name", "kind": "choice"} or {"task": "name", "kind": "generation", …}'
    try:
        header = msgspec.json.decode(line, type=ChoiceHeader | GenerationHeader)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidFile(file, f"line {number}", f"is no header: {error}", allowed=allowed) from error
    if not header.task.strip() or len(header.task) > 200:
        raise InvalidFile(file, f"line {number}: task", "is no name", allowed="1 to 200 characters")
    if isinstance(header, GenerationHeader):
        if not 1 <= header.max_tokens <= MAX_TOKENS:
            raise InvalidFile(
                file,
                f"line {number}: max_tokens",
                f"{header.max_tokens} is out of range",
                allowed=f"1 to {MAX_TOKENS}",
            )
        if not all(header.stop):
            raise InvalidFile(file, f"line {number}: stop", "holds an empty text", allowed="texts")
    return header


def _items(
    lines: list[tuple[int, bytes]], kind: type[ItemT], file: str, check: Callable[[ItemT], str | None]
) -> tuple[tuple[str, ItemT], ...]:
    decoder = msgspec.json.Decoder(kind)
    found: dict[str, ItemT] = {}
    for number, line in lines:
        try:
            item = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidFile(file, f"line {number}", str(error), allowed=_EXAMPLE[kind]) from error
        problem = check(item)
        if problem is not None:
            raise InvalidFile(file, f"line {number}", problem, allowed=_EXAMPLE[kind])
        identifier = str(number if item.id is None else item.id)
        if identifier in found:
            raise InvalidFile(
                file, f"line {number}: id", f"`{identifier[:80]}` occurs twice", allowed="ids that differ"
            )
        found[identifier] = item
    if not found:
        raise InvalidFile(file, "", "holds no items", allowed="one line per item after the first")
    return tuple(found.items())


_EXAMPLE: Final[dict[type, str]] = {
    ChoiceItem: '{"context": "…", "choices": ["…", "…"], "answer": 0}',
    GenerationItem: '{"prompt": "…", "answers": ["…"]}',
}


def _check_choice(item: ChoiceItem) -> str | None:
    if not item.context:
        return "has no context: the first token of a text cannot be scored"
    if len(item.choices) < 2 or not all(item.choices):
        return f"has {len(item.choices)} choices, or an empty one"
    if len(set(item.choices)) != len(item.choices):
        return "has the same choice twice"
    if not 0 <= item.answer < len(item.choices):
        return f"`answer` {item.answer} is not the index of one of {len(item.choices)} choices"
    return None


def _check_generation(header: GenerationHeader, item: GenerationItem) -> str | None:
    if not item.prompt:
        return "has no prompt"
    if not item.answers or not all(item.answers):
        return "has no answers, or an empty one"
    for answer in item.answers:
        if header.match == "numeric" and last_number(answer) is None:
            return f"answer `{answer[:80]}` holds no number"
        if header.match == "regex":
            if len(answer) > MAX_PATTERN:
                return f"has a pattern of {len(answer)} characters; at most {MAX_PATTERN} are taken"
            try:
                re.compile(answer)
            except re.error as error:
                return f"answer `{answer[:80]}` is no pattern: {error}"
    return None


_NUMBER: Final = re.compile(r"[-+]?(?:[0-9][0-9,]*(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


def last_number(text: str) -> float | None:
    """Return the last number written in a text, thousands separated by commas or not; None when there is none."""
    found = _NUMBER.findall(text)
    if not found:
        return None
    value = float(found[-1].replace(",", ""))
    return value if math.isfinite(value) else None


def is_right(header: GenerationHeader, written: str, answers: tuple[str, ...]) -> bool:
    """Return whether what was written matches one of the answers.

    Space around a text never counts. `exact`: the same text; `contains`: an answer occurs in it; `numeric`: the last
    number in it is the last one of an answer, within 1e-6; `regex`: a pattern is found in it.
    """
    text = written.strip()
    if header.match == "regex":
        flags = re.IGNORECASE if header.ignore_case else 0
        return any(re.search(pattern, text, flags) for pattern in answers)
    if header.match == "numeric":
        number = last_number(text)
        wanted = [last_number(answer) for answer in answers]
        return number is not None and any(
            value is not None and math.isclose(number, value, rel_tol=1e-6, abs_tol=1e-9) for value in wanted
        )
    plain = [answer.strip() for answer in answers]
    if header.ignore_case:
        text, plain = text.casefold(), [answer.casefold() for answer in plain]
    return text in plain if header.match == "exact" else any(answer in text for answer in plain)
