"""What a job printed, attempt by attempt: bounded, and explicit about what is missing.

Positions are bytes of the log on the worker. A worker sends stretches of it in order; what it skipped, or what was
dropped to keep the bound, is a gap between positions, and reading puts a line in its place that says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

MAX_CHUNK_BYTES: Final = 32 * 1024
"""Most bytes of a log that travel at once."""
MAX_LOG_BYTES: Final = 1024 * 1024
"""Most bytes kept of one attempt's log: its end, which is where failures are explained."""
MAX_READ_BYTES: Final = 256 * 1024
"""About how much one answer holds."""


class LogChunk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The stretch of a log from byte `start` to byte `end`, as text: bytes that are no UTF-8 are replaced."""

    start: int
    end: int
    text: str


class JobLog(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of an attempt's log. Ask again from `next_offset` for more, until `ended`."""

    job_id: str
    attempt: int
    offset: int
    next_offset: int
    text: str
    truncated: bool
    """Part of this stretch is gone; `text` has a line where it was."""
    ended: bool
    """The attempt is over and this is the end of its log."""


def render(chunks: Iterable[LogChunk], offset: int) -> tuple[str, int, bool]:
    """Return the text of `chunks` from `offset`, the position after it, and whether something was missing."""
    parts: list[str] = []
    truncated = False
    for chunk in chunks:
        if chunk.end <= offset:
            continue
        if chunk.start > offset:
            truncated = True
            if parts and not parts[-1].endswith("\n"):
                parts.append("\n")
            parts += [mark(chunk.start - offset), "\n", chunk.text]
        elif chunk.start < offset:
            parts.append(chunk.text.encode()[offset - chunk.start :].decode("utf-8", errors="replace"))
        else:
            parts.append(chunk.text)
        offset = chunk.end
    return "".join(parts), offset, truncated


def mark(missing: int) -> str:
    """Return the line that stands for `missing` bytes."""
    return f"[… {missing:,} bytes truncated …]"
