"""Registering by reference: the server reads the files itself, from where its operator has allowed it to.

What a caller names is hostile: a folder must lie in one of the allowed ones, by its spelling and again by what its links
lead to; a bucket and prefix must be covered by the allowed ones. What is not allowed and what is not there are answered
alike outside of them, so that nobody can ask what a machine holds.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from planner.artifacts.bucket import Bucket, BucketFile
from planner.artifacts.manifest import is_left_out
from planner.domain.reference import Reference, ReferenceKind, covers, parse
from planner.domain.units import format_bytes
from planner.domain.variant import Artifact, Provenance
from planner.errors import InvalidInput, NotFound, OutOfSpace
from planner.registry import uploads
from planner.wire.replies import Registration
from planner.wire.requests import Manifest, RegisterReference
from planner.workspace.registration import stored
from planner.workspace.uploading import Uploading

Progress = Callable[[int, int], None]


class ByReference(Uploading):
    """Registers what lies where the server can read it."""

    def _reference(self, request: RegisterReference) -> Reference:
        """Return the reference when the server may read it. Raises InvalidInput."""
        reference = parse(request.uri)
        if reference.kind is ReferenceKind.FILE:
            _allowed_folder(reference.place, self.settings.reference_roots)
        elif reference.kind is ReferenceKind.S3:
            _check_bucket(reference, self.settings.reference_buckets)
        elif request.provenance != Provenance() or request.runtimes:
            raise InvalidInput(
                "provenance",
                "of a pushed repository is what its files say",
                allowed="model, name and scheme with hf:",
            )
        return reference

    def register_reference(
        self, request: RegisterReference, *, progress: Progress | None = None
    ) -> Registration:
        """Register the files that `request` refers to. Raises InvalidInput, NotFound, and what registering raises."""
        reference = self._reference(request)
        if reference.kind is ReferenceKind.FILE:
            return self.register(
                _allowed_folder(reference.place, self.settings.reference_roots),
                model=request.model,
                name=request.name,
                scheme=request.scheme,
                provenance=request.provenance,
                runtimes=request.runtimes,
                dry_run=request.dry_run,
                progress=progress,
            )
        if reference.kind is ReferenceKind.S3:
            return self._register_objects(request, reference, progress)
        return self._register_pushed(request, reference)

    def _register_objects(
        self, request: RegisterReference, reference: Reference, progress: Progress | None
    ) -> Registration:
        bucket = Bucket(reference.place)
        files = bucket.files(reference.rest)
        total = sum(file.size for file in files)
        free = shutil.disk_usage(self.settings.blob_dir).free
        if total > free and not request.dry_run:
            raise OutOfSpace(
                f"no room for {format_bytes(total, binary=False)}: {format_bytes(free, binary=False)} free"
            )
        artifacts: list[Artifact] = []
        new: dict[str, int] = {}
        done = 0

        def counted(file: BucketFile) -> Iterator[bytes]:
            nonlocal done
            for chunk in bucket.read(file):
                done += len(chunk)
                if progress is not None:
                    progress(min(done, total), total)
                yield chunk

        for file in files:
            if request.dry_run:
                hasher = hashlib.sha256()
                for chunk in counted(file):
                    hasher.update(chunk)
                artifacts.append(Artifact(path=file.path, size=file.size, sha256=hasher.hexdigest()))
                continue
            blob = self.store.put(counted(file), size=file.size)
            if blob.created:
                new[blob.sha256] = blob.size
            artifacts.append(Artifact(path=file.path, size=blob.size, sha256=blob.sha256))
        registered = self.register_manifest(_manifest(request, tuple(artifacts)))
        if request.dry_run:
            return registered
        return stored(registered, bytes_new=sum(new.values()), files_new=len(new))

    def _register_pushed(self, request: RegisterReference, reference: Reference) -> Registration:
        if request.scheme is not None or request.dry_run:
            with self.registry.read() as tx:
                found = uploads.get(tx, reference.place)
                commit = uploads.head(tx, found.id, reference.rest)
                if commit is None:
                    raise NotFound("revision", f"{reference.place}@{reference.rest}"[:200])
                files = uploads.files(tx, commit.tree)
            kept = tuple(file for file in files if not is_left_out(file.path))
            rehearsal = msgspec.structs.replace(_manifest(request, kept), dry_run=True)
            registration = self.register_manifest(rehearsal)
            if request.dry_run:
                return registration
        return self.register_pushed(reference.place, reference.rest, model=request.model, name=request.name)


def _manifest(request: RegisterReference, artifacts: tuple[Artifact, ...]) -> Manifest:
    return Manifest(
        artifacts=artifacts,
        model=request.model,
        name=request.name,
        scheme=request.scheme,
        provenance=request.provenance,
        runtimes=request.runtimes,
        dry_run=request.dry_run,
    )


def _allowed_folder(path: str, roots: tuple[Path, ...]) -> Path:
    """Return the folder at `path` with every link followed. Raises InvalidInput unless one of `roots` holds it."""
    refusal = InvalidInput(
        "uri",
        f"`{path[:200]}` is in no folder that this server registers from",
        allowed="a folder below one of PLANNER_REFERENCE_ROOTS"
        if roots
        else "nothing: PLANNER_REFERENCE_ROOTS is not set",
    )
    named = Path(path)
    if not any(named.is_relative_to(root) for root in roots):
        raise refusal
    try:
        real = named.resolve(strict=True)
        held = any(real.is_relative_to(root.resolve(strict=True)) for root in roots if root.is_dir())
    except (OSError, RuntimeError):
        raise NotFound("folder", path[:200]) from None
    if not held:
        raise refusal
    if not real.is_dir():
        raise InvalidInput("uri", f"`{path[:200]}` is no folder", allowed="a folder with a variant's files")
    return real


def _check_bucket(reference: Reference, allowed: tuple[str, ...]) -> None:
    if not any(covers(each, reference.place, reference.rest) for each in allowed):
        raise InvalidInput(
            "uri",
            f"`s3://{reference.place}/{reference.rest}`"[:200]
            + " is in no bucket that this server registers from",
            allowed="what PLANNER_REFERENCE_BUCKETS names"
            if allowed
            else "nothing: PLANNER_REFERENCE_BUCKETS is not set",
        )
