"""Pushed repositories: files that clients commit to branches, whether they are registered as a variant or not. Pure.

A commit holds the whole list of files, never their bytes, and its id is derived from what it holds and follows.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from planner.domain.variant import Artifact, check_path
from planner.errors import InvalidInput, NotFound

MAIN: Final = "main"
MAX_FILES: Final = 10_000
"""Most files of a commit: what a variant may have."""
MAX_SUMMARY: Final = 500
MAX_DESCRIPTION: Final = 20_000

_PART: Final = re.compile(r"(?!.*(?:--|\.\.))[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
_MAX_ID: Final = 96
_REF: Final = re.compile(r"(?!.*(?:\.\.|//|@\{|\.lock(?:/|$)))[A-Za-z0-9_][A-Za-z0-9._/+-]{0,99}(?<![/.])")
_COMMIT_LIKE: Final = re.compile(r"[0-9a-f]{40}")


class PushedRepository(msgspec.Struct, frozen=True, kw_only=True):
    """A repository that was made by a client: its id as it was given, and when it was made and last moved."""

    id: str
    created_at: datetime
    modified_at: datetime


class PushedCommit(msgspec.Struct, frozen=True, kw_only=True):
    """A commit of a pushed repository. `tree` is the digest of its list of files."""

    id: str
    parent: str | None
    tree: str
    summary: str
    description: str
    author: str
    created_at: datetime
    variant_id: str | None = None
    """The variant that its files are registered as."""
    note: str | None = None
    """Why its files are not registered, where that was tried or put off."""


class PushedRef(msgspec.Struct, frozen=True, kw_only=True):
    """A branch or tag, and the commit it points at."""

    name: str
    is_tag: bool
    commit_id: str


class AddFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a commit adds or replaces; its bytes are in the store."""

    artifact: Artifact


class Delete(msgspec.Struct, frozen=True, kw_only=True):
    """A file, or a folder with all that is in it, that a commit removes."""

    path: str
    folder: bool = False


Operation = AddFile | Delete


def check_repository_id(id_: str) -> str:
    """Return `id_` when it can name a repository: "OWNER/NAME" as clients allow it. Raises InvalidInput."""
    parts = id_.split("/")
    if (
        len(id_) > _MAX_ID
        or len(parts) != 2
        or not all(_PART.fullmatch(part) for part in parts)
        or id_.endswith(".git")
    ):
        raise InvalidInput(
            "repository",
            f"`{id_[:120]}` cannot be an id",
            allowed=f"OWNER/NAME of at most {_MAX_ID} letters, digits and `._-`, without `--`, `..` or `.git` at the end",
        )
    return id_


def check_ref_name(name: str) -> str:
    """Return `name` when it can name a branch or tag: as git allows, and no commit. Raises InvalidInput."""
    if name.startswith("refs/") or _COMMIT_LIKE.fullmatch(name) or _REF.fullmatch(name) is None:
        raise InvalidInput(
            "ref",
            f"`{name[:120]}` cannot name a branch or tag",
            allowed="at most 100 letters, digits and `._/+-`, no `..`, nothing that begins with `refs/`, no commit",
        )
    return name


def check_pushed_path(path: str) -> str:
    """Return `path` when a commit may hold it: relative, clean, and outside `.git`. Raises InvalidInput."""
    check_path(path)
    if any(part.casefold().rstrip(". ") in {".git", "git~1"} for part in path.split("/")):
        raise InvalidInput(
            "path", f"`{path[:120]}` lies in `.git`", allowed="files that are not the repository's own"
        )
    return path


def applied(tree: Iterable[Artifact], operations: Iterable[Operation]) -> tuple[Artifact, ...]:
    """Return the files that `operations` leave of `tree`, sorted by path; deletions go first.

    Raises NotFound for a file or folder to delete that is not there, InvalidInput for a path that is added twice, that is
    both file and folder afterwards, and for too many files.
    """
    files = {artifact.path: artifact for artifact in tree}
    added: dict[str, Artifact] = {}
    for operation in operations:
        if isinstance(operation, AddFile):
            path = check_pushed_path(operation.artifact.path)
            if path in added:
                raise InvalidInput("path", f"`{path}` is added twice", allowed="each path once in a commit")
            added[path] = operation.artifact
        else:
            _delete(files, operation)
    files |= added
    if len(files) > MAX_FILES:
        raise InvalidInput("files", f"{len(files)} are too many", allowed=f"at most {MAX_FILES}")
    _check_folders(files)
    return tuple(files[path] for path in sorted(files))


def _delete(files: dict[str, Artifact], operation: Delete) -> None:
    path = operation.path.rstrip("/")
    inside = [each for each in files if each.startswith(f"{path}/")] if operation.folder else [path]
    if not inside or any(each not in files for each in inside):
        raise NotFound("folder" if operation.folder else "file", path[:200])
    for each in inside:
        del files[each]


def _check_folders(files: Mapping[str, Artifact]) -> None:
    for path in files:
        parts = path.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            if folder in files:
                raise InvalidInput(
                    "path", f"`{folder}` is a file, and `{path}` lies in it", allowed="either of them"
                )


def tree_digest(tree: Iterable[Artifact]) -> str:
    """Return the sha256 over the files' paths, sizes and hashes; an empty list has one too."""
    rows = sorted((artifact.path, artifact.size, artifact.sha256) for artifact in tree)
    return hashlib.sha256(msgspec.json.encode(rows)).hexdigest()


def commit_id(*, repository: str, parent: str | None, tree: str, summary: str, description: str) -> str:
    """Return the 40 hex digits that name a commit: equal content, parent and message have equal ids."""
    said = ("commit", repository.casefold(), parent, tree, summary, description)
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:40]


def is_same_commit(given: str, commit: str) -> bool:
    """Return whether `given`, a commit or at least its first seven digits, means `commit`."""
    return len(given) >= 7 and commit.startswith(given.lower())
