"""Xorbs and shards as clients write them, small enough to look at."""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import Final

import lz4.frame

from planner.artifacts.xet import hashes

TAG: Final = b"HFRepoMetaData\x00UigEj{\x81W\x83\xa5\xbd\xd9\\\xcd\xd1J\xa9"
END: Final = b"\xff" * 32 + bytes(16)
STORED, LZ4, GROUPED = 0, 1, 2


def grouped(data: bytes) -> bytes:
    return b"".join(data[group::4] for group in range(4))


def packed(data: bytes, scheme: int) -> bytes:
    if scheme == STORED:
        return data
    compressed: bytes = lz4.frame.compress(grouped(data) if scheme == GROUPED else data)
    return compressed


def record(data: bytes, scheme: int = STORED, *, size: int | None = None, version: int = 0) -> bytes:
    sent = packed(data, scheme)
    said = len(data) if size is None else size
    return (
        bytes([version])
        + len(sent).to_bytes(3, "little")
        + bytes([scheme])
        + said.to_bytes(3, "little")
        + sent
    )


def xorb(*chunks: bytes, scheme: int = STORED) -> tuple[str, bytes]:
    """The hash of a xorb of these chunks, and its bytes."""
    digest = hashes.xorb_hash([(hashes.chunk_hash(chunk), len(chunk)) for chunk in chunks])
    return hashes.to_text(digest), b"".join(record(chunk, scheme) for chunk in chunks)


def term(name: str, chunks: list[bytes], start: int, end: int) -> tuple[bytes, bytes]:
    """A term and its proof."""
    some = chunks[start:end]
    size = sum(len(chunk) for chunk in some)
    entry = struct.pack("<32sIIII", hashes.from_text(name), 0, size, start, end)
    return entry, hashes.range_hash([hashes.chunk_hash(chunk) for chunk in some]) + bytes(16)


def file(content: bytes, *terms: tuple[bytes, bytes], digest: str | None = None) -> bytes:
    """A file's part of a shard."""
    said = hashes.from_text(digest or sha256(content).hexdigest())
    header = struct.pack("<32sIIQ", bytes(32), 1 << 31 | 1 << 30, len(terms), 0)
    return (
        header + b"".join(each[0] for each in terms) + b"".join(each[1] for each in terms) + said + bytes(16)
    )


def shard(*files: bytes) -> bytes:
    return TAG + struct.pack("<QQ", 2, 0) + b"".join(files) + END + END
