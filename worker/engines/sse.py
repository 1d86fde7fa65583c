"""Server-sent events from a stream of bytes that may be cut anywhere and may be hostile: every size has a limit."""

from __future__ import annotations

from typing import Final

MAX_LINE_BYTES: Final = 2**20
MAX_STREAM_BYTES: Final = 2**26


class BadStream(Exception):
    """The bytes are no stream of events that one could want."""


class EventParser:
    """Takes bytes as they come and returns the data of every event that is complete.

    Fields other than `data` and comments are skipped, as the standard says. Raises BadStream past a limit.
    """

    def __init__(
        self, *, max_line_bytes: int = MAX_LINE_BYTES, max_stream_bytes: int = MAX_STREAM_BYTES
    ) -> None:
        self._max_line, self._max_stream = max_line_bytes, max_stream_bytes
        self._rest = b""
        self._data: list[bytes] = []
        self._held = 0
        self._total = 0

    def feed(self, content: bytes) -> list[bytes]:
        """Return the data of the events that `content` completes."""
        self._total += len(content)
        if self._total > self._max_stream:
            raise BadStream(f"the stream is longer than {self._max_stream} bytes")
        *lines, self._rest = (self._rest + content).split(b"\n")
        if len(self._rest) > self._max_line:
            raise BadStream(f"a line is longer than {self._max_line} bytes")
        events: list[bytes] = []
        for line in lines:
            self._take(line.removesuffix(b"\r"), events)
        return events

    def _take(self, line: bytes, events: list[bytes]) -> None:
        if not line:
            if self._data:
                events.append(b"\n".join(self._data))
                self._data, self._held = [], 0
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            self._held += len(value)
            if self._held > self._max_line:
                raise BadStream(f"an event is longer than {self._max_line} bytes")
            self._data.append(value.removeprefix(b" "))
