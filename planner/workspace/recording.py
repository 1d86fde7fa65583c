"""What is added to the registry: variants, evidence, devices and alias moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from planner.artifacts.hash_cache import HashCache
from planner.artifacts.manifest import scan
from planner.domain.alias import Alias
from planner.domain.device import Device
from planner.domain.evaluation import Evaluation
from planner.domain.profile import Profile
from planner.domain.variant import Artifact, Provenance
from planner.registry import aliases, devices, evaluations, profiles, variants
from planner.wire import acting
from planner.wire.progress import Steps
from planner.wire.replies import Registration, Submission
from planner.wire.requests import Manifest
from planner.workspace.attribution import check_confines_of
from planner.workspace.files import Files
from planner.workspace.registration import inspect_folder, register_inspected, register_manifest, stored


class Recording(Files):
    """Implements `planner.wire.service.Recording`."""

    def register(
        self,
        directory: Path,
        *,
        model: str | None = None,
        name: str | None = None,
        scheme: str | None = None,
        provenance: Provenance | None = None,
        runtimes: tuple[str, ...] = (),
        dry_run: bool = False,
        progress: Callable[[int, int], None] | None = None,
        hash_cache: Path | None = None,
    ) -> Registration:
        """Register a folder of files: hash, inspect, store what is new, record."""
        steps = Steps(directory, progress, passes=1 if dry_run else 2)
        cache = HashCache(hash_cache, directory) if hash_cache is not None else None
        artifacts = scan(directory, progress=steps.advance, cache=cache)
        manifest = Manifest(
            artifacts=artifacts,
            model=model,
            name=name,
            scheme=scheme,
            provenance=provenance or Provenance(),
            runtimes=runtimes,
            dry_run=dry_run,
        )
        new = self.missing([artifact.sha256 for artifact in artifacts])
        if not new:
            steps.finish()
            return self.register_manifest(manifest)
        inspection = inspect_folder(directory, artifacts)
        if dry_run:
            return register_inspected(self.registry, manifest, inspection, now=self.now(), missing=new)
        # Everything that can be refused is refused before the first byte is copied.
        rehearsal = msgspec.structs.replace(manifest, dry_run=True)
        register_inspected(self.registry, rehearsal, inspection, now=self.now(), missing=new)
        sizes = self._store_files(directory, artifacts, set(new), steps)
        steps.finish()
        return stored(self.register_manifest(manifest), bytes_new=sum(sizes), files_new=len(sizes))

    def _store_files(
        self, directory: Path, artifacts: tuple[Artifact, ...], new: set[str], steps: Steps
    ) -> list[int]:
        sizes: list[int] = []
        for artifact in artifacts:
            if artifact.sha256 in new:
                new.discard(artifact.sha256)
                chunks = steps.read(directory / artifact.path)
                self.upload(chunks, sha256=artifact.sha256, size=artifact.size)
                sizes.append(artifact.size)
            else:
                steps.advance(artifact.size)
        return sizes

    def register_manifest(self, manifest: Manifest) -> Registration:
        """Register files whose bytes are in the store."""
        return register_manifest(self.registry, self.store, manifest, now=self.now())

    def submit_profile(self, profile: Profile) -> Submission:
        """Add speed and memory evidence."""
        with self.registry.write() as tx:
            check_confines_of(tx, profile.variant_id)
            return Submission(id=profile.id, created=profiles.add(tx, profile))

    def submit_evaluation(self, evaluation: Evaluation) -> Submission:
        """Add accuracy evidence."""
        with self.registry.write() as tx:
            check_confines_of(tx, evaluation.variant_id)
            return Submission(id=evaluation.id, created=evaluations.add(tx, evaluation))

    def put_device(self, device: Device) -> Device:
        """Add or update a device type."""
        with self.registry.write() as tx:
            devices.put(tx, device)
        return device

    def move_alias(
        self,
        name: str,
        variant: str,
        *,
        expected: str | msgspec.UnsetType | None = msgspec.UNSET,
        actor: str | None = None,
    ) -> Alias:
        """Point an alias at a variant; names of variants are resolved to ids first."""
        with self.registry.write() as tx:
            target = variants.get(tx, variant).id
            check_confines_of(tx, target)
            if isinstance(expected, str):
                expected = variants.get(tx, expected).id
            return aliases.move(
                tx,
                name,
                target,
                expected=aliases.ANY if expected is msgspec.UNSET else expected,
                actor=acting.actor(actor),
                now=self.now(),
            )
