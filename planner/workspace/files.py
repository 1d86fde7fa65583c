"""The content-addressed files."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from planner.artifacts.parts import Parts
from planner.artifacts.resumable import Resumable
from planner.domain.units import format_bytes
from planner.errors import NotFound, OutOfSpace
from planner.wire.replies import Received, Upload
from planner.workspace.opened import Opened


class Files(Opened):
    """Implements `planner.wire.service.Bytes`. Files become part of the registry with the variant that uses them."""

    @cached_property
    def _resumable(self) -> Resumable:
        return Resumable(self.store, Parts(self.store))

    def missing(self, sha256: Sequence[str]) -> tuple[str, ...]:
        """Return those of the digests that the store does not hold. The others are kept a while for who asks."""
        return tuple(digest for digest in dict.fromkeys(sha256) if not self.store.touch(digest))

    def upload(self, chunks: Iterable[bytes], *, sha256: str, size: int | None = None) -> Upload:
        """Store bytes under their digest. Raises IntegrityFailure, and OutOfSpace when the disk has no room."""
        if size is not None and self.store.size(sha256) is None:
            self._check_room(size)
        blob = self.store.put(chunks, sha256=sha256, size=size)
        return Upload(sha256=blob.sha256, size=blob.size, created=blob.created)

    def received(self, sha256: str, *, size: int) -> Received:
        """Return how far the upload of a file has come."""
        return self._resumable.received(sha256, size)

    def append(self, chunks: Iterable[bytes], *, sha256: str, size: int, start: int, length: int) -> Received:
        """Take the next bytes of a file. Raises OutOfSpace at the first ones when the disk has no room for all."""
        if start == 0 and self.store.size(sha256) is None:
            self._check_room(size)
        return self._resumable.append(chunks, sha256=sha256, size=size, start=start, length=length)

    def _check_room(self, size: int) -> None:
        free = shutil.disk_usage(self.settings.blob_dir).free
        if size > free:
            raise OutOfSpace(
                f"no room for {format_bytes(size, binary=False)}: {format_bytes(free, binary=False)} free"
            )

    def artifact_size(self, sha256: str) -> int:
        """Return the size of a stored file in bytes."""
        size = self.store.size(sha256)
        if size is None:
            raise NotFound("artifact", sha256)
        return size

    def open_artifact(self, sha256: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Return the bytes of a stored file from `start`."""
        return self.store.open(sha256, start, length)
