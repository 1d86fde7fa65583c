"""Data sets: any text or JSON Lines file, identified by its sha256. A document is the unit that is sampled and paired."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

import msgspec

from planner.errors import InvalidFile, InvalidInput

PIECE_CHARACTERS: Final = 2000
"""A plain text is cut at the first blank line after this many characters."""
MAX_BYTES: Final = 2**30
_BLANK: Final = re.compile(r"\n[ \t]*\n")


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """One document."""

    id: str
    text: str


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """Documents in a fixed order, with the name and the sha256 of the file they come from."""

    name: str
    digest: str
    documents: tuple[Text, ...]

    def first(self, limit: int | None) -> Dataset:
        """Return the data set with its first `limit` documents; the name says so, the digest stays the file's."""
        if limit is None or limit >= len(self.documents):
            return self
        if limit < 1:
            raise InvalidInput("limit", f"{limit} is out of range", allowed="1 or more")
        return msgspec.structs.replace(self, name=f"{self.name}[:{limit}]", documents=self.documents[:limit])


def read_dataset(path: Path, *, name: str | None = None) -> Dataset:
    """Return the documents of a file: `.jsonl` holds objects with `text` and, if wanted, `id`; all else is plain text.

    Raises InvalidInput when there is no such file or it is over 1 GiB, InvalidFile when it is not UTF-8 or a line has no
    text.
    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise InvalidInput(
            "dataset", f"`{path}` cannot be read: {error.strerror}", allowed="a file"
        ) from error
    if size > MAX_BYTES:
        raise InvalidInput("dataset", f"`{path.name}` has {size} bytes", allowed="at most 1 GiB")
    documents = (
        _json_lines(content, path.name) if path.suffix == ".jsonl" else _plain_text(content, path.name)
    )
    if not documents:
        raise InvalidFile(path.name, "", "holds no text")
    return Dataset(
        name=name or path.stem, digest="sha256:" + hashlib.sha256(content).hexdigest(), documents=documents
    )


def reference_dataset() -> Dataset:
    """Return the frozen evaluation text that ships with the reference model."""
    from worker.reference import EVALUATION_NAME, evaluation_digest, load_documents

    return Dataset(
        name=EVALUATION_NAME,
        digest="sha256:" + evaluation_digest(),
        documents=tuple(Text(id=document.id, text=document.text) for document in load_documents()),
    )


def standard_library() -> Dataset:
    """Return the Python standard library's source on this machine: text to calibrate and train on.

    One document a module, in an order fixed by their content. The digest is over all of them, so it tells two machines
    with different Pythons apart; the reference evaluation text has none of it.
    """
    import sysconfig

    from worker.reference.corpus import read_corpus

    documents = read_corpus([Path(sysconfig.get_paths()["stdlib"])])
    ordered = sorted(documents, key=lambda document: document.digest)
    digest = hashlib.sha256("\n".join(document.digest for document in ordered).encode()).hexdigest()
    return Dataset(
        name="standard-library",
        digest="sha256:" + digest,
        documents=tuple(Text(id=document.digest[:16], text=document.text) for document in ordered),
    )


class _Line(msgspec.Struct):
    text: str
    id: str | int | None = None


def _json_lines(content: bytes, name: str) -> tuple[Text, ...]:
    decoder = msgspec.json.Decoder(_Line)
    found: list[Text] = []
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            document = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidFile(name, f"line {number}", str(error), allowed='{"text": "…"}') from error
        if document.text:
            found.append(Text(id=str(number if document.id is None else document.id), text=document.text))
    if len({document.id for document in found}) != len(found):
        raise InvalidFile(name, "id", "occurs twice", allowed="a different id for every document")
    return tuple(found)


def _plain_text(content: bytes, name: str) -> tuple[Text, ...]:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidFile(name, f"byte {error.start}", "is not UTF-8") from error
    found: list[Text] = []
    start = 0
    while start < len(text):
        gap = _BLANK.search(text, min(start + PIECE_CHARACTERS, len(text)))
        end = gap.end() if gap else len(text)
        if text[start:end].strip():
            found.append(Text(id=f"{name}:{start}", text=text[start:end]))
        start = end
    return tuple(found)
