"""A blob store in a local folder: `ab/cd/<sha256>`, written through `staging/` on the same file system.

A blob is visible only complete: bytes are hashed on the way into a staging file, synced, and renamed. A put that is
killed leaves a staging file, which a later start sweeps away once it is old.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from planner.artifacts.durable import (
    check_range,
    check_received,
    disk_errors,
    hash_stream,
    make_directories,
    open_regular,
    read_chunks,
    sync_directory,
    write_all,
    written_back,
)
from planner.artifacts.store import Blob, check_digest
from planner.domain.variant import SHA256
from planner.errors import IntegrityFailure, NotFound

STAGING_MAX_AGE_S: Final = 24 * 3600.0
"""Seconds without a write after which a staging file belongs to a put that died."""

_FANOUT: Final = re.compile(r"[0-9a-f]{2}")


class LocalStore:
    """Blobs under `root`, which is created when missing. Any number of threads and processes may share it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._staging = root / "staging"
        with disk_errors(f"opening the artifact store {root}"):
            make_directories(self._staging)
        self.sweep()

    def _place(self, sha256: str) -> Path:
        check_digest(sha256)
        return self._root / sha256[:2] / sha256[2:4] / sha256

    # -- writing --------------------------------------------------------------------------------------------------

    def put(self, chunks: Iterable[bytes], *, sha256: str | None = None, size: int | None = None) -> Blob:
        """Store the bytes of `chunks`; see BlobStore.put. Bytes that are already stored are verified, not written."""
        if sha256 is not None and self.touch(sha256):
            return self._verify(chunks, sha256, size)
        staged = self._staging / f"{os.getpid()}-{secrets.token_hex(8)}"
        try:
            return self._write(chunks, staged, sha256, size)
        finally:
            staged.unlink(missing_ok=True)

    def _verify(self, chunks: Iterable[bytes], sha256: str, size: int | None) -> Blob:
        hasher, total = hashlib.sha256(), 0
        for chunk in chunks:
            hasher.update(chunk)
            total += len(chunk)
        check_received("blob", sha256=sha256, size=size, got_sha256=hasher.hexdigest(), got_size=total)
        return Blob(sha256=sha256, size=total, created=False)

    def _write(self, chunks: Iterable[bytes], staged: Path, sha256: str | None, size: int | None) -> Blob:
        hasher, total = hashlib.sha256(), 0
        with ExitStack() as stack:
            with disk_errors("staging a blob"):
                file = stack.enter_context(staged.open("xb", buffering=0))
            with written_back(file.fileno()) as wrote:
                for chunk in chunks:
                    total += len(chunk)
                    if size is not None and total > size:
                        raise IntegrityFailure(
                            f"blob: received more than the {size} bytes announced",
                            expected=size,
                            received=total,
                        )
                    hasher.update(chunk)
                    with disk_errors("writing a blob"):
                        write_all(file.fileno(), chunk)
                    wrote(len(chunk))
            digest = hasher.hexdigest()
            check_received("blob", sha256=sha256, size=size, got_sha256=digest, got_size=total)
            with disk_errors("syncing a blob"):
                os.fchmod(file.fileno(), 0o444)
                os.fsync(file.fileno())
        place = self._place(digest)
        with disk_errors("placing a blob"):
            created = not self.touch(digest) or self.size(digest) != total
            if created:
                make_directories(place.parent)
                staged.replace(place)
                sync_directory(place.parent)
        return Blob(sha256=digest, size=total, created=created)

    def put_file(self, path: Path, *, sha256: str | None = None) -> Blob:
        """Store a copy of the file at `path`. Raises InvalidFile when it is not a regular file."""
        with open_regular(path, path.name) as file:
            return self.put(read_chunks(file), sha256=sha256)

    @property
    def staging(self) -> Path:
        """Folder on the same file system for what is not a blob yet; files that nobody writes to are swept away."""
        return self._staging

    def adopt(self, staged: Path, descriptor: int, *, sha256: str, size: int) -> bool:
        """Make a verified file in the staging folder the blob `sha256`; return whether there was none.

        `descriptor` is the open file, which nobody else may be writing to.
        """
        place = self._place(sha256)
        with disk_errors("placing a blob"):
            os.fchmod(descriptor, 0o444)
            os.fsync(descriptor)
            if self.touch(sha256) and self.size(sha256) == size:
                staged.unlink(missing_ok=True)
                return False
            make_directories(place.parent)
            staged.replace(place)
            sync_directory(place.parent)
        return True

    def touch(self, sha256: str) -> bool:
        """Note that somebody counts on the blob, so that no collection takes it for abandoned; False when it is absent."""
        try:
            os.utime(self._place(sha256))
        except FileNotFoundError:
            return False
        return True

    def used_at(self, sha256: str) -> float | None:
        """Return when the blob was stored or last counted on, in seconds since the epoch; None when it is absent."""
        try:
            return self._place(sha256).stat().st_mtime
        except FileNotFoundError:
            return None

    def remove(self, sha256: str, *, unused_since: float) -> int | None:
        """Remove the blob and return its size, or None when it is absent or was counted on after `unused_since`."""
        place = self._place(sha256)
        with disk_errors("removing a blob"):
            try:
                found = place.stat()
                if found.st_mtime > unused_since:
                    return None
                place.unlink()
            except FileNotFoundError:
                return None
        return found.st_size

    def sweep(self, *, older_than: float = STAGING_MAX_AGE_S, dry_run: bool = False) -> int:
        """Remove staging files that nobody has written to for `older_than` seconds; returns how many, also in a dry run."""
        removed, now = 0, time.time()
        with disk_errors("sweeping staging files"), os.scandir(self._staging) as entries:
            for entry in entries:
                try:
                    if now - entry.stat(follow_symlinks=False).st_mtime > older_than:
                        if not dry_run:
                            Path(entry.path).unlink()
                        removed += 1
                except FileNotFoundError:
                    continue  # another process finished or swept it
        return removed

    # -- reading --------------------------------------------------------------------------------------------------

    def path(self, sha256: str) -> Path | None:
        """Return the file that holds the blob, None when it is absent."""
        place = self._place(sha256)
        return place if place.is_file() else None

    def size(self, sha256: str) -> int | None:
        """Return the blob's size in bytes, None when it is absent."""
        try:
            return self._place(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def open(self, sha256: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Return the blob's bytes from `start`; see BlobStore.open."""
        size = self.size(sha256)
        if size is None:
            raise NotFound("blob", sha256)
        return self._stream(self._place(sha256), start, check_range(start, length, size))

    def _stream(self, place: Path, start: int, length: int) -> Iterator[bytes]:
        with open_regular(place, place.name) as file:
            file.seek(start)
            yield from read_chunks(file, length)

    def verify(self, sha256: str) -> int:
        """Hash the stored bytes again and return their size. Raises NotFound, or IntegrityFailure when they rotted."""
        place = self.path(sha256)
        if place is None:
            raise NotFound("blob", sha256)
        with open_regular(place, sha256) as file:
            hasher, total = hash_stream(file)
        check_received(
            f"blob {sha256}", sha256=sha256, size=None, got_sha256=hasher.hexdigest(), got_size=total
        )
        return total

    def digests(self, *, after: str = "") -> Iterator[str]:
        """Yield the sha256 of every blob, in ascending order, or of those after one."""
        for first in _fanout(self._root):
            for second in _fanout(first) if first.name >= after[:2] else ():
                if first.name + second.name >= after[:4]:
                    found = (name.name for name in second.iterdir() if SHA256.fullmatch(name.name))
                    yield from sorted(name for name in found if name > after)


def _fanout(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if _FANOUT.fullmatch(path.name) and path.is_dir())
