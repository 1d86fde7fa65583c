"""The content-addressed files."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence

from planner.domain.units import format_bytes
from planner.errors import NotFound, OutOfSpace
from planner.wire.replies import Upload
from planner.workspace.opened import Opened


class Files(Opened):
    """Implements `planner.wire.service.Bytes`. Files become part of the registry with the variant that uses them."""

    def missing(self, sha256: Sequence[str]) -> tuple[str, ...]:
        """Return those of the digests that the store does not hold."""
        return tuple(digest for digest in dict.fromkeys(sha256) if self.store.size(digest) is None)

    def upload(self, chunks: Iterable[bytes], *, sha256: str, size: int | None = None) -> Upload:
        """Store bytes under their digest. Raises IntegrityFailure, and OutOfSpace when the disk has no room."""
        free = shutil.disk_usage(self.settings.blob_dir).free
        if size is not None and size > free and self.store.size(sha256) is None:
            raise OutOfSpace(
                f"no room for {format_bytes(size, binary=False)}: {format_bytes(free, binary=False)} free"
            )
        blob = self.store.put(chunks, sha256=sha256, size=size)
        return Upload(sha256=blob.sha256, size=blob.size, created=blob.created)

    def artifact_size(self, sha256: str) -> int:
        """Return the size of a stored file in bytes."""
        size = self.store.size(sha256)
        if size is None:
            raise NotFound("artifact", sha256)
        return size

    def open_artifact(self, sha256: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Return the bytes of a stored file from `start`."""
        return self.store.open(sha256, start, length)
