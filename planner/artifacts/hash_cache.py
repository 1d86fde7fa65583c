"""Hashes that are known already: a file that nobody has touched since it was hashed is not read again.

A hash is kept under the file's path, device, inode, size, time of modification and time of change, all exactly as when it
was read. Writing to a file, replacing it or setting its times back changes at least one of them: the time of change
cannot be set by a program. Two things could deceive it and do not: a file changed within the resolution of its times
right after it was read, since a hash is kept only of files that were left alone for two seconds before; and a clock that
was set back, where times later than now are not believed. What remains is a file system that does not keep these times,
or pages written through a memory map that are not flushed yet: `--rehash` reads everything. The bytes that are uploaded
are hashed by the server in any case.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from planner.domain.variant import SHA256

SETTLED_SECONDS: Final = 2.0
"""How long a file must have been left alone: FAT's times, the coarsest in use, come in steps of two seconds."""
MAX_BYTES: Final = 64 * 1024**2
KEPT_FOLDERS: Final = 500


class Known(msgspec.Struct, frozen=True, array_like=True):
    """A file as it was when it was hashed: device, inode, size, modified and changed in nanoseconds, sha256."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int
    sha256: str

    def is_of(self, found: os.stat_result) -> bool:
        """Return whether this is the file that `found` describes, unchanged."""
        return (self.device, self.inode, self.size, self.modified, self.changed) == (
            found.st_dev,
            found.st_ino,
            found.st_size,
            found.st_mtime_ns,
            found.st_ctime_ns,
        )


class HashCache:
    """Hashes of the files of one folder, kept in a file below `cache`. A damaged or unwritable one is none. Thread-safe."""

    def __init__(self, cache: Path, folder: Path) -> None:
        self._cache = cache
        self._file = cache / f"{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]}.json"
        self._known = _read(self._file)
        self._seen: dict[str, Known] = {}
        self.hits = 0

    def get(self, label: str, found: os.stat_result) -> str | None:
        """Return the sha256 of the file at `label` inside the folder, None when it has to be read."""
        known = self._known.get(label)
        if known is None or not known.is_of(found):
            return None
        self._seen[label] = known
        self.hits += 1
        return known.sha256

    def put(self, label: str, found: os.stat_result, sha256: str) -> None:
        """Keep the hash of a file that was just read, unless it has been touched too recently to be sure of it."""
        if time.time() - max(found.st_mtime, found.st_ctime) < SETTLED_SECONDS:
            return
        self._seen[label] = Known(
            found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, sha256
        )

    def save(self) -> None:
        """Write what is known of the files seen; failing to is no error, as it only costs time later."""
        if self._seen == self._known:
            return
        staged = self._file.with_name(f".{secrets.token_hex(8)}")
        try:
            self._cache.mkdir(parents=True, exist_ok=True, mode=0o700)
            staged.write_bytes(msgspec.json.encode(self._seen))
            staged.chmod(0o600)
            staged.replace(self._file)
            _drop_oldest(self._cache)
        except OSError:
            with suppress(OSError):
                staged.unlink()


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return where hashes are kept: below XDG_CACHE_HOME, or `~/.cache`."""
    home = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".cache")
    return Path(home) / "variant-planner" / "hashes"


def _read(file: Path) -> dict[str, Known]:
    try:
        if file.stat().st_size > MAX_BYTES or file.stat().st_uid != os.geteuid():
            return {}
        known = msgspec.json.decode(file.read_bytes(), type=dict[str, Known])
    except (OSError, msgspec.MsgspecError):
        return {}
    return {label: each for label, each in known.items() if SHA256.fullmatch(each.sha256)}


def _drop_oldest(cache: Path) -> None:
    files = sorted(cache.glob("*.json"), key=lambda file: file.stat().st_mtime)
    for file in files[:-KEPT_FOLDERS]:
        file.unlink(missing_ok=True)
