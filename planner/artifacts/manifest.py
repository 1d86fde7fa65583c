"""Manifests: the files of a folder with their sizes and hashes, as they would be registered."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from planner.artifacts.bundle import SIGNATURE_NAME
from planner.artifacts.durable import hash_stream, open_regular
from planner.artifacts.hash_cache import HashCache
from planner.domain.variant import Artifact, check_path
from planner.errors import InvalidFile, InvalidInput

MAX_FILES: Final = 10_000
MAX_NAME_BYTES: Final = 255
"""Longest file name that common file systems store."""

_MAX_DEPTH: Final = 32
_SKIPPED_FOLDERS: Final = frozenset({"__pycache__"})


def scan(
    directory: Path,
    *,
    progress: Callable[[int], None] | None = None,
    workers: int = 4,
    cache: HashCache | None = None,
) -> tuple[Artifact, ...]:
    """Return the files under `directory` as artifacts, sorted by path.

    Hidden files and folders (`.git`, `.cache`, …) and `__pycache__` are left out. `progress` gets the bytes hashed
    since its last call; files whose hash `cache` knows are not read. Raises InvalidInput for a missing or empty folder, InvalidFile for anything that is not a
    regular file inside the folder, for a name that cannot be kept, and for a file that changes while it is read.
    """
    if not directory.is_dir():
        raise InvalidInput(
            "directory", f"`{directory}` is not a folder", allowed="a folder with a variant's files"
        )
    root = directory.resolve()
    files = list(_walk(root, "", root))
    if not files:
        raise InvalidInput(
            "directory", f"`{directory}` holds no files", allowed="a folder with a variant's files"
        )
    lock = threading.Lock()

    def report(count: int) -> None:
        if progress is not None:
            with lock:
                progress(count)

    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="scan") as pool:
        futures = [pool.submit(_hash, path, label, report, cache) for label, path in files]
        try:
            artifacts = [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if cache is not None:
        cache.save()
    return tuple(sorted(artifacts))


def is_left_out(path: str) -> bool:
    """Return whether a file with this path inside a folder is no part of a variant: hidden, a cache of Python's, or its signature."""
    return path == SIGNATURE_NAME or any(
        part.startswith(".") or part in _SKIPPED_FOLDERS for part in path.split("/")
    )


def _walk(folder: Path, prefix: str, root: Path, depth: int = 0) -> Iterator[tuple[str, Path]]:
    if depth > _MAX_DEPTH:
        raise InvalidFile(prefix, "", "is nested too deeply", allowed=f"{_MAX_DEPTH} folders")
    count = 0
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            label = prefix + entry.name
            if is_left_out(label):
                continue
            _check_name(entry.name, label)
            path = Path(entry.path)
            if entry.is_symlink():
                path = _follow(path, label, root)
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                for found in _walk(path, label + "/", root, depth + 1):
                    count += 1
                    yield found
            elif stat.S_ISREG(mode):
                count += 1
                yield label, path
            else:
                raise InvalidFile(
                    label, "", "is not a regular file", allowed="regular files, no devices, pipes or sockets"
                )
            if count > MAX_FILES:
                raise InvalidInput(
                    "directory", f"holds more than {MAX_FILES} files", allowed="one variant's files"
                )


def _check_name(name: str, label: str) -> None:
    shown = label.encode("utf-8", "backslashreplace").decode()
    try:
        encoded = name.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidFile(shown, "", "its name is not UTF-8", allowed="UTF-8 file names") from None
    if len(encoded) > MAX_NAME_BYTES:
        raise InvalidFile(shown[:80] + "…", "", "its name is too long", allowed=f"{MAX_NAME_BYTES} bytes")
    check_path(label)


def _follow(path: Path, label: str, root: Path) -> Path:
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise InvalidFile(
            label, "", "is a symbolic link to nothing", allowed="links to files in the folder"
        ) from error
    if not real.is_relative_to(root):
        raise InvalidFile(
            label,
            "",
            "is a symbolic link that leaves the folder",
            allowed="links to files in the folder; `cp -rL` makes a plain copy",
        )
    if not real.is_file():
        raise InvalidFile(
            label, "", "is a symbolic link to something else than a file", allowed="links to files"
        )
    return real


def _hash(
    path: Path, label: str, progress: Callable[[int], None], cache: HashCache | None = None
) -> Artifact:
    with open_regular(path, label, follow=False) as file:
        before = os.fstat(file.fileno())
        if cache is not None and (known := cache.get(label, before)) is not None:
            progress(before.st_size)
            return Artifact(path=label, size=before.st_size, sha256=known)
        hasher, total = hash_stream(file, progress)
        after = os.fstat(file.fileno())
    if total != before.st_size or (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise InvalidFile(label, "", "changed while it was read", allowed="a folder nobody writes to")
    if cache is not None:
        cache.put(label, after, hasher.hexdigest())
    return Artifact(path=label, size=total, sha256=hasher.hexdigest())
