"""Content-addressed blob stores: bytes are named by their sha256, so they are written once and never change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from planner.domain.variant import SHA256
from planner.errors import InvalidInput


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """What a put stored: the sha256 in lower-case hex, the size in bytes, and whether it was not there before."""

    sha256: str
    size: int
    created: bool


class BlobStore(Protocol):
    """Where blobs live. A digest that is not 64 lower-case hex digits raises InvalidInput everywhere."""

    def put(self, chunks: Iterable[bytes], *, sha256: str | None = None, size: int | None = None) -> Blob:
        """Store the bytes of `chunks`, hashed on the way, and return them named.

        With `sha256` or `size` given, other bytes raise IntegrityFailure and nothing becomes visible. Unavailable when
        the storage is full or out of reach.
        """
        ...

    def put_file(self, path: Path, *, sha256: str | None = None) -> Blob:
        """Store a copy of the file at `path`; with `sha256` given and already stored, it is only verified."""
        ...

    def path(self, sha256: str) -> Path | None:
        """Return the local file that holds the blob; None when it is absent or the store is not on this machine."""
        ...

    def size(self, sha256: str) -> int | None:
        """Return the blob's size in bytes, None when it is absent."""
        ...

    def touch(self, sha256: str) -> bool:
        """Note that somebody counts on the blob, so that no collection takes it for abandoned; False when it is absent."""
        ...

    def open(self, sha256: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Return the blob's bytes from `start`, at most `length` of them.

        Raises NotFound, or InvalidInput for a range outside the blob, at the call and not at the first byte.
        """
        ...

    def digests(self) -> Iterator[str]:
        """Yield the sha256 of every blob."""
        ...


def check_digest(sha256: str) -> str:
    """Return `sha256` when it is one; raises InvalidInput."""
    if SHA256.fullmatch(sha256) is None:
        raise InvalidInput("sha256", f"`{sha256[:80]}` is not a sha256", allowed="64 lower-case hex digits")
    return sha256
