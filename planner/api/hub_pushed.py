"""Pushed repositories as they are read: a revision is a commit, and its files are those that were pushed, to the byte."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from planner.api.hub_address import Address
from planner.api.hub_documents import Json, commit_entry
from planner.api.hub_errors import no_revision
from planner.api.hub_names import COMMIT, commit_of
from planner.api.hub_repositories import Kind, Repositories, Repository
from planner.api.hub_revisions import Snapshot
from planner.api.hub_view import HubView
from planner.domain.upload import PushedCommit, PushedRepository
from planner.domain.variant import Variant
from planner.errors import InvalidInput, NotFound
from planner.wire.uploading import Pushed, Uploading


def find(service: Uploading, repository: str) -> Pushed | None:
    """Return the pushed repository that an id means; None for a view of what is registered, or nothing."""
    return service.pushed(repository) if repository.count("/") == 1 else None


def repository_of(pushed: PushedRepository, variant_ids: Iterable[str], known: Repositories) -> Repository:
    """Return a pushed repository as others are shown: with the variants that its commits are registered as."""
    variants = known.variants_of(variant_ids)
    return Repository(
        id=pushed.id,
        kind=Kind.PUSHED,
        model=known.model_of(variants),
        variants=variants,
        commits={commit_of(variant.id): variant for variant in variants},
        states=known.states,
        created_at=pushed.created_at,
        modified_at=pushed.modified_at,
    )


def listed(service: Uploading, known: Repositories) -> list[Repository]:
    """Return every pushed repository."""
    return [repository_of(pushed, variants, known) for pushed, variants in service.pushed_repositories()]


def snapshot(service: Uploading, view: HubView, address: Address, pushed: Pushed) -> Snapshot:
    """Return what a revision means in a pushed repository: commit, branch, tag, or alias. Raises Refusal."""
    known = view.repositories(service)
    ids = [commit.variant_id for commit in pushed.commits.values() if commit.variant_id is not None]
    repository = repository_of(pushed.repository, ids, known)
    commit = _meant(service, pushed, address.revision)
    if commit is None:
        names = ", ".join(ref.name for ref in pushed.refs)
        raise no_revision(repository.id, address.revision, f"; it has {names}")
    held = known.variants_of([commit.variant_id] if commit.variant_id else [])
    variant: Variant | None = held[0] if held else None
    return Snapshot(
        repository=repository,
        commit=commit.id,
        files={artifact.path: (artifact, variant) for artifact in service.pushed_files(commit)},
        variant=variant,
        created_at=commit.created_at,
        fixed=address.revision == commit.id,
        title=commit.summary,
    )


def _meant(service: Uploading, pushed: Pushed, revision: str) -> PushedCommit | None:
    if COMMIT.fullmatch(revision.lower()):
        return pushed.commits.get(revision.lower())
    name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
    for ref in pushed.refs:  # branches come before tags
        if ref.name == name and not (ref.is_tag and revision.startswith("refs/heads/")):
            return pushed.commits.get(ref.commit_id)
    try:
        variant_id = service.alias(name).alias.variant_id
    except (NotFound, InvalidInput):
        return None
    matching = [commit for commit in pushed.commits.values() if commit.variant_id == variant_id]
    return max(matching, key=_time, default=None)


def _time(commit: PushedCommit) -> datetime:
    return commit.created_at


def refs(pushed: Pushed, aliases: Mapping[str, Variant]) -> Json:
    """Return branches and tags; aliases that point at variants registered from here are branches too."""
    branches = {ref.name: ref.commit_id for ref in pushed.refs if not ref.is_tag}
    by_variant = {commit.variant_id: commit.id for commit in sorted(pushed.commits.values(), key=_time)}
    for name, variant in aliases.items():
        branches.setdefault(name, by_variant.get(variant.id) or commit_of(variant.id))
    return {
        "branches": [_ref("heads", name, commit) for name, commit in branches.items()],
        "converts": [],
        "tags": [_ref("tags", ref.name, ref.commit_id) for ref in pushed.refs if ref.is_tag],
        "pullRequests": [],
    }


def _ref(kind: str, name: str, commit: str) -> dict[str, Any]:
    return {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": commit}


def commits(pushed: Pushed, commit: str) -> list[Json]:
    """Return a commit and those before it."""
    return [
        commit_entry(each.id, each.summary, each.created_at, message=each.description, author=each.author)
        for each in pushed.history(commit)
    ]
