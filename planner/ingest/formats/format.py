"""Format: what every importer offers, so that recognition and reading need not know which one it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from planner.ingest.imported import Imported
from planner.ingest.source import Source

CERTAIN: Final = 1.0
LIKELY: Final = 0.7
NO: Final = 0.0


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """One format of one tool."""

    name: str
    """Short and stable, such as `vllm-serve`."""
    title: str
    expected: str
    """What a file of it looks like: shown when nothing matches or a version is not known."""
    detect: Callable[[Source], float]
    """Return a confidence, 0 to 1. Never raises for content of another format."""
    read: Callable[[Source], Imported]
    """Return what the file says. Raises InvalidFile naming the field."""
