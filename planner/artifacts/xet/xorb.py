"""Xorbs: chunks one after the other, each behind a header of eight bytes. Read as they arrive, a chunk at a time.

https://huggingface.co/docs/xet/xorb. Every chunk is decompressed and hashed before the next is looked at, so that neither a
large nor a false xorb takes more memory than one chunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Any, Final

import lz4.frame as untyped_lz4  # pyright: ignore[reportMissingTypeStubs] - it has none
import msgspec

from planner.artifacts.xet.hashes import chunk_hash
from planner.errors import InvalidInput

_LZ4FRAME: Final[Any] = untyped_lz4
MAX_CHUNK: Final = 128 * 1024
"""Bytes of the largest chunk."""
MAX_XORB: Final = 64 * 1024**2
"""Bytes of the largest xorb, as sent."""
HEADER: Final = 8
_VERSION: Final = 0
_FOOTER: Final = b"XETB"
"""How what older clients send after the chunks begins; it says nothing that the chunks do not."""
_MOST_OVERHEAD: Final = 1024
"""Bytes by which a compressed chunk may exceed its content."""
_GROUPS: Final = 4


class _Scheme(IntEnum):
    """How a chunk is packed."""

    STORED = 0
    LZ4 = 1
    GROUPED_LZ4 = 2


class Record(msgspec.Struct, frozen=True):
    """A chunk as it was sent: where its header begins in the xorb, its hash, and its size when unpacked (bytes)."""

    start: int
    digest: bytes
    size: int
    sent: bytes


def read_records(pieces: Iterable[bytes]) -> Iterator[Record]:
    """Yield the chunks of the xorb whose bytes are `pieces`, each one checked. Raises InvalidInput."""
    buffer = bytearray()
    start = 0
    source = iter(pieces)
    while True:
        if not _fill(buffer, source, HEADER):
            if buffer and not bytes(buffer).startswith(_FOOTER):
                raise _bad("ends inside a chunk's header")
            break
        if buffer.startswith(_FOOTER):
            break
        length, scheme, size = _header(buffer)
        if not _fill(buffer, source, HEADER + length):
            raise _bad("ends inside a chunk")
        sent = bytes(buffer[: HEADER + length])
        del buffer[: HEADER + length]
        data = unpack(sent[HEADER:], scheme, size)
        yield Record(start, chunk_hash(data), size, sent)
        start += len(sent)
    for _ in source:  # a footer: read to its end, so that the client is not cut off
        pass


def unpack_record(sent: bytes) -> bytes:
    """Return the content of a chunk as it was sent, header included. Raises InvalidInput."""
    length, scheme, size = _header(sent)
    if len(sent) != HEADER + length:
        raise _bad("has a chunk of another length than its header says")
    return unpack(sent[HEADER:], scheme, size)


def unpack(data: bytes, scheme: int, size: int) -> bytes:
    """Return the `size` bytes of a chunk packed by `scheme`. Raises InvalidInput."""
    match scheme:
        case _Scheme.STORED:
            content = data
        case _Scheme.LZ4:
            content = _decompress(data, size)
        case _Scheme.GROUPED_LZ4:
            content = _ungrouped(_decompress(data, size))
        case _:
            raise _bad(
                f"has a chunk packed by scheme {scheme}", allowed="0 (stored), 1 (LZ4), 2 (grouped LZ4)"
            )
    if len(content) != size:
        raise _bad(f"has a chunk of {len(content)} bytes whose header says {size}")
    return content


def _fill(buffer: bytearray, source: Iterator[bytes], length: int) -> bool:
    while len(buffer) < length:
        piece = next(source, b"")
        if not piece:
            return False
        buffer += piece
    return True


def _header(data: bytes | bytearray) -> tuple[int, int, int]:
    """Return a chunk's packed length, scheme and size. Raises InvalidInput."""
    length, size = int.from_bytes(data[1:4], "little"), int.from_bytes(data[5:8], "little")
    if data[0] != _VERSION:
        raise _bad(f"has a chunk of version {data[0]}", allowed="0")
    if not 0 < size <= MAX_CHUNK:
        raise _bad(f"has a chunk of {size} bytes", allowed=f"1 to {MAX_CHUNK}")
    if length > size + _MOST_OVERHEAD:
        raise _bad(f"has a chunk of {size} bytes packed into {length}")
    return length, data[4], size


def _decompress(data: bytes, size: int) -> bytes:
    try:
        # One byte more than there may be tells a bomb from a chunk.
        content: bytes = _LZ4FRAME.LZ4FrameDecompressor().decompress(data, max_length=size + 1)
    except (RuntimeError, EOFError, ValueError) as error:
        raise _bad(f"has a chunk that LZ4 does not unpack: {error}") from None
    return content


def _ungrouped(data: bytes) -> bytes:
    """Return bytes that were sorted by their place in groups of four, in their own order."""
    content = bytearray(len(data))
    start = 0
    for group in range(_GROUPS):
        count = (len(data) - group + _GROUPS - 1) // _GROUPS
        content[group::_GROUPS] = data[start : start + count]
        start += count
    return bytes(content)


def _bad(
    problem: str, *, allowed: str = "chunks as https://huggingface.co/docs/xet/xorb describes them"
) -> InvalidInput:
    return InvalidInput("xorb", problem, allowed=allowed)
