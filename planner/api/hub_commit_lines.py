"""The body of a commit: lines of JSON, read one by one as they arrive, so that neither size nor content can do harm."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from planner.api.hub_errors import Refusal
from planner.domain.upload import MAX_FILES, AddFile, Delete, Operation, check_pushed_path
from planner.domain.variant import Artifact
from planner.errors import InvalidInput

MAX_FILE: Final = 10 * 1024**2
"""Largest file that a commit may carry in itself; larger ones go by large-file storage."""
MAX_LINE: Final = MAX_FILE * 4 // 3 + 64 * 1024
MAX_BODY: Final = 256 * 1024**2
"""Largest commit: clients put at most 100 MiB of files into one, a third more in base64."""
MAX_OPERATIONS: Final = 2 * MAX_FILES

Store = Callable[[bytes], Artifact]
"""Stores the content of a small file; the path in what it returns is not used."""


class Header(msgspec.Struct, frozen=True, rename="camel"):
    """The first line: what the commit is about, and what it builds upon."""

    summary: str = ""
    description: str | None = None
    parent_commit: str | None = None


class _File(msgspec.Struct, frozen=True):
    path: str
    content: str
    encoding: str = "base64"


class _LfsFile(msgspec.Struct, frozen=True):
    path: str
    oid: str
    algo: str = "sha256"
    size: int | None = None


class _Path(msgspec.Struct, frozen=True):
    path: str


class _Line(msgspec.Struct, frozen=True):
    key: str
    value: msgspec.Raw = msgspec.Raw(b"null")


class Body(msgspec.Struct, kw_only=True):
    """A whole commit, as it was asked for."""

    header: Header
    operations: list[Operation]


def read_body(
    pieces: Iterator[bytes], *, put: Callable[[bytes], Artifact], size_of: Callable[[str], int | None]
) -> Body:
    """Return the commit in a body. `put` stores a small file; `size_of` tells the size in bytes of a stored one.

    Raises Refusal naming the line.
    """
    header: Header | None = None
    operations: list[Operation] = []
    for number, line in _lines(pieces):
        parsed = _decode(line, _Line, number)
        if parsed.key == "header":
            if header is not None:
                raise Refusal(400, f"line {number}: a second header")
            header = _decode(parsed.value, Header, number)
            continue
        if header is None:
            raise Refusal(400, f"line {number}: the first line is to be the header")
        operation = _operation(parsed, number, put=put, size_of=size_of)
        if operation is not None:
            operations.append(operation)
        if len(operations) > MAX_OPERATIONS:
            raise Refusal(413, f"more than {MAX_OPERATIONS} operations; split the commit")
    if header is None:
        raise Refusal(400, "the commit is empty; its first line is to be the header")
    if not header.summary.strip():
        raise Refusal(400, "header: the summary is empty")
    return Body(header=header, operations=operations)


def _lines(pieces: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    rest, number = bytearray(), 0
    for piece in pieces:
        searched = len(rest)
        rest += piece
        start = 0
        while (end := rest.find(b"\n", max(start, searched))) >= 0:
            number += 1
            _check_length(end - start, number)
            if line := bytes(rest[start:end]).strip():
                yield number, line
            start = end + 1
        del rest[:start]
        _check_length(len(rest), number + 1)
    if line := bytes(rest).strip():
        yield number + 1, line


def _check_length(length: int, number: int) -> None:
    if length > MAX_LINE:
        raise Refusal(
            413,
            f"line {number} is longer than {MAX_LINE} bytes; files over {MAX_FILE} bytes go by large-file storage",
        )


def _decode(line: bytes | msgspec.Raw, kind: Any, number: int) -> Any:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, f"line {number}: {error}"[:500]) from None


def _operation(
    line: _Line, number: int, *, put: Store, size_of: Callable[[str], int | None]
) -> Operation | None:
    """Return what a line asks for; None for a kind of line that newer clients may send and that is not known."""
    try:
        match line.key:
            case "file":
                return _small_file(_decode(line.value, _File, number), put)
            case "lfsFile":
                return _large_file(_decode(line.value, _LfsFile, number), size_of)
            case "deletedFile" | "deletedFolder":
                path = _decode(line.value, _Path, number).path.rstrip("/")
                check_pushed_path(path)
                return Delete(path=path, folder=line.key == "deletedFolder")
            case _:
                return None
    except InvalidInput as error:
        raise Refusal(422, f"line {number}: {error.message}") from None


def _small_file(file: _File, put: Store) -> AddFile:
    check_pushed_path(file.path)
    if file.encoding == "base64":
        try:
            content = base64.b64decode(file.content, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidInput("content", f"of `{file.path}` is not base64") from None
    elif file.encoding == "utf-8":
        content = file.content.encode("utf-8", "strict")
    else:
        raise InvalidInput("encoding", f"`{file.encoding[:50]}` is unknown", allowed="base64, utf-8")
    if len(content) > MAX_FILE:
        raise InvalidInput(
            "content", f"of `{file.path}` has {len(content)} bytes", allowed=f"at most {MAX_FILE} in a commit"
        )
    return AddFile(artifact=msgspec.structs.replace(put(content), path=file.path))


def _large_file(file: _LfsFile, size_of: Callable[[str], int | None]) -> AddFile:
    check_pushed_path(file.path)
    if file.algo != "sha256":
        raise InvalidInput("algo", f"`{file.algo[:50]}` is unknown", allowed="sha256")
    wanted = Artifact(path=file.path, size=file.size or 0, sha256=file.oid)
    size = size_of(wanted.sha256)
    if size is None:
        raise InvalidInput("oid", f"the bytes of `{file.path}` have not been uploaded ({file.oid})")
    if file.size is not None and file.size != size:
        raise InvalidInput("size", f"{file.size} is not the size of `{file.path}`", allowed=str(size))
    return AddFile(artifact=msgspec.structs.replace(wanted, size=size))
