"""Deterministic bytes: the same build must have the same digest.

The safetensors writer lays tensors out in a fixed order but writes the header's metadata in the random order of a hash
map. Sorting the header's keys in place makes equal builds equal bytes; not one tensor byte moves.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from planner.errors import InvalidFile

_MAX_HEADER: Final = 100_000_000
"""The format's own limit on the header, in bytes."""


def canonicalize(path: Path) -> None:
    """Rewrite the header of a safetensors file with sorted keys, padded with spaces to its old length.

    Raises InvalidFile when the file is no safetensors file, or when its header has no room for its own content.
    """
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 2 <= size <= min(_MAX_HEADER, path.stat().st_size - 8):
            raise InvalidFile(path.name, "header", f"length {size} is out of range")
        try:
            header = json.loads(file.read(size))
        except ValueError as error:
            raise InvalidFile(path.name, "header", f"is not JSON: {error}") from error
        content = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        if len(content) > size:
            raise InvalidFile(path.name, "header", f"needs {len(content)} bytes and has {size}")
        file.seek(8)
        file.write(content.ljust(size))
        file.flush()
        os.fsync(file.fileno())
