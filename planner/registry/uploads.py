"""Pushed repositories: made, committed to, tagged and dropped; a ref moves together with its commit, or neither does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import Row, delete, exists, insert, select, update

from planner.domain.upload import (
    MAIN,
    MAX_DESCRIPTION,
    MAX_SUMMARY,
    AddFile,
    Operation,
    PushedCommit,
    PushedRef,
    PushedRepository,
    applied,
    check_ref_name,
    check_repository_id,
    commit_id,
    is_same_commit,
    tree_digest,
)
from planner.domain.variant import Artifact
from planner.errors import Conflict, NotFound
from planner.registry import blobs
from planner.registry.checks import check_document, check_name
from planner.registry.kinds import chunks
from planner.registry.nearest import CANDIDATES, nearest
from planner.registry.transaction import Transaction, WriteTransaction
from planner.registry.upload_tables import (
    PushedAnnouncements,
    PushedCommits,
    PushedRefs,
    PushedRepositories,
    PushedTrees,
)

ANNOUNCED: Final = timedelta(hours=24)
"""How long a file that was announced and never came keeps a branch from being registered by itself."""
_EMPTY: Final[tuple[Artifact, ...]] = ()


class StaleParent(Conflict):
    """The branch has moved on since the commit that the writer built upon."""


def find(tx: Transaction, id_: str) -> PushedRepository | None:
    """Return the repository with this id in any letter case, None when there is none."""
    statement = select(PushedRepositories).where(PushedRepositories.key == id_.casefold())
    row = tx.connection.execute(statement).one_or_none()
    return None if row is None else _repository(row)


def get(tx: Transaction, id_: str) -> PushedRepository:
    """Return the repository with this id in any letter case. Raises NotFound."""
    found = find(tx, id_)
    if found is None:
        known = tx.connection.execute(select(PushedRepositories.id).limit(CANDIDATES)).scalars()
        raise NotFound("repository", id_[:100], nearest=nearest(id_, known))
    return found


def every(tx: Transaction) -> list[PushedRepository]:
    """Return every repository by id."""
    statement = select(PushedRepositories).order_by(PushedRepositories.key)
    return [_repository(row) for row in tx.connection.execute(statement)]


def create(tx: WriteTransaction, id_: str, *, author: str, now: datetime) -> tuple[PushedRepository, bool]:
    """Return the repository with this id, and whether this call made it. Raises InvalidInput.

    It begins with a commit without files on `main`, as clients expect a branch to build upon.
    """
    check_repository_id(id_)
    check_name("author", author)
    made = PushedRepository(id=id_, created_at=now, modified_at=now)
    row = {"key": id_.casefold(), "id": id_, "created_at": now, "modified_at": now}
    if not tx.insert_new(PushedRepositories, row):
        return get(tx, id_), False
    first = _commit(made, None, _EMPTY, summary="initial commit", description="", author=author, now=now)
    _store(tx, id_, first, _EMPTY)
    _put_ref(tx, id_, MAIN, first.id, is_tag=False)
    return made, True


def drop(tx: WriteTransaction, id_: str) -> None:
    """Remove the repository; variants that were registered from it stay. Raises NotFound."""
    key = get(tx, id_).id.casefold()
    for table in (PushedAnnouncements, PushedRefs, PushedCommits):
        tx.connection.execute(delete(table).where(table.repository == key))
    tx.connection.execute(delete(PushedRepositories).where(PushedRepositories.key == key))
    used = exists().where(PushedCommits.tree == PushedTrees.digest)
    tx.connection.execute(delete(PushedTrees).where(~used))


def refs(tx: Transaction, id_: str) -> list[PushedRef]:
    """Return branches, `main` first, and then tags."""
    statement = select(PushedRefs).where(PushedRefs.repository == id_.casefold())
    found = [
        PushedRef(name=row.name, is_tag=row.is_tag, commit_id=row.commit_id)
        for row in tx.connection.execute(statement)
    ]
    return sorted(found, key=lambda ref: (ref.is_tag, ref.name != MAIN, ref.name))


def commits(tx: Transaction, id_: str) -> dict[str, PushedCommit]:
    """Return every commit of a repository by id."""
    statement = select(PushedCommits).where(PushedCommits.repository == id_.casefold())
    return {row.id: _as_commit(row) for row in tx.connection.execute(statement)}


def commit(tx: Transaction, id_: str, commit_: str) -> PushedCommit | None:
    """Return one commit, None when there is none."""
    statement = select(PushedCommits).where(
        PushedCommits.repository == id_.casefold(), PushedCommits.id == commit_
    )
    row = tx.connection.execute(statement).one_or_none()
    return None if row is None else _as_commit(row)


def registered(tx: Transaction) -> dict[str, tuple[str, ...]]:
    """Return the variants registered from each repository, by its id in lower case."""
    statement = select(PushedCommits.repository, PushedCommits.variant_id).where(
        PushedCommits.variant_id.is_not(None)
    )
    found: dict[str, tuple[str, ...]] = {}
    for repository, variant_id in tx.connection.execute(statement):
        found[repository] = (*found.get(repository, ()), variant_id or "")
    return found


def files(tx: Transaction, tree: str) -> tuple[Artifact, ...]:
    """Return the files of a tree. Raises NotFound."""
    found = tx.connection.execute(
        select(PushedTrees.files).where(PushedTrees.digest == tree)
    ).scalar_one_or_none()
    if found is None:
        raise NotFound("tree", tree)
    return found


def head(tx: Transaction, id_: str, revision: str) -> PushedCommit | None:
    """Return the commit that a branch, a tag or a commit's id means; None when nothing does."""
    statement = select(PushedRefs.commit_id).where(
        PushedRefs.repository == id_.casefold(),
        PushedRefs.name == revision.removeprefix("refs/heads/").removeprefix("refs/tags/"),
    )
    if revision.startswith(("refs/heads/", "refs/tags/")):
        statement = statement.where(PushedRefs.is_tag == revision.startswith("refs/tags/"))
    statement = statement.order_by(PushedRefs.is_tag).limit(1)
    found = tx.connection.execute(statement).scalar_one_or_none()
    return commit(tx, id_, found or revision.lower())


