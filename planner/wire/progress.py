"""Progress through a folder's bytes, for work that passes over them once or more."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

CHUNK_BYTES: Final = 1 << 20


class Steps:
    """Counts bytes over `passes` passes of a folder and reports bytes done and bytes in all. Thread-safe."""

    def __init__(self, directory: Path, report: Callable[[int, int], None] | None, *, passes: int) -> None:
        self._report = report
        self._total = passes * (folder_bytes(directory) if report is not None else 0)
        self._done = 0
        self._lock = threading.Lock()

    def advance(self, count: int) -> None:
        """Note `count` more bytes."""
        if self._report is not None:
            with self._lock:
                self._done = min(self._done + count, self._total)
                self._report(self._done, self._total)

    def finish(self) -> None:
        """Note that everything is done, also what turned out not to be necessary."""
        if self._report is not None:
            self._report(self._total, self._total)

    def read(self, path: Path, *, start: int = 0) -> Iterator[bytes]:
        """Yield a file's bytes from `start`, noting them on the way."""
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
                self.advance(len(chunk))


def folder_bytes(directory: Path) -> int:
    """Return the bytes of the files under `directory` that are not hidden; 0 when it cannot be read."""
    total = 0
    for folder, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                try:
                    total += (Path(folder) / name).stat().st_size
                except OSError:
                    continue
    return total
