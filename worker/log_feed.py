"""What a job prints, in stretches that a server takes: read from the log file as it grows.

The server keeps the end of a long log, so a stretch that would come too late is skipped here rather than sent: a
chatty job must not delay its own heartbeats.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from planner.domain.job_log import MAX_CHUNK_BYTES, LogChunk

MAX_BEHIND_BYTES: Final = 8 * MAX_CHUNK_BYTES
"""How far sending may lag behind printing before the older part is skipped."""


class LogFeed:
    """The part of a log file that was not sent yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sent = 0

    def has_more(self) -> bool:
        """Return whether there is something to send."""
        return self._size() > self._sent

    def next(self) -> LogChunk | None:
        """Return the next stretch, None when all is sent. The same one comes again until `sent` is called."""
        size = self._size()
        start = self._sent if size - self._sent <= MAX_BEHIND_BYTES else size - MAX_CHUNK_BYTES
        try:
            with self._path.open("rb") as file:
                file.seek(start)
                content = file.read(MAX_CHUNK_BYTES)
        except OSError:
            return None
        whole = _whole_characters(content)
        if not whole:
            return None
        return LogChunk(start=start, end=start + len(whole), text=whole.decode("utf-8", errors="replace"))

    def sent(self, chunk: LogChunk) -> None:
        """Note that the server has `chunk`."""
        self._sent = max(self._sent, chunk.end)

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0


def _whole_characters(content: bytes) -> bytes:
    """Return `content` without the first bytes of a UTF-8 character whose rest is not there yet."""
    for back in range(1, min(4, len(content)) + 1):
        byte = content[-back]
        if byte & 0b1100_0000 == 0b1000_0000:
            continue
        length = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
        return content[:-back] if length > back else content
    return content
