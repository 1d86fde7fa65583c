"""The hashes of Xet: BLAKE3 under a key for each purpose, and trees of them.

https://huggingface.co/docs/xet/hashing. A hash is 32 bytes; as text it is four groups of eight bytes, each reversed, in hex.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from blake3 import blake3

from planner.errors import InvalidInput

SIZE: Final = 32
_CHUNK_KEY: Final = bytes.fromhex("6697f5775b9550de3135cbaca597181c9de421109beb2b58b4d0b04b93adf229")
_NODE_KEY: Final = bytes.fromhex("017ec5c7a5472996fd946666b48a02e65ddd536f37c76dd2f86352e64a53713f")
_RANGE_KEY: Final = bytes.fromhex("7f1857d6ce56ed66127ff913e7a5c3f3a4cd26d5b5db49e64124987f28fb94c3")
_BRANCHING: Final = 4
_LEAST_CHILDREN: Final = 2
_MOST_CHILDREN: Final = 2 * _BRANCHING + 1
_TEXT: Final = re.compile(r"[0-9a-f]{64}")


def to_text(digest: bytes) -> str:
    """Return a hash as addresses and trees spell it."""
    return b"".join(digest[start : start + 8][::-1] for start in range(0, SIZE, 8)).hex()


def from_text(text: str) -> bytes:
    """Return the hash that `text` spells. Raises InvalidInput."""
    if _TEXT.fullmatch(text) is None:
        raise InvalidInput("hash", f"`{text[:80]}` is not a hash", allowed="64 lower-case hex digits")
    return bytes.fromhex(to_text(bytes.fromhex(text)))


def chunk_hash(data: bytes | memoryview) -> bytes:
    """Return the hash of a chunk's bytes."""
    return blake3(data, key=_CHUNK_KEY).digest()


def range_hash(chunks: Sequence[bytes]) -> bytes:
    """Return the hash that proves knowledge of a range of chunks, from their hashes."""
    return blake3(b"".join(chunks), key=_RANGE_KEY).digest()


def xorb_hash(chunks: Sequence[tuple[bytes, int]]) -> bytes:
    """Return the hash of a xorb from the hashes and sizes (bytes) of its chunks: the root of a tree over them.

    Each level merges runs of 3 to 9 nodes, a run ending after a node whose last eight bytes are a multiple of 4.
    """
    if not chunks:
        return bytes(SIZE)
    level = list(chunks)
    while len(level) > 1:
        merged: list[tuple[bytes, int]] = []
        start = 0
        while start < len(level):
            end = _run_end(level, start)
            merged.append(_merged(level[start:end]))
            start = end
        level = merged
    return level[0][0]


def _run_end(level: Sequence[tuple[bytes, int]], start: int) -> int:
    left = len(level) - start
    if left <= _LEAST_CHILDREN:
        return len(level)
    most = min(_MOST_CHILDREN, left)
    for offset in range(_LEAST_CHILDREN, most):
        if level[start + offset][0][24] % _BRANCHING == 0:  # the lowest byte of a little-endian number
            return start + offset + 1
    return start + most


def _merged(nodes: Sequence[tuple[bytes, int]]) -> tuple[bytes, int]:
    lines = "".join(f"{to_text(digest)} : {size}\n" for digest, size in nodes)
    return blake3(lines.encode(), key=_NODE_KEY).digest(), sum(size for _, size in nodes)
