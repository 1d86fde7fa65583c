"""Registering a folder over HTTP: hash here, upload what the server lacks, send the manifest.

What is refused is refused before the first byte travels: headers are read here too. Large files go in parts, so that an
upload that was cut goes on where it was, also from another process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from planner.artifacts.hash_cache import HashCache
from planner.artifacts.inspection import inspect
from planner.artifacts.manifest import scan
from planner.client import answering
from planner.domain.scheme_label import check_claim, check_name
from planner.domain.variant import Artifact
from planner.errors import Conflict, IntegrityFailure, InvalidFile, Unavailable
from planner.wire.progress import Steps
from planner.wire.replies import Received, Registration, Upload
from planner.wire.requests import Manifest

PART_BYTES: Final = 32 * 1024**2
"""Bytes of a part: what a cut costs at most. Files up to this size travel whole."""


class Server(Protocol):
    """What registering asks of a server."""

    def missing(self, sha256: Sequence[str]) -> tuple[str, ...]:
        """Return those of the digests that are not stored."""
        ...

    def upload(self, chunks: Iterable[bytes], *, sha256: str, size: int | None = None) -> Upload:
        """Store bytes."""
        ...

    def received(self, sha256: str, *, size: int) -> Received:
        """Return how far an upload has come."""
        ...

    def append(self, chunks: Iterable[bytes], *, sha256: str, size: int, start: int, length: int) -> Received:
        """Take the next bytes of a file."""
        ...

    def register_manifest(self, manifest: Manifest) -> Registration:
        """Register files."""
        ...


def register_folder(
    server: Server,
    directory: Path,
    manifest_of: Callable[[tuple[Artifact, ...]], Manifest],
    *,
    progress: Callable[[int, int], None] | None,
    cache: HashCache | None = None,
) -> Registration:
    """Register the files of `directory` on `server`; bytes it has already are not sent again."""
    steps = Steps(directory, progress, passes=2)
    artifacts = scan(directory, progress=steps.advance, cache=cache)
    manifest = manifest_of(artifacts)
    if manifest.dry_run:
        steps.finish()
        return server.register_manifest(manifest)
    lacking = set(server.missing([artifact.sha256 for artifact in artifacts]))
    if lacking:
        _refuse_early(directory, manifest)
    sent: dict[str, int] = {}
    travelled = 0
    for artifact in artifacts:
        if artifact.sha256 in lacking and artifact.sha256 not in sent:
            travelled += _upload(server, directory / artifact.path, artifact, steps)
            sent[artifact.sha256] = artifact.size
        else:
            steps.advance(artifact.size)
    done = server.register_manifest(manifest)
    steps.finish()
    return msgspec.structs.replace(done, bytes_new=travelled, files_new=len(sent))


def _refuse_early(directory: Path, manifest: Manifest) -> None:
    """Raise what the server would raise for these files once it had them: InvalidInput, InvalidFile, UnsafeFile."""
    inspection = inspect({artifact.path: directory / artifact.path for artifact in manifest.artifacts})
    if manifest.scheme is not None:
        check_claim(manifest.scheme, inspection.scheme)
    if manifest.name is not None:
        check_name(manifest.name, inspection.scheme)


def _upload(server: Server, path: Path, artifact: Artifact, steps: Steps) -> int:
    """Send a file and return how many bytes of it travelled."""
    if artifact.size > PART_BYTES:
        return _upload_parts(server, path, artifact, steps)
    attempt = 0
    while True:
        attempt += 1
        try:
            server.upload(steps.read(path), sha256=artifact.sha256, size=artifact.size)
        except Unavailable:
            if attempt >= answering.ATTEMPTS:
                raise
            time.sleep(answering.pause(attempt))
        else:
            return artifact.size


def _upload_parts(server: Server, path: Path, artifact: Artifact, steps: Steps) -> int:
    """Send what is missing of a large file. Gives up when five attempts in a row have brought it no further."""
    attempt, travelled, furthest = 0, 0, 0
    resumed = True
    while True:
        attempt += 1
        try:
            state = server.received(artifact.sha256, size=artifact.size)
            resumed = state.offset > 0
            while not state.complete:
                if state.offset > furthest:
                    steps.advance(state.offset - furthest)
                    attempt, furthest = 1, state.offset
                length = min(PART_BYTES, artifact.size - state.offset)
                state = server.append(
                    _part(path, state.offset, length),
                    sha256=artifact.sha256,
                    size=artifact.size,
                    start=state.offset,
                    length=length,
                )
                travelled += length
        except (Unavailable, Conflict):
            # Away for a moment, or another process sends the same file: how far it has come is asked again.
            if attempt >= answering.ATTEMPTS:
                raise
            time.sleep(answering.pause(attempt))
        except IntegrityFailure:
            # What somebody else had sent of it was not this file, and is dropped now: all of it is sent.
            if not resumed or attempt >= answering.ATTEMPTS:
                raise
        else:
            steps.advance(artifact.size - furthest)
            return travelled


def _part(path: Path, start: int, length: int) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        left = length
        while left:
            chunk = file.read(min(left, 1 << 20))
            if not chunk:
                raise InvalidFile(
                    path.name, "", "became shorter while it was sent", allowed="a folder nobody writes to"
                )
            left -= len(chunk)
            yield chunk
