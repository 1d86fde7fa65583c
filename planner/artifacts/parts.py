"""Objects that arrive in parts: each part is written where it belongs in one file, which becomes a blob when it is whole.

A part is acknowledged once it is on disk, so that a server that is killed has lost none. Parts that come one after the
other in one process are hashed while they are written; in every other case the file is read once more at the end. The
16 bytes after the object tell the cases apart: a writer that does not continue the running hash leaves a new mark there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from planner.artifacts.durable import (
    Hasher,
    check_received,
    disk_errors,
    hash_stream,
    open_regular,
    written_back,
)
from planner.artifacts.local import LocalStore
from planner.artifacts.store import Blob, check_digest
from planner.errors import Conflict, IntegrityFailure, InvalidInput, NotFound

SESSION: Final = re.compile(r"[0-9a-f]{32}")
MAX_RUNNING: Final = 1_000
"""Objects whose hash is kept running; of others the file is read at the end."""
_MARK_BYTES: Final = 16


class Running(msgspec.Struct):
    """The hash of an object's beginning, and the mark that shows that nobody else has written since."""

    hasher: Hasher
    until: int
    mark: bytes
    busy: bool = False


def new_session() -> str:
    """Return the name of a new object in parts."""
    return secrets.token_hex(16)


class Parts:
    """Objects in parts, in the staging folder of `store`, whose sweep removes those that nobody goes on with."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._running: OrderedDict[str, Running] = OrderedDict()
        self._lock = threading.Lock()

    def write(self, session: str, chunks: Iterable[bytes], *, size: int, start: int, length: int) -> None:
        """Write `length` bytes of an object of `size` at `start`, and return when they are on disk.

        Raises IntegrityFailure for another number of bytes, OutOfSpace, Conflict when the object is complete already.
        """
        if not 0 <= start <= start + length <= size:
            raise InvalidInput("part", f"{start}+{length} lies outside the object", allowed=f"0 to {size}")
        with self._writing(session) as descriptor:
            running = self._continued(session, descriptor, size=size, start=start)
            finished = False
            try:
                with written_back(descriptor) as wrote:
                    self._copy(descriptor, chunks, wrote, start=start, length=length, running=running)
                with disk_errors("syncing a part"):
                    os.fdatasync(descriptor)
                finished = True
            finally:
                self._release(session, running, keep=finished)

    def complete(self, session: str, *, sha256: str, size: int) -> Blob:
        """Make the object a blob. Raises IntegrityFailure when its bytes are other ones, and drops it then.

        Raises NotFound when no part of it is there, Conflict while a part is being written.
        """
        check_digest(sha256)
        path = self._path(session)
        known = self._store.size(sha256)
        with self._alone(session) as descriptor:
            if known == size:
                path.unlink(missing_ok=True)
                return Blob(sha256=sha256, size=size, created=False)
            with disk_errors("completing a blob"):
                digest, total = self._hash(session, descriptor, path, size)
            try:
                check_received("object", sha256=sha256, size=size, got_sha256=digest, got_size=total)
            except IntegrityFailure:
                path.unlink(missing_ok=True)
                raise
            with disk_errors("completing a blob"):
                os.ftruncate(descriptor, size)
                created = self._store.adopt(path, descriptor, sha256=sha256, size=size)
        return Blob(sha256=sha256, size=size, created=created)

    # -- writing --------------------------------------------------------------------------------------------------

    def _copy(
        self,
        descriptor: int,
        chunks: Iterable[bytes],
        wrote: Callable[[int], None],
        *,
        start: int,
        length: int,
        running: Running | None,
    ) -> None:
        done = 0
        for chunk in chunks:
            if done + len(chunk) > length:
                raise IntegrityFailure(
                    f"part: received more than the {length} bytes announced", expected=length
                )
            view = memoryview(chunk)
            with disk_errors("writing a part"):
                while view:
                    written = os.pwrite(descriptor, view, start + done)
                    view, done = view[written:], done + written
            wrote(len(chunk))
            if running is not None:
                running.hasher.update(chunk)
        if done != length:
            raise IntegrityFailure(
                f"part: received {done} bytes instead of {length}", expected=length, received=done
            )
        if running is not None:
            running.until = start + done

    @contextmanager
    def _writing(self, session: str) -> Generator[int]:
        """Hold the object's file with other writers; the one who completes it waits for none and has it alone."""
        path = self._path(session)
        with disk_errors("staging a part"):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if not _is_at(descriptor, path):
                raise Conflict("the object was completed while a part of it arrived again")
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _alone(self, session: str) -> Generator[int]:
        path = self._path(session)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise NotFound("upload in parts", session) from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(
                    "a part is still being written; complete the upload when all are acknowledged"
                ) from None
            if not _is_at(descriptor, path):
                raise NotFound("upload in parts", session)
            yield descriptor
        finally:
            os.close(descriptor)
            with self._lock:
                self._running.pop(session, None)

    def _path(self, session: str) -> Path:
        if SESSION.fullmatch(session) is None:
            raise InvalidInput("session", "is not one", allowed="32 hex digits")
        return self._store.staging / f"parts-{session}"

    # -- hashing on the way ---------------------------------------------------------------------------------------

    def _continued(self, session: str, descriptor: int, *, size: int, start: int) -> Running | None:
        """Return the hash that this part continues, or, with a new mark left in the file, None."""
        with self._lock, disk_errors("staging a part"):
            running = self._running.get(session)
            if (
                running is not None
                and not running.busy
                and running.until == start
                and os.pread(descriptor, _MARK_BYTES, size) == running.mark
            ):
                running.busy = True
                return running
            mark = secrets.token_bytes(_MARK_BYTES)
            os.pwrite(descriptor, mark, size)
            self._running.pop(session, None)
            if start != 0:
                return None
            running = Running(hasher=hashlib.sha256(), until=0, mark=mark, busy=True)
            self._running[session] = running
            while len(self._running) > MAX_RUNNING:
                self._running.popitem(last=False)
            return running

    def _release(self, session: str, running: Running | None, *, keep: bool) -> None:
        if running is None:
            return
        with self._lock:
            running.busy = False
            if not keep and self._running.get(session) is running:
                del self._running[session]

    def _hash(self, session: str, descriptor: int, path: Path, size: int) -> tuple[str, int]:
        with self._lock:
            running = self._running.get(session)
        whole = running is not None and running.until == size and not running.busy
        if whole and running is not None and os.pread(descriptor, _MARK_BYTES, size) == running.mark:
            return running.hasher.hexdigest(), size
        present = max(0, os.fstat(descriptor).st_size - _MARK_BYTES)
        if present != size:
            return "", present
        os.ftruncate(descriptor, size)
        with open_regular(path, path.name) as file:
            hasher, total = hash_stream(file)
        return hasher.hexdigest(), total


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
