"""Makes the fixed evaluation text: a frozen snapshot of this project's own Python source.

The project's source is never in the training corpus (`corpus.find_sources` leaves it out), it may be published with
the project, and it is what the model claims to have learnt: Python. Freezing is a pure function of the files, so the
same tree gives the same bytes; the recorded sha256 tells a reader which text a perplexity belongs to.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from planner.errors import InvalidInput
from worker.reference import EvaluationDocument

SOURCE_FOLDERS = ("planner", "worker", "migrations", "tests")
SOURCE_FILES = ("hatch_build.py",)
MIN_CHARACTERS = 900
TARGET_CHARACTERS = 1200
MAX_CHARACTERS = 2200
DEFAULT_DOCUMENTS = 96
MIN_DOCUMENTS = 64

_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")


def freeze(root: Path, directory: Path, *, documents: int = DEFAULT_DOCUMENTS) -> tuple[int, int, str]:
    """Write `evaluation.jsonl` and `evaluation.sha256` into the directory from the project tree at `root`.

    Returns documents, bytes and sha256. Raises InvalidInput when the tree has too little source for 64 documents.
    """
    chosen = choose(root, documents)
    content = b"".join(msgspec.json.encode(document) + b"\n" for document in chosen)
    digest = hashlib.sha256(content).hexdigest()
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "evaluation.jsonl").write_bytes(content)
    (directory / "evaluation.sha256").write_text(f"{digest}  evaluation.jsonl\n", encoding="ascii")
    return len(chosen), len(content), digest


def choose(root: Path, documents: int) -> list[EvaluationDocument]:
    """Return pieces of the tree's source in an order fixed by their ids, taking from each file in turn.

    Every prefix of the result is therefore a varied sample: no file gives a second piece before each has given one.
    """
    if documents < MIN_DOCUMENTS:
        raise InvalidInput("documents", f"{documents} documents", allowed=f"{MIN_DOCUMENTS} or more")
    ranked: list[tuple[int, str, EvaluationDocument]] = []
    for path in _sources(root):
        name = path.relative_to(root).as_posix()
        pieces = [
            EvaluationDocument(id=f"{name}:{line}", text=text)
            for line, text in split_source(path.read_text(encoding="utf-8"))
        ]
        pieces.sort(key=lambda piece: _rank(piece.id))
        ranked.extend((turn, _rank(piece.id), piece) for turn, piece in enumerate(pieces))
    if len(ranked) < MIN_DOCUMENTS:
        raise InvalidInput(
            "root",
            f"`{root}` gives {len(ranked)} documents",
            allowed=f"a project tree that gives {MIN_DOCUMENTS}",
        )
    ranked.sort(key=lambda entry: entry[:2])
    return [piece for _, _, piece in ranked[:documents]]


def split_source(text: str) -> Iterator[tuple[int, str]]:
    """Yield pieces of a source file with their first line's number, cut at top-level definitions.

    A definition that is too long alone is cut at blank lines; what is still too long, or too short, is left out.
    """
    piece: list[str] = []
    size, first = 0, 1
    for line, paragraph in _paragraphs(text):
        top_level = not paragraph[0].isspace()
        if piece and (size + len(paragraph) > MAX_CHARACTERS or (top_level and size >= TARGET_CHARACTERS)):
            if MIN_CHARACTERS <= size <= MAX_CHARACTERS:
                yield first, "".join(piece).strip("\n") + "\n"
            piece, size = [], 0
        if not piece:
            first = line
        piece.append(paragraph)
        size += len(paragraph)
    if MIN_CHARACTERS <= size <= MAX_CHARACTERS:
        yield first, "".join(piece).strip("\n") + "\n"


def _paragraphs(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for gap in [*_BLANK_LINES.finditer(text), None]:
        end = gap.end() if gap else len(text)
        if text[start:end].strip():
            yield text.count("\n", 0, start) + 1, text[start:end]
        start = end


def _sources(root: Path) -> list[Path]:
    found = [path for folder in SOURCE_FOLDERS for path in (root / folder).rglob("*.py") if path.is_file()]
    found += [root / name for name in SOURCE_FILES if (root / name).is_file()]
    return sorted(found)


def _rank(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
