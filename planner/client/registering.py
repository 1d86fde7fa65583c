"""Registering a folder over HTTP: hash here, upload what the server lacks, send the manifest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from planner.artifacts.manifest import scan
from planner.client import answering
from planner.domain.variant import Artifact
from planner.errors import Unavailable
from planner.wire.progress import Steps
from planner.wire.replies import Registration, Upload
from planner.wire.requests import Manifest


class Server(Protocol):
    """What registering asks of a server."""

    def missing(self, sha256: Sequence[str]) -> tuple[str, ...]:
        """Return those of the digests that are not stored."""
        ...

    def upload(self, chunks: Iterable[bytes], *, sha256: str, size: int | None = None) -> Upload:
        """Store bytes."""
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
) -> Registration:
    """Register the files of `directory` on `server`; bytes it has already are not sent again."""
    steps = Steps(directory, progress, passes=2)
    artifacts = scan(directory, progress=steps.advance)
    manifest = manifest_of(artifacts)
    if manifest.dry_run:
        steps.finish()
        return server.register_manifest(manifest)
    lacking = set(server.missing([artifact.sha256 for artifact in artifacts]))
    sent: dict[str, int] = {}
    for artifact in artifacts:
        if artifact.sha256 in lacking and artifact.sha256 not in sent:
            _upload(server, directory / artifact.path, artifact, steps)
            sent[artifact.sha256] = artifact.size
        else:
            steps.advance(artifact.size)
    done = server.register_manifest(manifest)
    steps.finish()
    return msgspec.structs.replace(done, bytes_new=sum(sent.values()), files_new=len(sent))


def _upload(server: Server, path: Path, artifact: Artifact, steps: Steps) -> None:
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
            return