def add_commit(
    tx: WriteTransaction,
    id_: str,
    branch: str,
    operations: Sequence[Operation],
    *,
    summary: str,
    description: str,
    author: str,
    parent: str | None,
    now: datetime,
) -> tuple[PushedCommit, bool]:
    """Commit to a branch and move it; return the commit, and whether it is new: one that changes nothing is the head.

    Raises NotFound for the repository, the branch, or a file to delete; StaleParent when the branch is not at `parent`;
    InvalidInput.
    """
    repository = get(tx, id_)
    name = branch_name(branch)
    summary, description = summary[:MAX_SUMMARY], description[:MAX_DESCRIPTION]
    check_document("commit", {"summary": summary, "description": description})
    check_name("author", author)
    locked = select(PushedRefs.commit_id).where(
        PushedRefs.repository == id_.casefold(), PushedRefs.name == name, PushedRefs.is_tag.is_(False)
    )
    at = tx.connection.execute(locked.with_for_update()).scalar_one_or_none()
    before = None if at is None else commit(tx, id_, at)
    if before is None:
        raise NotFound("branch", name[:100], nearest=tuple(r.name for r in refs(tx, id_) if not r.is_tag))
    if parent is not None and not is_same_commit(parent, before.id):
        raise StaleParent(
            f"`{name}` of {repository.id} is at {before.id}, not at {parent[:40]}: somebody has committed meanwhile",
            current=before.id,
        )
    tree = applied(files(tx, before.tree), operations)
    _forget(tx, id_, name, [_path(operation) for operation in operations])
    if tree_digest(tree) == before.tree:
        return before, False
    made = _commit(
        repository,
        before.id,
        tree,
        summary=summary,
        description=description,
        author=author,
        now=now,
    )
    _store(tx, id_, made, tree)
    _put_ref(tx, id_, name, made.id, is_tag=False)
    tx.connection.execute(
        update(PushedRepositories).where(PushedRepositories.key == id_.casefold()).values(modified_at=now)
    )
    return made, True


def branch_name(branch: str) -> str:
    """Return a branch's name without the `refs/heads/` it may be given with."""
    return branch.removeprefix("refs/heads/")


def add_ref(
    tx: WriteTransaction, id_: str, name: str, commit_: str, *, is_tag: bool, message: str | None = None
) -> bool:
    """Make a branch or tag; return False when there is one by that name. Raises InvalidInput, NotFound."""
    get(tx, id_)
    check_ref_name(name)
    check_document("ref", {"message": message})
    if any(ref.name == name and ref.is_tag == is_tag for ref in refs(tx, id_)):
        return False
    _put_ref(tx, id_, name, commit_, is_tag=is_tag, message=message)
    return True


def drop_ref(tx: WriteTransaction, id_: str, name: str, *, is_tag: bool) -> bool:
    """Remove a branch or tag; return False when there is none by that name."""
    statement = delete(PushedRefs).where(
        PushedRefs.repository == id_.casefold(), PushedRefs.name == name, PushedRefs.is_tag.is_(is_tag)
    )
    return tx.connection.execute(statement).rowcount > 0


