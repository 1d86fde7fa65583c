"""Verified fetch: a variant's files from any source of bytes into a folder, resumable, and never half-visible.

Bytes arrive in `.planner-partial/<sha256>` inside the folder and are hashed while they are written. A fetch that was
killed continues from the partial files, whose hash is recomputed from the bytes really there. Files take their places
by rename only after every one of them is verified and on disk.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

import msgspec

from planner.artifacts.durable import (
    disk_errors,
    hash_stream,
    make_directories,
    open_regular,
    read_chunks,
    sync_directory,
    write_all,
)
from planner.artifacts.store import BlobStore
from planner.domain.units import format_bytes
from planner.domain.variant import Artifact, check_path
from planner.errors import Conflict, IntegrityFailure, InvalidInput, OutOfSpace, Unavailable

PARTIAL: Final = ".planner-partial"
"""Folder inside the target that holds files in flight; it is gone after a successful fetch."""

MAX_STALLS: Final = 4
"""Attempts without a single new byte after which a source counts as out of reach."""

_FIRST_PAUSE_S: Final = 0.25
Progress = Callable[[Artifact, int], None]


class ByteSource(Protocol):
    """Where a fetch gets bytes from."""

    def read(self, artifact: Artifact, start: int) -> Iterator[bytes]:
        """Yield the artifact's bytes from `start` on. Raises Unavailable when trying again may help, NotFound else."""
        ...


class LocalSource:
    """Bytes from a blob store on this machine."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store

    def read(self, artifact: Artifact, start: int) -> Iterator[bytes]:
        """Yield the artifact's bytes from `start` on."""
        return self._store.open(artifact.sha256, start)


class FetchReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a fetch did: files in place, their bytes, how many were transferred, and how many were already here."""

    files: int
    bytes_total: int
    bytes_fetched: int
    bytes_resumed: int
    seconds: float


def fetch(
    source: ByteSource,
    artifacts: Iterable[Artifact],
    directory: Path,
    *,
    workers: int = 4,
    progress: Progress | None = None,
    verify_existing: bool = True,
) -> FetchReport:
    """Bring `artifacts` into `directory` and return what was done.

    Files that are already right are kept: their hash is computed, or only their size compared without
    `verify_existing`. `progress` gets an artifact and how many of its bytes are here now; it is called from worker
    threads, one at a time. Raises IntegrityFailure when a file is wrong twice (nothing becomes visible), Unavailable
    when the source or disk fails or space is short, Conflict when another fetch works on the folder, InvalidInput for
    paths that clash. What was received is kept for the next fetch, except bytes that proved wrong.
    """
    began = time.monotonic()
    wanted = _check(artifacts)
    with disk_errors(f"creating {directory}"):
        make_directories(directory)
        make_directories(directory / PARTIAL)
    with _exclusive(directory):
        job = _Fetch(source, directory, progress)
        pending = job.survey(wanted, verify_existing=verify_existing)
        job.preflight(pending)
        job.receive(pending, workers)
        job.place(pending)
        with suppress(OSError):  # left in place when it still holds partial files of another manifest
            (directory / PARTIAL / "lock").unlink()
            (directory / PARTIAL).rmdir()
    return FetchReport(
        files=len(wanted),
        bytes_total=sum(artifact.size for artifact in wanted),
        bytes_fetched=job.fetched,
        bytes_resumed=job.resumed,
        seconds=time.monotonic() - began,
    )


def _check(artifacts: Iterable[Artifact]) -> tuple[Artifact, ...]:
    """Return the artifacts sorted by path. Raises InvalidInput for paths that clash or leave the folder."""
    wanted = tuple(sorted(artifacts))
    if not wanted:
        raise InvalidInput("artifacts", "are empty", allowed="at least one file")
    files: set[str] = set()
    folders: set[str] = set()
    for artifact in wanted:
        check_path(
            artifact.path
        )  # artifacts from a decoder were checked; ones built by hand with force may not be
        folded = artifact.path.casefold()
        if folded.split("/")[0] == PARTIAL:
            raise InvalidInput("artifact.path", f"`{artifact.path}` is inside the fetch's own folder")
        if folded in files:
            raise InvalidInput("artifact.path", f"`{artifact.path}` appears twice", allowed="unique paths")
        files.add(folded)
        pieces = folded.split("/")
        folders.update("/".join(pieces[:count]) for count in range(1, len(pieces)))
    clash = files & folders
    if clash:
        raise InvalidInput(
            "artifact.path", f"`{min(clash)}` is both a file and a folder", allowed="unique paths"
        )
    return wanted


@contextmanager
def _exclusive(directory: Path) -> Generator[None]:
    """Hold the folder's lock, which the system releases when the process dies."""
    with disk_errors("locking the target folder"):
        descriptor = os.open(
            directory / PARTIAL / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644
        )
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Conflict(f"another fetch is working on {directory}", directory=str(directory)) from error
        yield
    finally:
        os.close(descriptor)


