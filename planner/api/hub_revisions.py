"""Revisions: what a name, a commit or a question means in a repository, as the files it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from planner.api import hub_gguf
from planner.api.hub_address import MAIN
from planner.api.hub_errors import no_revision
from planner.api.hub_names import commit_meant, commit_of, slug
from planner.api.hub_repositories import LONG_AGO, Kind, Repository, created
from planner.choose.losses import is_baseline
from planner.domain.variant import Artifact, Variant
from planner.errors import InvalidInput, NotFound
from planner.wire.page import MAX_LIMIT
from planner.wire.service import Service

_HEADS: Final = "refs/heads/"
_SHOWN: Final = 8


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A repository at a commit: its files by path, each with the variant it belongs to, if it is of one."""

    repository: Repository
    commit: str
    files: Mapping[str, tuple[Artifact, Variant | None]]
    variant: Variant | None
    """The variant that the commit is; None for a commit that gathers several."""
    created_at: datetime
    fixed: bool = True
    """True when the revision asked for is this commit, so that the answer can never change."""
    notice: str | None = None
    """What a plan decided, in words."""
    plan_id: str | None = None
    title: str | None = None
    """What was said of the commit, in a repository that clients push to."""


def of_variant(repository: Repository, variant: Variant, *, fixed: bool = False) -> Snapshot:
    """Return the snapshot that is one variant."""
    return Snapshot(
        repository=repository,
        commit=commit_of(variant.id),
        files={artifact.path: (artifact, variant) for artifact in variant.artifacts},
        variant=variant,
        created_at=created(variant),
        fixed=fixed,
    )


def resolve(service: Service, repository: Repository, revision: str) -> Snapshot:
    """Return what `revision` means. Plans' repositories know only commits here. Raises Refusal.

    Tried in this order: commit or digest, alias, `main`, and in a model's repository the name of a variant.
    """
    commit = commit_meant(revision)
    if repository.kind is Kind.GGUF:
        return _gathered(repository, commit, revision)
    if commit is not None and (found := repository.commits.get(commit)) is not None:
        return of_variant(repository, found, fixed=revision == commit)
    if commit is not None or repository.kind is Kind.PLAN:
        raise no_revision(repository.id, revision)
    name = revision.removeprefix(_HEADS)
    variant = _by_alias(service, repository, name) or branches(repository).get(name)
    if variant is None:
        raise no_revision(repository.id, revision, _hint(repository, name))
    return of_variant(repository, variant)


def branches(repository: Repository) -> dict[str, Variant]:
    """Return the branches that a repository has by itself, without aliases."""
    if repository.kind is Kind.VARIANT:
        return {MAIN: repository.offered[0]}
    model, found = repository.model, dict[str, Variant]()
    if repository.kind is not Kind.MODEL or model is None:
        return found
    # What is not offered still has its branch, where those who pull it are refused or warned, unless another has its name.
    everyone = (*repository.offered, *repository.variants)
    for variant in everyone:
        if is_baseline(variant, model):
            found.setdefault(MAIN, variant)
    for variant in everyone:
        found.setdefault(slug(variant.name), variant)
    return found


def aliases(service: Service, repository: Repository) -> dict[str, Variant]:
    """Return the aliases that point at variants of a repository."""
    by_id = {variant.id: variant for variant in repository.variants}
    found: dict[str, Variant] = {}
    cursor: str | None = None
    while True:
        page = service.aliases(limit=MAX_LIMIT, cursor=cursor)
        found |= {alias.name: by_id[alias.variant_id] for alias in page.items if alias.variant_id in by_id}
        cursor = page.next_cursor
        if cursor is None:
            return found


def _by_alias(service: Service, repository: Repository, name: str) -> Variant | None:
    try:
        alias = service.alias(name).alias
    except (NotFound, InvalidInput):
        return None
    return repository.commits.get(commit_of(alias.variant_id))


def _gathered(repository: Repository, commit: str | None, revision: str) -> Snapshot:
    if commit is None and revision.removeprefix(_HEADS) != MAIN:
        raise no_revision(repository.id, revision, f"; it has {MAIN}")
    for each, made_of in hub_gguf.commits(repository):
        if commit in {None, each}:
            return Snapshot(
                repository=repository,
                commit=each,
                files=hub_gguf.files(repository, made_of),
                variant=None,
                created_at=max((created(variant) for variant in made_of), default=LONG_AGO),
                fixed=revision == each,
            )
    raise no_revision(repository.id, revision)


def _hint(repository: Repository, name: str) -> str:
    own = list(branches(repository))
    if repository.kind is Kind.MODEL and name == MAIN:
        return (
            "; no variant at the model's reference precision is held, so name one: "
            + ", ".join(own[:_SHOWN])
            + ' or "plan:" and a question'
        )
    return f"; it has {', '.join(own[:_SHOWN])}, and the aliases that point at it" if own else ""
