"""Two small tasks for the reference model, made from the frozen evaluation text: which line comes next, and how it ends.

Like the text, they are frozen: making is a pure function of the documents, and the recorded sha256 of each file says which
task a score belongs to. Every wrong choice is a line of the same indentation from another document, so that its looks give
nothing away.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from planner.errors import IntegrityFailure, InvalidInput, NotFound
from worker.reference import EvaluationDocument, load_documents, resource

NEXT_LINE: Final = "next-line"
FINISH_LINE: Final = "finish-line"
TASKS: Final = (NEXT_LINE, FINISH_LINE)
FOLDER: Final = "task_files"
DIGESTS: Final = "tasks.sha256"

CHOICES: Final = 4
CONTEXT_LINES: Final = 12
MIN_CONTEXT_LINES: Final = 4
PER_DOCUMENT: Final = 4
"""Items of each kind from one document at most, so that no file dominates."""
MIN_LINE: Final = 12
MAX_LINE: Final = 80
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{3,}|[)\]}:]+$")


def task_path(name: str) -> Path:
    """Return the file of a task that ships with the worker, its bytes checked.

    Raises InvalidInput for another name, NotFound when the installation lacks it, IntegrityFailure when it was changed.
    """
    if name not in TASKS:
        raise InvalidInput("task", f"`{name}` does not ship with the worker", allowed=", ".join(TASKS))
    path = resource(f"{FOLDER}/{name}.jsonl")
    expected = _digests().get(path.name)
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if expected is None:
        raise NotFound("digest of the task", name)
    if actual != expected:
        raise IntegrityFailure(
            f"{path.name}: sha256 is {actual}, frozen was {expected}",
            path=path.name,
            expected=expected,
            actual=actual,
        )
    return path


def freeze_tasks(directory: Path) -> dict[str, tuple[int, str]]:
    """Write the task files and `tasks.sha256` into the folder; return items and sha256 of each by name."""
    documents = load_documents()
    contents = {
        NEXT_LINE: _lines({"kind": "choice", "task": NEXT_LINE}, next_lines(documents)),
        FINISH_LINE: _lines(
            {
                "kind": "generation",
                "task": FINISH_LINE,
                "match": "exact",
                "max_tokens": 8,
                "stop": ["\n"],
            },
            line_ends(documents),
        ),
    }
    directory.mkdir(parents=True, exist_ok=True)
    made: dict[str, tuple[int, str]] = {}
    for name, content in contents.items():
        (directory / f"{name}.jsonl").write_bytes(content)
        made[name] = content.count(b"\n") - 1, hashlib.sha256(content).hexdigest()
    (directory / DIGESTS).write_text(
        "".join(f"{digest}  {name}.jsonl\n" for name, (_, digest) in made.items()), encoding="ascii"
    )
    return made


def next_lines(documents: tuple[EvaluationDocument, ...]) -> Iterator[dict[str, Any]]:
    """Yield multiple-choice items: a dozen lines of source, and four lines of which one follows them."""
    by_indent: dict[int, list[tuple[str, str]]] = {}
    for document in documents:
        for line in document.text.split("\n"):
            if _suitable(line):
                by_indent.setdefault(_indent(line), []).append((document.id, line))
    for document in documents:
        lines = document.text.split("\n")
        for at in _places(document, lines):
            others = sorted(
                {line for owner, line in by_indent[_indent(lines[at])] if owner != document.id} - {lines[at]},
                key=lambda line, at=at: _rank(f"{document.id}:{at}:{line}"),  # type: ignore[misc]
            )[: CHOICES - 1]
            if len(others) < CHOICES - 1:
                continue
            answer = int(_rank(f"{document.id}:{at}")[:8], 16) % CHOICES
            choices = [*others[:answer], lines[at], *others[answer:]]
            yield {
                "id": f"{document.id}+{at}",
                "context": _before(lines, at),
                "choices": [choice + "\n" for choice in choices],
                "answer": answer,
            }


def line_ends(documents: tuple[EvaluationDocument, ...]) -> Iterator[dict[str, Any]]:
    """Yield generation items: source that stops in a line before its last word or brackets, and what they are."""
    for document in documents:
        lines = document.text.split("\n")
        for at in _places(document, lines):
            line = lines[at]
            last = list(_WORD.finditer(line))[-1:]
            if not last or last[0].start() < _indent(line) + 8:
                continue
            yield {
                "id": f"{document.id}+{at}",
                "prompt": _before(lines, at) + line[: last[0].start()],
                "answers": [line[last[0].start() :]],
            }


def _places(document: EvaluationDocument, lines: list[str]) -> list[int]:
    """Return the indices of the lines that are asked for, a few per document, chosen by a hash."""
    found = [at for at in range(MIN_CONTEXT_LINES, len(lines)) if _suitable(lines[at])]
    return sorted(sorted(found, key=lambda at: _rank(f"{document.id}/{at}"))[:PER_DOCUMENT])


def _suitable(line: str) -> bool:
    return len(line.strip()) >= MIN_LINE and len(line) <= MAX_LINE and not line.strip().startswith("#")


def _before(lines: list[str], at: int) -> str:
    return "\n".join(lines[max(0, at - CONTEXT_LINES) : at]) + "\n"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _rank(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _lines(header: dict[str, Any], items: Iterator[dict[str, Any]]) -> bytes:
    return b"".join(msgspec.json.encode(line) + b"\n" for line in (header, *items))


def _digests() -> dict[str, str]:
    text = resource(f"{FOLDER}/{DIGESTS}").read_text(encoding="ascii")
    return {name: digest for digest, name in (line.split() for line in text.splitlines())}