class _Fetch:
    """One fetch in progress."""

    def __init__(self, source: ByteSource, directory: Path, progress: Progress | None) -> None:
        self._source = source
        self._directory = directory
        self._progress = progress
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.fetched = 0
        self.resumed = 0

    def _partial(self, sha256: str) -> Path:
        return self._directory / PARTIAL / sha256

    def _report(self, artifacts: Sequence[Artifact], here: int) -> None:
        if self._progress is not None:
            with self._lock:
                for artifact in artifacts:
                    self._progress(artifact, here)

    def _count(self, *, fetched: int = 0, resumed: int = 0) -> None:
        with self._lock:
            self.fetched += fetched
            self.resumed += resumed

    # -- before ---------------------------------------------------------------------------------------------------

    def survey(self, wanted: Sequence[Artifact], *, verify_existing: bool) -> dict[str, list[Artifact]]:
        """Return what is missing, by sha256: the same bytes at two paths are fetched once."""
        pending: dict[str, list[Artifact]] = {}
        for artifact in wanted:
            if self._is_here(artifact, verify=verify_existing):
                self._count(resumed=artifact.size)
                self._report([artifact], artifact.size)
            else:
                pending.setdefault(artifact.sha256, []).append(artifact)
                if pending[artifact.sha256][0].size != artifact.size:
                    raise InvalidInput(
                        "artifact.size", f"`{artifact.path}` has another size than the same sha256 elsewhere"
                    )
        return pending

    def _is_here(self, artifact: Artifact, *, verify: bool) -> bool:
        place = self._place(artifact)
        try:
            status = place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        if stat.S_ISDIR(status.st_mode):
            raise InvalidInput(
                "directory", f"`{artifact.path}` is a folder there", allowed="a folder without it"
            )
        if not stat.S_ISREG(status.st_mode) or status.st_size != artifact.size:
            return False
        if not verify:
            return True
        with open_regular(place, artifact.path, follow=False) as file:
            return hash_stream(file)[0].hexdigest() == artifact.sha256

    def _place(self, artifact: Artifact) -> Path:
        """Return where the artifact goes. Raises InvalidInput when a symbolic link on the way could lead elsewhere."""
        place = self._directory
        for part in artifact.path.split("/")[:-1]:
            place /= part
            if place.is_symlink():
                raise InvalidInput("directory", f"`{place}` is a symbolic link", allowed="plain folders")
        return self._directory / artifact.path

    def preflight(self, pending: Mapping[str, Sequence[Artifact]]) -> None:
        """Raise OutOfSpace when the disk cannot hold what is missing."""
        needed = 0
        for sha256, artifacts in pending.items():
            partial = self._partial(sha256)
            present = partial.stat().st_size if partial.is_file() else 0
            needed += artifacts[0].size * len(artifacts) - min(present, artifacts[0].size)
        with disk_errors("reading free space"):
            free = shutil.disk_usage(self._directory).free
        if needed > free:
            raise OutOfSpace(
                f"{self._directory} has {format_bytes(free, binary=False)} free, "
                f"{format_bytes(needed, binary=False)} are needed",
                needed_bytes=needed,
                free_bytes=free,
            )

    # -- transfer -------------------------------------------------------------------------------------------------

    def receive(self, pending: Mapping[str, Sequence[Artifact]], workers: int) -> None:
        """Fetch every missing file into its partial file and verify it; the first error stops the others."""
        if not pending:
            return
        largest_first = sorted(pending.values(), key=lambda artifacts: -artifacts[0].size)
        with ThreadPoolExecutor(max_workers=max(1, workers), thread_name_prefix="fetch") as pool:
            futures = [pool.submit(self._receive, artifacts) for artifacts in largest_first]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                failures = [error for future in done if (error := future.exception()) is not None]
            except BaseException:
                self._stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
            if failures:
                self._stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise failures[0]

    def _receive(self, artifacts: Sequence[Artifact]) -> None:
        artifact = artifacts[0]
        for attempt in (1, 2):
            with disk_errors(f"receiving {artifact.path}"):
                descriptor = os.open(
                    self._partial(artifact.sha256),
                    os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW,
                    0o666,
                )
            try:
                digest = self._fill(descriptor, artifact, artifacts)
                if digest == artifact.sha256:
                    with disk_errors(f"syncing {artifact.path}"):
                        os.fsync(descriptor)
                    return
            finally:
                os.close(descriptor)
            self._partial(artifact.sha256).unlink(missing_ok=True)
            self._report(artifacts, 0)
            if attempt == 2:
                raise IntegrityFailure(
                    f"{artifact.path}: received bytes with sha256 {digest} instead of {artifact.sha256}, twice",
                    path=artifact.path,
                    expected=artifact.sha256,
                    received=digest,
                )

    def _fill(self, descriptor: int, artifact: Artifact, artifacts: Sequence[Artifact]) -> str:
        """Complete the partial file from where it ends and return its sha256, or "" when the source sent too much."""
        with os.fdopen(descriptor, "rb", buffering=0, closefd=False) as file:
            hasher, here = hash_stream(file)
        if here > artifact.size:
            return ""
        self._count(resumed=here)
        self._report(artifacts, here)
        stalls = 0
        while here < artifact.size:
            start, trouble = here, [f"the source ended after {here} of {artifact.size} bytes"]
            for chunk in self._chunks(artifact, here, trouble):
                self._check_stop(artifact)
                here += len(chunk)
                if here > artifact.size:
                    return ""
                hasher.update(chunk)
                with disk_errors(f"receiving {artifact.path}"):
                    write_all(descriptor, chunk)
                self._count(fetched=len(chunk))
                self._report(artifacts, here)
            stalls = 0 if here > start else stalls + 1
            if here < artifact.size and (stalls >= MAX_STALLS or self._stop.wait(_FIRST_PAUSE_S * 2**stalls)):
                raise Unavailable(f"{artifact.path}: {trouble[-1]}", path=artifact.path)
        return hasher.hexdigest()

    def _chunks(self, artifact: Artifact, start: int, trouble: list[str]) -> Iterator[bytes]:
        """Yield the source's bytes; a source out of reach ends them and leaves its reason in `trouble`."""
        try:
            yield from self._source.read(artifact, start)
        except Unavailable as error:
            trouble.append(error.message)

    def _check_stop(self, artifact: Artifact) -> None:
        if self._stop.is_set():
            raise Unavailable(f"{artifact.path}: stopped because another file failed")

    # -- after ----------------------------------------------------------------------------------------------------

    def place(self, pending: Mapping[str, Sequence[Artifact]]) -> None:
        """Give every verified file its name. Raises Unavailable when the disk fails."""
        folders: set[Path] = {self._directory}
        with disk_errors("placing files"):
            for artifacts in pending.values():
                for artifact in artifacts:
                    self._make_folder(artifact)
                    folders.add((self._directory / artifact.path).parent)
                for artifact in artifacts[1:]:
                    self._copy(artifacts[0].sha256, self._directory / artifact.path)
                self._partial(artifacts[0].sha256).replace(self._directory / artifacts[0].path)
            for folder in folders:
                sync_directory(folder)

    def _make_folder(self, artifact: Artifact) -> None:
        self._place(artifact)
        make_directories((self._directory / artifact.path).parent)

    def _copy(self, sha256: str, place: Path) -> None:
        staged = self._directory / PARTIAL / f"{sha256}.copy"
        with (
            open_regular(self._partial(sha256), place.name) as file,
            staged.open("wb", buffering=0) as target,
        ):
            for chunk in read_chunks(file):
                write_all(target.fileno(), chunk)
            os.fsync(target.fileno())
        staged.replace(place)
