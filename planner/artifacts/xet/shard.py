"""Shards: the files of an upload, each as a list of ranges of chunks in xorbs.

https://huggingface.co/docs/xet/shard. Only what describes files is read; what a shard repeats about xorbs is known from them.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from planner.artifacts.xet.hashes import SIZE, to_text
from planner.errors import InvalidInput

MAX_SHARD: Final = 80 * 1024**2
"""Bytes of the largest shard that is read; clients cut theirs at 64 MiB."""
_TAG: Final = b"HFRepoMetaData" + bytes.fromhex("00556967456a7b815783a5bdd95ccdd14aa9")
_VERSION: Final = 2
_ENTRY: Final = 48
_HEADER: Final = struct.Struct("<32sQQ")
_FILE: Final = struct.Struct("<32sIIQ")
_TERM: Final = struct.Struct("<32sIIII")
_END: Final = b"\xff" * SIZE
_WITH_RANGES: Final = 1 << 31
_WITH_SHA256: Final = 1 << 30


class Term(msgspec.Struct, frozen=True):
    """Chunks `start` to before `end` of a xorb, `size` bytes of a file; `proof` is the hash over their hashes."""

    xorb: str
    start: int
    end: int
    size: int
    proof: bytes


class FileTerms(msgspec.Struct, frozen=True):
    """A file: the sha256 of its bytes, in hex, and what it is made of, in order."""

    sha256: str
    terms: tuple[Term, ...]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return sum(term.size for term in self.terms)


def read_files(shard: bytes) -> list[FileTerms]:
    """Return the files that a shard describes. Raises InvalidInput."""
    if len(shard) < _HEADER.size:
        raise _bad("is too short")
    tag, version, _ = _HEADER.unpack_from(shard)
    if tag != _TAG:
        raise _bad("does not begin as a shard does")
    if version != _VERSION:
        raise _bad(f"is of version {version}", allowed=str(_VERSION))
    files: list[FileTerms] = []
    place = _HEADER.size
    while True:
        digest, flags, count, _ = _FILE.unpack(_entry(shard, place))
        place += _ENTRY
        if digest == _END:
            return files
        if not flags & _WITH_SHA256:
            raise _bad(f"names no sha256 for file {to_text(digest)}")
        if not flags & _WITH_RANGES:
            raise _bad(f"proves nothing about the chunks of file {to_text(digest)}")
        if place + count * 2 * _ENTRY + _ENTRY > len(shard):
            raise _bad("ends inside the list of files")
        proofs = place + count * _ENTRY
        terms = tuple(_term(shard, place + n * _ENTRY, proofs + n * _ENTRY) for n in range(count))
        place = proofs + count * _ENTRY
        files.append(FileTerms(to_text(_entry(shard, place)[:SIZE]), terms))
        place += _ENTRY


def _term(shard: bytes, place: int, proof: int) -> Term:
    xorb, _, size, start, end = _TERM.unpack_from(shard, place)
    if not start < end:
        raise _bad(f"names the empty range {start} to {end} of a xorb")
    return Term(to_text(xorb), start, end, size, shard[proof : proof + SIZE])


def _entry(shard: bytes, place: int) -> bytes:
    if place + _ENTRY > len(shard):
        raise _bad("ends inside the list of files")
    return shard[place : place + _ENTRY]


def _bad(
    problem: str, *, allowed: str = "what https://huggingface.co/docs/xet/shard describes"
) -> InvalidInput:
    return InvalidInput("shard", problem, allowed=allowed)
