"""Source: the bytes of one result file, decoded once and without trust.

Tools write NaN, byte-order marks and JSON lines; broken files hold anything. Whatever it is, reading ends in a value or
in an InvalidFile.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Any, Final

from planner.errors import InvalidFile
from planner.ingest.fields import list_of, object_of

MAX_FILE_BYTES: Final = 128 * 1024**2
"""Largest result file: lm-eval's samples of ten thousand documents take some 50 MB."""
MAX_DOCUMENTS: Final = 200_000
"""Most lines of a JSON-lines file."""

_BOMS: Final = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


class Source:
    """A file's name and bytes. The name is for messages, and a hint where a tool itself puts a task's name there."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name = "".join(c if c.isprintable() else "?" for c in name)[:200] or "the file"
        if not content.strip():
            raise InvalidFile(self.name, "", "is empty", allowed="a result file of a supported tool")
        if len(content) > MAX_FILE_BYTES:
            raise InvalidFile(
                self.name, "", f"takes {len(content)} bytes", allowed=f"at most {MAX_FILE_BYTES} bytes"
            )
        self.content = content

    @cached_property
    def sha256(self) -> str:
        """The digest of the bytes in lower-case hex."""
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def text(self) -> str:
        """The content as text. Raises InvalidFile unless it is UTF-8, or UTF-16 or -32 with a byte-order mark."""
        encoding = next((name for mark, name in _BOMS if self.content.startswith(mark)), "utf-8")
        try:
            return self.content.decode(encoding)
        except UnicodeDecodeError as error:
            raise InvalidFile(
                self.name, "", f"is not {encoding} text: {error.reason} at byte {error.start}", allowed="text"
            ) from None

    @cached_property
    def documents(self) -> tuple[Any, ...]:
        """The JSON documents: one, or one a line. Empty when the content is not JSON, whatever else it is."""
        text = self.text.strip()
        if text[:1] not in {"{", "["}:
            return ()
        whole = _parse(text)
        if whole is not _INVALID:
            return (whole,)
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > MAX_DOCUMENTS:
            raise InvalidFile(self.name, "", f"has {len(lines)} lines", allowed=f"at most {MAX_DOCUMENTS}")
        parsed = [_parse(line) for line in lines]
        if len(parsed) > 1 and parsed[-1] is _INVALID and all(p is not _INVALID for p in parsed[:-1]):
            raise InvalidFile(
                self.name, f"line {len(parsed)}", "is cut short", allowed="a whole JSON document"
            )
        return () if _INVALID in parsed else tuple(parsed)

    @cached_property
    def objects(self) -> tuple[dict[str, Any], ...]:
        """The JSON documents that are objects; the elements where the document is a list of objects. Else empty."""
        documents = self.documents
        if len(documents) == 1:
            documents = tuple(list_of(documents[0])) or documents
        return documents if all(isinstance(document, dict) for document in documents) else ()

    @property
    def only(self) -> dict[str, Any]:
        """The single JSON object the file consists of, an empty one when it is anything else."""
        documents = self.documents
        return object_of(documents[0]) if len(documents) == 1 else {}


_INVALID: Final = object()


def _parse(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_missing)
    except (ValueError, RecursionError):
        return _INVALID


def _missing(_: str) -> None:
    """NaN and Infinity are what tools write for "no value"."""
