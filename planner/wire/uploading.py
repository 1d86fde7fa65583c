"""What the writing half of the Hugging Face endpoint needs: repositories that clients push to, and bytes that come in parts.

Only a server answers these; they are no part of `Service`, which a client speaks too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from planner.domain.upload import Operation, PushedCommit, PushedRef, PushedRepository
from planner.domain.variant import Artifact
from planner.wire.grant import Sealing
from planner.wire.replies import Upload
from planner.wire.serving import Serving


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """A pushed repository with its refs and its commits by id."""

    repository: PushedRepository
    refs: tuple[PushedRef, ...]
    commits: Mapping[str, PushedCommit]

    def history(self, commit: str) -> list[PushedCommit]:
        """Return a commit and those before it, newest first."""
        found: list[PushedCommit] = []
        at: str | None = commit
        while at is not None and (known := self.commits.get(at)) is not None:
            found.append(known)
            at = known.parent
        return found


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """What a commit did: the commit, whether it is new, and why its files are not registered, if they should be."""

    commit: PushedCommit
    created: bool
    warning: str | None = None


class Uploading(Serving, Protocol):
    """The use cases of a server that stock clients push to."""

    def pushed_repositories(self) -> Sequence[tuple[PushedRepository, tuple[str, ...]]]:
        """Return every pushed repository by id, each with the ids of the variants that its commits are registered as."""
        ...

    def pushed(self, repository: str) -> Pushed | None:
        """Return a pushed repository; None when there is none by that id."""
        ...

    def pushed_files(self, commit: PushedCommit) -> tuple[Artifact, ...]:
        """Return the files of a commit, by path."""
        ...

    def create_repository(self, repository: str) -> tuple[PushedRepository, bool]:
        """Return the repository by that id, and whether it was made. Raises InvalidInput."""
        ...

    def delete_repository(self, repository: str) -> None:
        """Remove a pushed repository; variants registered from it stay. Raises NotFound."""
        ...

    def announce(self, repository: str, branch: str, paths: Sequence[str]) -> None:
        """Keep that files at these paths are about to be committed. Raises NotFound."""
        ...

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
        """Commit to a branch; `main` is registered as a variant when it is whole.

        Raises UnsafeFile for added files that can run code, StaleParent when the branch is not at `parent`, NotFound for
        repository, branch or a file to delete, InvalidInput.
        """
        ...

    def create_ref(
        self, repository: str, name: str, revision: str | None, *, is_tag: bool, message: str | None = None
    ) -> bool:
        """Make a branch or tag; return False when there is one. A tag registers its commit first.

        Raises NotFound, and for a tag whatever registering the files raises.
        """
        ...

    def delete_ref(self, repository: str, name: str, *, is_tag: bool) -> bool:
        """Remove a branch or tag; return False when there is none."""
        ...

    @property
    def signer(self) -> Sealing:
        """What seals the addresses that bytes are sent to."""
        ...

    def keep(self, content: bytes) -> Upload:
        """Store a small file. Raises OutOfSpace."""
        ...

    def free_bytes(self) -> int:
        """Return how many bytes the store has room for."""
        ...

    def upload_part(
        self, session: str, chunks: Iterable[bytes], *, size: int, start: int, length: int
    ) -> None:
        """Write a part of an object; it is on disk when this returns. Raises IntegrityFailure, OutOfSpace, Conflict."""
        ...

    def take_xorb(self, xorb: str, pieces: Iterable[bytes]) -> bool:
        """Keep chunks of an upload by Xet; False when they are here. Raises IntegrityFailure, InvalidInput, OutOfSpace."""
        ...

    def assemble(self, shard: bytes, *, limit: int) -> int:
        """Store the files that a shard describes, none larger than `limit` bytes, and return how many they are.

        Raises InvalidInput, IntegrityFailure, OutOfSpace.
        """
        ...

    def complete_parts(self, session: str, *, sha256: str, size: int) -> Upload:
        """Make the parts a stored file. Raises IntegrityFailure, leaving nothing behind, NotFound, Conflict."""
        ...
