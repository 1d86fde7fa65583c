"""Uploads that go on where they were cut: a large file arrives in parts, in order, and the server knows how far it came.

A part counts once it is on disk, and so does the note of how far the file has come, which is written after it. What is
not gone on with is swept from the staging folder like every other upload that died.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from planner.artifacts.durable import disk_errors
from planner.artifacts.local import LocalStore
from planner.artifacts.parts import Parts
from planner.artifacts.store import check_digest
from planner.domain.units import MAX_BYTES
from planner.errors import Conflict, IntegrityFailure, InvalidInput, NotFound
from planner.wire.replies import Received

_MARKER: Final = "offset"


class Resumable:
    """Files of `store` that arrive in parts. Who sends the same file goes on with the same upload."""

    def __init__(self, store: LocalStore, parts: Parts) -> None:
        self._store = store
        self._parts = parts

    def received(self, sha256: str, size: int) -> Received:
        """Return how far the file `sha256` of `size` bytes has come. Raises InvalidInput."""
        check_digest(sha256)
        if not 0 < size <= MAX_BYTES:
            raise InvalidInput("size", f"{size} is out of range", allowed=f"1 to {MAX_BYTES}")
        stored = self._store.size(sha256)
        if stored is not None:
            if stored != size:
                raise InvalidInput("size", f"{size} is not that of this file", allowed=str(stored))
            return Received(sha256=sha256, size=size, offset=size, complete=True)
        return Received(sha256=sha256, size=size, offset=self._offset(sha256, size), complete=False)

    def append(self, chunks: Iterable[bytes], *, sha256: str, size: int, start: int, length: int) -> Received:
        """Take `length` bytes at `start`, where the file has come to; the last ones make it a stored file.

        Raises Conflict with the right offset for another one, IntegrityFailure when the whole file is another one, which
        drops it, and OutOfSpace.
        """
        before = self.received(sha256, size)
        if before.complete:
            return before
        if start != before.offset or length < 1:
            raise Conflict(
                f"the file has come to {before.offset}, not to {start}", offset=before.offset, size=size
            )
        session = _session(sha256, size)
        marker = self._marker(session)
        self._parts.write(session, chunks, size=size, start=start, length=length)
        if start + length < size:
            self._note(marker, start + length)
            return Received(sha256=sha256, size=size, offset=start + length, complete=False)
        try:
            self._parts.complete(session, sha256=sha256, size=size)
        except NotFound:
            # Somebody else has sent the last part too, and was first.
            if self._store.size(sha256) != size:
                marker.unlink(missing_ok=True)
                raise
        except IntegrityFailure:
            marker.unlink(missing_ok=True)
            raise
        marker.unlink(missing_ok=True)
        return Received(sha256=sha256, size=size, offset=size, complete=True)

    def _offset(self, sha256: str, size: int) -> int:
        session = _session(sha256, size)
        if not (self._store.staging / f"parts-{session}").is_file():
            return 0
        try:
            text = self._marker(session).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return 0
        return int(text) if text.isdecimal() and int(text) < size else 0

    def _marker(self, session: str) -> Path:
        return self._store.staging / f"{_MARKER}-{session}"

    def _note(self, marker: Path, offset: int) -> None:
        staged = marker.with_name(f"{marker.name}.{secrets.token_hex(4)}")
        with disk_errors("noting how far an upload has come"):
            staged.write_text(str(offset), encoding="ascii")
            staged.replace(marker)


def _session(sha256: str, size: int) -> str:
    return hashlib.sha256(f"resumable {sha256} {size}".encode()).hexdigest()[:32]
