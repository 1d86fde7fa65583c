"""The chunks of xorbs that were uploaded: first in files as they were sent, later in the blobs that they became part of.

Beside each xorb lies an index with one entry a chunk: its hash, its size, and where it lies. When all chunks of a xorb lie
in blobs the xorb is removed and its index stays (a thousandth of it), because clients remember what they have sent and name it again.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import struct
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from planner.artifacts.durable import disk_errors, make_directories, sync_directory, write_all
from planner.artifacts.store import BlobStore
from planner.artifacts.xet.hashes import SIZE, chunk_hash, from_text, to_text, xorb_hash
from planner.artifacts.xet.xorb import HEADER, read_records, unpack_record
from planner.errors import IntegrityFailure, InvalidInput, NotFound

UNUSED_SECONDS: Final = 7 * 24 * 3_600.0
"""Age at which a xorb belongs to an upload that nobody goes on with."""
_INDEX: Final = ".index"
_ENTRY: Final = struct.Struct("<32sI32sQ")
_IN_XORB: Final = bytes(SIZE)


class Chunk(msgspec.Struct, frozen=True):
    """A chunk: its hash, its size in bytes, and where it begins: in the blob `blob`, or in the xorb when that is None."""

    digest: bytes
    size: int
    start: int
    blob: str | None = None


class Chunks:
    """Chunks under `root`, which is created when missing; `store` holds the blobs. Threads and processes may share it."""

    def __init__(self, root: Path, store: BlobStore) -> None:
        self._root = root
        self._store = store
        with disk_errors("opening the store of chunks"):
            make_directories(root)
        self.sweep()

    def sweep(self, *, older_than: float = UNUSED_SECONDS) -> int:
        """Remove xorbs that nobody has made files of for `older_than` seconds, and return how many they were."""
        removed, now = 0, time.time()
        with disk_errors("sweeping xorbs"):
            for path in (*self._root.glob("staged-*"), *self._root.glob("??/*")):
                with suppress(FileNotFoundError):  # another process was faster
                    if path.suffix != _INDEX and now - path.stat().st_mtime > older_than:
                        path.unlink()
                        removed += 1
        return removed

    def add(self, xorb: str, pieces: Iterable[bytes]) -> bool:
        """Keep the xorb whose bytes are `pieces`, on disk when this returns; False when it was there, with nothing read.

        Raises IntegrityFailure when its hash is another one, InvalidInput for bytes that are no xorb; nothing is kept then.
        """
        from_text(xorb)
        if self._holds(xorb):
            for _ in pieces:  # to the end, so that the client is not cut off
                pass
            return False
        staged = self._root / f"staged-{os.getpid()}-{secrets.token_hex(8)}"
        try:
            found = self._write(staged, pieces)
            digest = to_text(xorb_hash([(chunk.digest, chunk.size) for chunk in found]))
            if digest != xorb:
                raise IntegrityFailure(f"xorb: its hash is {digest} instead of {xorb}")
            with disk_errors("keeping a xorb"), self._alone():
                make_directories(self._file(xorb).parent)
                staged.replace(self._file(xorb))
                self._write_index(xorb, found)
        finally:
            staged.unlink(missing_ok=True)
        return True

    def _holds(self, xorb: str) -> bool:
        """Return whether every chunk of the xorb can be read."""
        try:
            chunks = self.index(xorb)
        except NotFound:
            return False
        held = {blob: self._store.size(blob) is not None for blob in {each.blob for each in chunks} if blob}
        return all(held.values()) and (all(chunk.blob for chunk in chunks) or self._file(xorb).exists())

    def index(self, xorb: str) -> tuple[Chunk, ...]:
        """Return the chunks of a xorb in order. Raises NotFound."""
        try:
            data = self._index(xorb).read_bytes()
        except FileNotFoundError:
            raise NotFound("xorb", xorb) from None
        return tuple(
            Chunk(digest, size, start, None if blob == _IN_XORB else blob.hex())
            for digest, size, blob, start in _ENTRY.iter_unpack(data)
        )

    def read(self, xorb: str, chunks: Sequence[Chunk]) -> Iterator[bytes]:
        """Yield the bytes of some of a xorb's chunks, each one checked. Raises NotFound when they are gone."""
        file: int | None = None
        try:
            for chunk in chunks:
                if chunk.blob is None and file is None:
                    file = self._open(xorb)
                data = self._from_blob(xorb, chunk) if file is None or chunk.blob else _from_xorb(file, chunk)
                if chunk_hash(data) != chunk.digest:
                    raise IntegrityFailure(f"xorb {xorb}: a chunk is not what it was when it was sent")
                yield data
        finally:
            if file is not None:
                os.close(file)

    def moved(self, places: Mapping[str, Mapping[int, tuple[str, int]]]) -> None:
        """Note where chunks lie now: by xorb, by number, the blob and where in it. Xorbs that nothing needs are removed."""
        with disk_errors("moving chunks"), self._alone():
            for xorb, known in places.items():
                chunks = list(self.index(xorb))
                for number, (blob, start) in known.items():
                    chunk = chunks[number]
                    chunks[number] = Chunk(chunk.digest, chunk.size, start, blob)
                self._write_index(xorb, chunks)
                if all(chunk.blob for chunk in chunks):
                    self._file(xorb).unlink(missing_ok=True)

    # -- files ----------------------------------------------------------------------------------------------------

    def _file(self, xorb: str) -> Path:
        return self._root / xorb[:2] / xorb

    def _index(self, xorb: str) -> Path:
        return self._root / xorb[:2] / f"{xorb}{_INDEX}"

    def _write(self, staged: Path, pieces: Iterable[bytes]) -> list[Chunk]:
        found: list[Chunk] = []
        with disk_errors("staging a xorb"):
            file = staged.open("xb", buffering=1 << 20)
        with _closing(file):
            for record in read_records(pieces):
                with disk_errors("writing a xorb"):
                    file.write(record.sent)
                found.append(Chunk(record.digest, record.size, record.start))
            with disk_errors("syncing a xorb"):
                file.flush()
                os.fsync(file.fileno())
        if not found:
            raise InvalidInput("xorb", "has no chunks", allowed="one or more")
        return found

    def _write_index(self, xorb: str, chunks: Iterable[Chunk]) -> None:
        path = self._index(xorb)
        data = b"".join(
            _ENTRY.pack(
                chunk.digest, chunk.size, bytes.fromhex(chunk.blob) if chunk.blob else _IN_XORB, chunk.start
            )
            for chunk in chunks
        )
        staged = self._root / f"staged-{os.getpid()}-{secrets.token_hex(8)}"
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        staged.replace(path)
        sync_directory(path.parent)

    def _open(self, xorb: str) -> int:
        try:
            return os.open(self._file(xorb), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound("xorb", xorb) from None

    def _from_blob(self, xorb: str, chunk: Chunk) -> bytes:
        if chunk.blob is None or self._store.size(chunk.blob) is None:
            raise NotFound("xorb", xorb)
        return b"".join(self._store.open(chunk.blob, chunk.start, chunk.size))

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Hold all others off: an index is read, changed and written by one at a time."""
        descriptor = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


@contextmanager
def _closing(file: BinaryIO) -> Generator[None]:
    """Close `file` at the end. After an error nothing is to be saved, and what closing says would hide what went wrong."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            file.close()
        raise
    with disk_errors("closing a xorb"):
        file.close()


def _from_xorb(file: int, chunk: Chunk) -> bytes:
    header = os.pread(file, HEADER, chunk.start)
    return unpack_record(header + os.pread(file, int.from_bytes(header[1:4], "little"), chunk.start + HEADER))
