"""A server's files on this machine: variants and data sets, fetched with every hash checked and kept in a cache."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from planner.artifacts.fetch import ByteSource, fetch
from planner.domain.units import format_bytes
from planner.domain.variant import SHA256, Artifact, Variant, manifest_digest
from planner.errors import EvidenceMissing, IntegrityFailure, InvalidInput
from worker.progress import Report, ignore


class Server(ByteSource, Protocol):
    """What is asked of a server; `planner.client.Client` is one."""

    def variant(self, name: str) -> Variant:
        """Return a variant."""
        ...

    def artifact_size(self, sha256: str) -> int:
        """Return the size of a stored file in bytes."""
        ...


class ServerFiles:
    """Reads through a client; see `sources.Files`."""

    def __init__(self, client: Server) -> None:
        self._client = client

    def variant(self, name: str) -> Variant:
        """Return the variant, its id checked against its files.

        Raises NotFound, EvidenceMissing when the server has no files of it, IntegrityFailure when the id is not theirs.
        """
        variant = self._client.variant(name)
        if not variant.is_fetchable:
            raise EvidenceMissing(
                f"`{variant.id}` is known from a publication only: there are no files to load"
            )
        if manifest_digest(variant.artifacts) != variant.id:
            raise IntegrityFailure(f"the files of `{variant.id[:80]}` are not those its id names")
        return variant

    def fetch(self, variant: Variant, directory: Path, report: Report) -> None:
        """Bring the variant's files into the folder; what is there already is verified and kept."""
        self._fetch(variant.artifacts, directory, report)

    def fetch_blob(self, sha256: str, path: Path) -> None:
        """Bring one stored blob to the path. Raises InvalidInput for what is no sha256."""
        if SHA256.fullmatch(sha256) is None:
            raise InvalidInput(
                "sha256", f"`{sha256[:80]}` is not a sha256", allowed="64 lower-case hex digits"
            )
        artifact = Artifact(path=path.name, size=self._client.artifact_size(sha256), sha256=sha256)
        self._fetch((artifact,), path.parent, ignore)

    def _fetch(self, artifacts: tuple[Artifact, ...], directory: Path, report: Report) -> None:
        total = sum(artifact.size for artifact in artifacts)
        here: dict[str, int] = {}

        def progress(artifact: Artifact, size: int) -> None:
            here[artifact.path] = size
            done = sum(here.values())
            report(done / max(total, 1), f"fetching {format_bytes(done, binary=False)}")

        fetch(self._client, artifacts, directory, progress=progress)
