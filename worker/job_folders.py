"""Folders that jobs work in: one for each, removed when it ends, and swept up when its worker was killed.

A folder is held by a lock that the system drops with the process, so that workers that share a disk never sweep what
another one uses.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

_HELD: Final = ".held"


@contextmanager
def job_folder(work: Path, name: str) -> Generator[Path]:
    """Yield a new folder for the job, which is gone afterwards. Raises OSError when there is no room for it."""
    root = work / "jobs"
    root.mkdir(parents=True, exist_ok=True)
    folder = root / "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)[:120]
    try:
        with _locked(work):
            folder.mkdir(exist_ok=True)
            held = _hold(folder / _HELD)
        with held:
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(work: Path) -> int:
    """Remove the folders of jobs whose worker is gone; returns how many."""
    root = work / "jobs"
    if not root.is_dir():
        return 0
    removed = 0
    with _locked(work):
        for folder in root.iterdir():
            if not folder.is_dir():
                continue
            try:
                held = _hold(folder / _HELD)
            except OSError:
                continue  # in use, or not ours to touch
            with held:
                shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return removed


@contextmanager
def _locked(work: Path) -> Generator[None]:
    with (work / "jobs.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _hold(path: Path) -> IO[bytes]:
    """Return the open file whose lock holds the folder. Raises BlockingIOError when another process has it."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        file.close()
        raise
    return file
