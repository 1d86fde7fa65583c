"""What stock clients push: repositories with commits, and the registration of those that are whole models.

A commit to `main` is registered by itself when its files are a whole model and everything that clients have announced for
the branch has arrived; a tag registers the commit it is put on. A commit that cannot be registered stays a commit.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import msgspec

from planner.artifacts.code_refusal import refuse_code
from planner.artifacts.manifest import is_left_out
from planner.artifacts.parts import Parts
from planner.artifacts.signed_url import Signer, read_secret
from planner.artifacts.weight_files import named
from planner.artifacts.xet.assembly import assemble
from planner.artifacts.xet.chunks import Chunks
from planner.domain.upload import (
    MAIN,
    AddFile,
    Operation,
    PushedCommit,
    PushedRef,
    PushedRepository,
    check_ref_name,
)
from planner.domain.variant import Artifact, Provenance
from planner.errors import Conflict, InvalidInput, NotFound, PlannerError
from planner.registry import uploads
from planner.wire import acting
from planner.wire.replies import Registration, Upload
from planner.wire.requests import Manifest
from planner.wire.uploading import Committed, Pushed
from planner.workspace.lineage import base_variant
from planner.workspace.recording import Recording

_SHOWN: Final = 3


class Uploading(Recording):
    """Implements `planner.wire.uploading.Uploading`."""

    @cached_property
    def _parts(self) -> Parts:
        return Parts(self.store)

    # -- reading --------------------------------------------------------------------------------------------------

    def pushed_repositories(self) -> Sequence[tuple[PushedRepository, tuple[str, ...]]]:
        """Return every pushed repository by id, with the variants registered from it."""
        with self.registry.read() as tx:
            variants = uploads.registered(tx)
            return [(each, variants.get(each.id.casefold(), ())) for each in uploads.every(tx)]

    def pushed(self, repository: str) -> Pushed | None:
        """Return a pushed repository; None when there is none by that id."""
        with self.registry.read() as tx:
            found = uploads.find(tx, repository)
            if found is None:
                return None
            refs: tuple[PushedRef, ...] = tuple(uploads.refs(tx, found.id))
            return Pushed(repository=found, refs=refs, commits=uploads.commits(tx, found.id))

    def pushed_files(self, commit: PushedCommit) -> tuple[Artifact, ...]:
        """Return the files of a commit, by path."""
        with self.registry.read() as tx:
            return uploads.files(tx, commit.tree)

    # -- writing --------------------------------------------------------------------------------------------------

    def create_repository(self, repository: str) -> tuple[PushedRepository, bool]:
        """Return the repository by that id, and whether it was made."""
        acting.check_repository(repository)
        with self.registry.write() as tx:
            return uploads.create(tx, repository, author=_author(), now=self.now())

    def delete_repository(self, repository: str) -> None:
        """Remove a pushed repository; variants registered from it stay."""
        with self.registry.write() as tx:
            uploads.drop(tx, repository)

    def announce(self, repository: str, branch: str, paths: Sequence[str]) -> None:
        """Keep that files at these paths are about to be committed."""
        with self.registry.write() as tx:
            uploads.announce(tx, repository, branch, paths, now=self.now())

    def commit(
        self,
        repository: str,
        branch: str,
        operations: Sequence[Operation],
        *,
        summary: str,
        description: str,
        parent: str | None,
    ) -> Committed:
        """Commit to a branch, and register what it leaves on `main` when that is whole."""
        added = [operation.artifact for operation in operations if isinstance(operation, AddFile)]
        try:
            refuse_code(self._places(added))
            with self.registry.write() as tx:
                made, created = uploads.add_commit(
                    tx,
                    repository,
                    branch,
                    operations,
                    summary=summary,
                    description=description,
                    author=_author(),
                    parent=parent,
                    now=self.now(),
                )
        except (InvalidInput, NotFound, uploads.StaleParent):
            # These files have been turned down: nobody is to wait for them.
            with self.registry.write() as tx:
                uploads.withdraw(tx, repository, branch, [artifact.path for artifact in added])
            raise
        if uploads.branch_name(branch) != MAIN or made.variant_id is not None:
            return Committed(commit=made, created=created)
        reason = self._put_off(repository, made)
        if reason is None:
            try:
                return Committed(commit=self._register(repository, made), created=created)
            except PlannerError as error:
                reason = error.message
        if reason:
            with self.registry.write() as tx:
                made = uploads.note(tx, repository, made.id, variant_id=None, reason=reason)
        return Committed(commit=made, created=created, warning=reason or None)

    def create_ref(
        self, repository: str, name: str, revision: str | None, *, is_tag: bool, message: str | None = None
    ) -> bool:
        """Make a branch or tag; a tag registers its commit first, as that is what it says."""
        check_ref_name(name)
        with self.registry.read() as tx:
            found = uploads.get(tx, repository)
            if any(ref.name == name and ref.is_tag == is_tag for ref in uploads.refs(tx, found.id)):
                return False
            commit = uploads.head(tx, found.id, revision or MAIN)
        if commit is None:
            raise NotFound("revision", (revision or MAIN)[:100])
        if is_tag and commit.variant_id is None:
            self._register(found.id, commit)
        with self.registry.write() as tx:
            return uploads.add_ref(tx, found.id, name, commit.id, is_tag=is_tag, message=message)

    def delete_ref(self, repository: str, name: str, *, is_tag: bool) -> bool:
        """Remove a branch or tag; return False when there is none."""
        if name == MAIN and not is_tag:
            raise Conflict(f"`{MAIN}` cannot be deleted; delete the repository instead")
        with self.registry.write() as tx:
            return uploads.drop_ref(tx, uploads.get(tx, repository).id, name, is_tag=is_tag)

    def register_pushed(
        self, repository: str, revision: str = MAIN, *, model: str | None = None, name: str | None = None
    ) -> Registration:
        """Register a commit of a pushed repository as a variant, its bytes being here already. Raises NotFound too."""
        with self.registry.read() as tx:
            found = uploads.get(tx, repository)
            commit = uploads.head(tx, found.id, revision)
        if commit is None:
            raise NotFound("revision", f"{repository}@{revision}"[:200])
        return self._registered(found.id, commit, model=model, name=name)

    # -- bytes ----------------------------------------------------------------------------------------------------

    @cached_property
    def signer(self) -> Signer:
        """What seals the addresses that bytes are sent to; every process on this data folder has the same secret."""
        return Signer(read_secret(self.settings.data_dir / "upload-secret"))

    def keep(self, content: bytes) -> Upload:
        """Store a small file."""
        blob = self.store.put([content], sha256=hashlib.sha256(content).hexdigest())
        return Upload(sha256=blob.sha256, size=blob.size, created=blob.created)

    def free_bytes(self) -> int:
        """Return how many bytes the store has room for."""
        return shutil.disk_usage(self.settings.blob_dir).free

    def upload_part(
        self, session: str, chunks: Iterable[bytes], *, size: int, start: int, length: int
    ) -> None:
        """Write a part of an object; it is on disk when this returns."""
        self._parts.write(session, chunks, size=size, start=start, length=length)

    @cached_property
    def _chunks(self) -> Chunks:
        return Chunks(self.settings.blob_dir / "xorbs", self.store)

    def take_xorb(self, xorb: str, pieces: Iterable[bytes]) -> bool:
        """Keep chunks of an upload by Xet; False when they are here."""
        return self._chunks.add(xorb, pieces)

    def assemble(self, shard: bytes, *, limit: int) -> int:
        """Store the files that a shard describes, and return how many they are."""
        return len(assemble(shard, self._chunks, self.store, limit=limit))

    def complete_parts(self, session: str, *, sha256: str, size: int) -> Upload:
        """Make the parts a stored file."""
        blob = self._parts.complete(session, sha256=sha256, size=size)
        return Upload(sha256=blob.sha256, size=blob.size, created=blob.created)

    # -- registration ---------------------------------------------------------------------------------------------

    def _put_off(self, repository: str, commit: PushedCommit) -> str | None:
        """Return why a commit is not registered by itself: "" when it holds no model, None when nothing is in the way."""
        with self.registry.read() as tx:
            files = uploads.files(tx, commit.tree)
            awaited = uploads.awaited(tx, repository, MAIN, now=self.now())
        paths = {artifact.path: Path(artifact.path) for artifact in files}
        weights = named(paths, ".safetensors") or named(paths, ".gguf")
        if not weights:
            return ""
        if awaited:
            shown = ", ".join(awaited[:_SHOWN]) + (" ..." if len(awaited) > _SHOWN else "")
            return (
                f"not registered yet: {len(awaited)} announced files have not arrived ({shown}); "
                "commit them, or put a tag on the commit"
            )
        if not named(paths, ".gguf") and "config.json" not in paths:
            return "not registered yet: there is no config.json beside the weights"
        return None

    def _register(self, repository: str, commit: PushedCommit) -> PushedCommit:
        done = self._registered(repository, commit)
        return msgspec.structs.replace(commit, variant_id=done.digest, note=None)

    def _registered(
        self, repository: str, commit: PushedCommit, *, model: str | None = None, name: str | None = None
    ) -> Registration:
        kept = [each for each in self.pushed_files(commit) if not is_left_out(each.path)]
        if not kept:
            raise InvalidInput("files", "hold no weights", allowed="*.safetensors or *.gguf")
        with self.registry.read() as tx:
            base = base_variant(tx, self._places(kept), but=repository)
        manifest = Manifest(
            artifacts=tuple(kept),
            model=model,
            name=name or repository.rpartition("/")[2],
            provenance=Provenance(base_variant_id=base),
        )
        done = self.register_manifest(manifest)
        with self.registry.write() as tx:
            uploads.note(tx, repository, commit.id, variant_id=done.digest, reason=None)
        return done

    def _places(self, artifacts: Iterable[Artifact]) -> dict[str, Path]:
        """Return where the bytes of files lie. Raises Conflict naming a file whose bytes are not here."""
        wanted = list(artifacts)
        self.missing(
            [artifact.sha256 for artifact in wanted]
        )  # what is here stays, until the commit names it
        found: dict[str, Path] = {}
        for artifact in wanted:
            place = self.store.path(artifact.sha256)
            if place is None:
                raise Conflict(f"the bytes of `{artifact.path}` are not in the store; upload them first")
            found[artifact.path] = place
        return found


def _author() -> str:
    return acting.actor(otherwise="anonymous")
