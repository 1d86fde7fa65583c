"""Repositories: what is held, arranged as the Hugging Face protocol sees it. Built once per revision of the registry. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from enum import Enum
from typing import Final

import msgspec

from planner.api.hub_errors import no_repository
from planner.api.hub_names import (
    GGUF_SUFFIX,
    MODELS,
    PLANS,
    commit_of,
    model_repositories,
    slug,
    variant_repository,
)
from planner.domain.lifecycle import VariantState
from planner.domain.model import Model
from planner.domain.variant import FileFormat, Variant
from planner.wire.serving import Holdings

_SHOWN: Final = 5
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Kind(Enum):
    """What a repository is a view of."""

    VARIANT = "variant"
    MODEL = "model"
    GGUF = "gguf"
    PLAN = "plan"
    PUSHED = "pushed"
    """No view: a repository that clients push to."""


class Repository(msgspec.Struct, frozen=True, kw_only=True):
    """A repository: the variants that are its commits, newest first."""

    id: str
    kind: Kind
    model: Model | None
    variants: tuple[Variant, ...]
    commits: Mapping[str, Variant]
    """Variants by commit."""
    states: Mapping[str, VariantState] = {}
    """States of variants that are not active, by id; shared by all repositories."""

    created_at: datetime | None = None
    modified_at: datetime | None = None
    """Given for pushed repositories; others are as old and new as their variants."""

    @property
    def name(self) -> str:
        """The part after the slash."""
        return self.id.rpartition("/")[2]

    @property
    def offered(self) -> tuple[Variant, ...]:
        """The variants that those who name none are given, newest first: all when none is fit to be recommended."""
        fit = tuple(
            variant
            for variant in self.variants
            if variant.id not in self.states or self.states[variant.id].state.is_recommended
        )
        return fit or self.variants


def created(variant: Variant) -> datetime:
    """Return when a variant was registered."""
    return variant.created_at or LONG_AGO


class Repositories:
    """Every repository by id, in any letter case."""

    def __init__(self, holdings: Holdings) -> None:
        self.revision = holdings.revision
        self._states = holdings.states
        self._models = holdings.models
        self._newest = _newest_first(holdings.variants)
        self._commits = {commit_of(variant.id): variant for variant in self._newest}
        self._by_id: dict[str, Repository] = {}
        by_model: dict[str, list[Variant]] = {}
        by_name: dict[str, list[Variant]] = {}
        for variant in self._newest:
            by_model.setdefault(variant.model_id, []).append(variant)
            by_name.setdefault(variant_repository(variant), []).append(variant)
        for id_, variants in by_name.items():
            self._add(id_, Kind.VARIANT, holdings.models[variants[0].model_id], variants)
        for model_id, variants in by_model.items():
            model = holdings.models[model_id]
            ggufs = [variant for variant in variants if variant.file_format is FileFormat.GGUF]
            for id_ in model_repositories(model):
                self._add(id_, Kind.MODEL, model, variants)
                if ggufs:
                    self._add(id_ + GGUF_SUFFIX, Kind.GGUF, model, ggufs)

    def all(self) -> Iterable[Repository]:
        """Return every repository but those of plans, by id."""
        return [self._by_id[id_] for id_ in sorted(self._by_id)]

    @property
    def states(self) -> Mapping[str, VariantState]:
        """States of variants that are not active, by id."""
        return self._states

    def variants_of(self, ids: Iterable[str]) -> tuple[Variant, ...]:
        """Return those of the variants that are held, newest first."""
        wanted = {commit_of(id_) for id_ in ids}
        return _newest_first(self._commits[commit] for commit in wanted if commit in self._commits)

    def model_of(self, variants: Iterable[Variant]) -> Model | None:
        """Return the model of the first of `variants`, None when there is none."""
        return next((self._models[variant.model_id] for variant in variants), None)

    def get(self, id_: str) -> Repository:
        """Return a repository. Raises Refusal."""
        found = self._by_id.get(id_.casefold())
        if found is not None:
            return found
        organization, slash, name = id_.partition("/")
        if not slash:
            raise no_repository(id_, "; ids here have two parts, MODEL/VARIANT")
        if organization == PLANS and name:
            return Repository(
                id=id_,
                kind=Kind.PLAN,
                model=None,
                variants=self._newest,
                commits=self._commits,
                states=self._states,
            )
        known = [other.id for other in self._of(organization, name)]
        others = get_close_matches(id_, known, n=_SHOWN, cutoff=0.0)
        raise no_repository(id_, f"; there are {', '.join(others)}" if others else "")

    def _of(self, organization: str, name: str) -> list[Repository]:
        wanted = slug(name if organization == MODELS else organization).casefold()
        return [
            repository
            for repository in self.all()
            if repository.model is not None
            and wanted in {slug(repository.model.id).casefold(), *repository.model.names()}
        ]

    def _add(self, id_: str, kind: Kind, model: Model, variants: Iterable[Variant]) -> None:
        held = tuple(variants)
        repository = Repository(
            id=id_,
            kind=kind,
            model=model,
            variants=held,
            commits={commit_of(variant.id): variant for variant in held},
            states=self._states,
        )
        self._by_id.setdefault(id_.casefold(), repository)


def _newest_first(variants: Iterable[Variant]) -> tuple[Variant, ...]:
    return tuple(sorted(variants, key=lambda variant: (created(variant), variant.id), reverse=True))