def note(
    tx: WriteTransaction, id_: str, commit_: str, *, variant_id: str | None, reason: str | None
) -> PushedCommit:
    """Keep what came of registering a commit. Raises NotFound."""
    tx.connection.execute(
        update(PushedCommits)
        .where(PushedCommits.repository == id_.casefold(), PushedCommits.id == commit_)
        .values(variant_id=variant_id, note=reason)
    )
    found = commit(tx, id_, commit_)
    if found is None:
        raise NotFound("commit", commit_)
    return found


def announce(tx: WriteTransaction, id_: str, branch: str, paths: Iterable[str], *, now: datetime) -> None:
    """Keep that a client is about to commit files at these paths to a branch. Raises NotFound."""
    get(tx, id_)
    key, name, announced = id_.casefold(), branch_name(branch), list(dict.fromkeys(paths))
    tx.connection.execute(
        delete(PushedAnnouncements).where(PushedAnnouncements.announced_at < now - ANNOUNCED)
    )
    _forget(tx, id_, name, announced)
    rows: list[dict[str, Any]] = [
        {"repository": key, "branch": name, "path": path, "announced_at": now} for path in announced
    ]
    if rows:
        tx.connection.execute(insert(PushedAnnouncements), rows)


def withdraw(tx: WriteTransaction, id_: str, branch: str, paths: Iterable[str]) -> None:
    """Take back that files at these paths are about to be committed."""
    _forget(tx, id_, branch_name(branch), paths)


def awaited(tx: Transaction, id_: str, branch: str, *, now: datetime) -> list[str]:
    """Return the paths that were announced for a branch and have not been committed, sorted."""
    statement = select(PushedAnnouncements.path).where(
        PushedAnnouncements.repository == id_.casefold(),
        PushedAnnouncements.branch == branch_name(branch),
        PushedAnnouncements.announced_at >= now - ANNOUNCED,
    )
    return sorted(tx.connection.execute(statement).scalars())


def _forget(tx: WriteTransaction, id_: str, name: str, paths: Iterable[str]) -> None:
    for part in chunks(paths):
        tx.connection.execute(
            delete(PushedAnnouncements).where(
                PushedAnnouncements.repository == id_.casefold(),
                PushedAnnouncements.branch == name,
                PushedAnnouncements.path.in_(part),
            )
        )


def _path(operation: Operation) -> str:
    return operation.artifact.path if isinstance(operation, AddFile) else operation.path


def _commit(
    repository: PushedRepository,
    parent: str | None,
    tree: tuple[Artifact, ...],
    *,
    summary: str,
    description: str,
    author: str,
    now: datetime,
) -> PushedCommit:
    digest = tree_digest(tree)
    id_ = commit_id(
        repository=repository.id, parent=parent, tree=digest, summary=summary, description=description
    )
    return PushedCommit(
        id=id_,
        parent=parent,
        tree=digest,
        summary=summary,
        description=description,
        author=author,
        created_at=now,
    )


def _store(tx: WriteTransaction, id_: str, made: PushedCommit, tree: tuple[Artifact, ...]) -> None:
    tx.insert_new(PushedTrees, {"digest": made.tree, "files": tree})
    for artifact in tree:
        blobs.record(tx, artifact.sha256, artifact.size)
    values = msgspec.structs.asdict(made) | {"repository": id_.casefold()}
    tx.insert_new(PushedCommits, values)


def _put_ref(
    tx: WriteTransaction, id_: str, name: str, commit_: str, *, is_tag: bool, message: str | None = None
) -> None:
    key = id_.casefold()
    row = {"repository": key, "is_tag": is_tag, "name": name, "commit_id": commit_, "message": message}
    if not tx.insert_new(PushedRefs, row):
        tx.connection.execute(
            update(PushedRefs)
            .where(PushedRefs.repository == key, PushedRefs.is_tag.is_(is_tag), PushedRefs.name == name)
            .values(commit_id=commit_)
        )


def _repository(row: Row[Any]) -> PushedRepository:
    return PushedRepository(id=row.id, created_at=row.created_at, modified_at=row.modified_at)


def _as_commit(row: Row[Any]) -> PushedCommit:
    return PushedCommit(
        id=row.id,
        parent=row.parent,
        tree=row.tree,
        summary=row.summary,
        description=row.description,
        author=row.author,
        created_at=row.created_at,
        variant_id=row.variant_id,
        note=row.note,
    )
