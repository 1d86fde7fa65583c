"""Writes that survive a power cut, and reads and hashes in bounded chunks.

A file becomes visible only by a rename after its bytes are on disk; the rename itself is made durable by a sync of the
folder. Errors of the disk become `Unavailable`, or `OutOfSpace` when it is full, with what was being done.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Final, Protocol

from planner.errors import IntegrityFailure, InvalidFile, InvalidInput, OutOfSpace, Unavailable

CHUNK: Final = 1 << 20
"""Bytes per read: large enough that hashing and copying run at memory speed, small enough to stop quickly."""

WRITE_BACK: Final = 16 * CHUNK
"""Bytes written before the disk is told to take them."""

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of a disk or quota without room."""


class Hasher(Protocol):
    """A running hash."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Take more bytes in."""
        ...

    def hexdigest(self) -> str:
        """Return the hash so far in lower-case hex."""
        ...


@contextmanager
def disk_errors(action: str) -> Generator[None]:
    """Turn an OSError of the local disk into OutOfSpace, "disk full while <action>", or Unavailable."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise OutOfSpace(f"disk full while {action}", reason="disk full") from error
        reason = error.strerror or str(error)
        raise Unavailable(f"{reason} while {action}", reason=reason) from error


def sync_directory(directory: Path) -> None:
    """Make renames and creations inside `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(directory: Path) -> None:
    """Create `directory` and its missing parents durably."""
    missing: list[Path] = []
    while not directory.is_dir():
        missing.append(directory)
        directory = directory.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        sync_directory(path.parent)


def open_regular(path: Path, label: str, *, follow: bool = True) -> FileIO:
    """Open a regular file for unbuffered reading; raises InvalidFile for anything else.

    Never waits: a pipe or device is refused instead of read.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise InvalidFile(label, "", f"cannot be opened: {error.strerror or error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidFile(label, "", "is not a regular file", allowed="regular files")
    return os.fdopen(descriptor, "rb", buffering=0)


def read_chunks(file: FileIO, length: int | None = None) -> Iterator[bytes]:
    """Yield the rest of `file`, or at most `length` bytes of it, in chunks."""
    while length is None or length > 0:
        chunk = file.read(CHUNK if length is None else min(CHUNK, length))
        if not chunk:
            return
        if length is not None:
            length -= len(chunk)
        yield chunk


def write_all(descriptor: int, chunk: bytes) -> None:
    """Write all of `chunk`: one system call may take less."""
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]


@contextmanager
def written_back(descriptor: int) -> Generator[Callable[[int], None]]:
    """Bring a file to disk while it is being written, so that little is left to sync at its end.

    Gives what is to be told of the bytes written. Raises Unavailable or OutOfSpace at the end when the disk has refused some
    meanwhile, since Linux tells of that only once.
    """
    errors: list[OSError] = []
    running: threading.Thread | None = None
    waiting = 0

    def sync() -> None:
        try:
            os.fdatasync(descriptor)
        except OSError as error:
            errors.append(error)

    def wrote(count: int) -> None:
        nonlocal running, waiting
        waiting += count
        if waiting >= WRITE_BACK and (running is None or not running.is_alive()):
            waiting = 0
            running = threading.Thread(target=sync, name="write-back")
            running.start()

    try:
        yield wrote
    finally:
        if running is not None:
            running.join()
    with disk_errors("syncing what is being written"):
        for error in errors:
            raise error


def hash_stream(file: FileIO, progress: Callable[[int], None] | None = None) -> tuple[Hasher, int]:
    """Return the running sha256 over the rest of `file` and the bytes it covers."""
    hasher, total = hashlib.sha256(), 0
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    while count := file.readinto(buffer):
        hasher.update(view[:count])
        total += count
        if progress is not None:
            progress(count)
    return hasher, total


def check_received(
    label: str, *, sha256: str | None, size: int | None, got_sha256: str, got_size: int
) -> None:
    """Raise IntegrityFailure unless received bytes are the promised ones."""
    if size is not None and got_size != size:
        raise IntegrityFailure(
            f"{label}: received {got_size} bytes instead of {size}",
            path=label,
            expected=size,
            received=got_size,
        )
    if sha256 is not None and got_sha256 != sha256:
        raise IntegrityFailure(
            f"{label}: sha256 is {got_sha256} instead of {sha256}",
            path=label,
            expected=sha256,
            received=got_sha256,
        )


def check_range(start: int, length: int | None, size: int) -> int:
    """Return how many bytes `start` and `length` select of `size`; raises InvalidInput outside the blob."""
    if not 0 <= start <= size:
        raise InvalidInput("start", f"{start} is outside the blob", allowed=f"0 to {size}")
    if length is not None and length < 0:
        raise InvalidInput("length", f"{length} is negative", allowed="0 or more")
    return size - start if length is None else min(length, size - start)
