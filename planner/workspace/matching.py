"""Which base model files belong to: the one they are said to be of, or the one whose shape they have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final

import msgspec

from planner.artifacts.inspection import Inspection
from planner.domain.architecture import Architecture
from planner.domain.huggingface import same_shape
from planner.domain.model import Model
from planner.domain.scheme import NumberFormat
from planner.errors import InvalidInput, NotFound
from planner.registry import models, variants
from planner.registry.transaction import Transaction
from planner.wire.page import MAX_LIMIT

_NEARLY: Final = 0.85
"""How alike two names must be (difflib's ratio) to be taken for the same one misspelt."""
_COUNT_TOLERANCE: Final = 0.02
"""How far a parameter count may be from the model's before a warning: tied or padded embeddings differ by less."""


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """The model, whether it is new to the registry, and what is doubtful about the match."""

    model: Model
    created: bool
    warnings: tuple[str, ...] = ()


def match_model(
    tx: Transaction, inspection: Inspection, *, wanted: str | None, base_variant: str | None, name: str | None
) -> Match:
    """Return the model that the inspected files are a build of.

    In this order: the `wanted` one, that of `base_variant`, the base model the files name, the only model with their
    shape, else a new one. A name that no model has makes a new one too, as fine-tuned models have the shape of others.
    Raises NotFound for a name that is nearly that of a model with the same shape, InvalidInput when shapes differ or
    several models fit.
    """
    found = _named(tx, inspection, wanted=wanted, base_variant=base_variant)
    if found is not None:
        _check_shape(found, inspection.architecture)
        return Match(model=found, created=False, warnings=_count_warnings(found, inspection))
    if inspection.architecture is None:
        raise InvalidInput(
            "model",
            "is not given, and the files do not say what they are a build of",
            allowed="the id or name of a model",
        )
    fitting = [m for m in _all_models(tx) if same_shape(m.architecture, inspection.architecture)]
    if wanted is not None and fitting:
        _check_misspelling(wanted, fitting)
        note = f"a new model with the shape of {fitting[0].id}"
        new = _new_model(inspection, inspection.architecture, wanted)
        return Match(model=new, created=True, warnings=(note,))
    if len(fitting) > 1:
        raise InvalidInput(
            "model",
            f"is not given, and {len(fitting)} models have the shape of these files",
            allowed=", ".join(model.id for model in fitting[:20]),
        )
    if fitting:
        note = f"taken for a build of {fitting[0].id}, the only model with its shape"
        return Match(
            model=fitting[0], created=False, warnings=(note, *_count_warnings(fitting[0], inspection))
        )
    return Match(model=_new_model(inspection, inspection.architecture, wanted or name), created=True)


def _check_misspelling(wanted: str, fitting: list[Model]) -> None:
    names = {_slug(name): model.id for model in fitting for name in (model.id, model.name, *model.aliases)}
    near = get_close_matches(_slug(wanted), names, n=5, cutoff=_NEARLY)
    if near:
        raise NotFound("model", wanted, nearest=tuple(dict.fromkeys(names[name] for name in near)))


def is_match(tx: Transaction, model_id: str, *, wanted: str) -> bool:
    """Return whether `wanted` is the model that a registered variant belongs to.

    Raises InvalidInput when it is one of another shape, which the files cannot be a build of.
    """
    try:
        model = models.get(tx, wanted)
    except NotFound:
        return _slug(wanted) == model_id
    if model.id == model_id:
        return True
    _check_shape(model, models.get(tx, model_id).architecture)
    return False


def _named(
    tx: Transaction, inspection: Inspection, *, wanted: str | None, base_variant: str | None
) -> Model | None:
    if wanted is not None:
        try:
            return models.get(tx, wanted)
        except NotFound:
            if inspection.architecture is None:
                raise
            return None
    if base_variant is not None:
        return models.get(tx, variants.get(tx, base_variant).model_id)
    if inspection.base_model is not None:
        try:
            return models.get(tx, inspection.base_model)
        except NotFound:
            return None
    return None


def _check_shape(model: Model, architecture: Architecture | None) -> None:
    if architecture is not None and not same_shape(model.architecture, architecture):
        theirs = model.architecture
        raise InvalidInput(
            "model",
            f"the files are not a build of `{model.id}`: they have {architecture.layers} layers of width "
            f"{architecture.hidden_size}, vocabulary {architecture.vocab_size}",
            allowed=f"files with {theirs.layers} layers of width {theirs.hidden_size}, "
            f"vocabulary {theirs.vocab_size}, or another model",
        )


def _count_warnings(model: Model, inspection: Inspection) -> tuple[str, ...]:
    if abs(inspection.parameters - model.parameters) <= _COUNT_TOLERANCE * model.parameters:
        return ()
    return (f"the files hold {inspection.parameters:,} parameters, {model.id} has {model.parameters:,}",)


def _all_models(tx: Transaction) -> Iterator[Model]:
    cursor: str | None = None
    while True:
        page = models.page(tx, limit=MAX_LIMIT, cursor=cursor)
        yield from page.items
        cursor = page.next_cursor
        if cursor is None:
            return


def _new_model(inspection: Inspection, architecture: Architecture, name: str | None) -> Model:
    title = (
        name or inspection.base_model or inspection.name or f"{architecture.model_type or 'model'}-unnamed"
    )
    slug = _slug(title)
    if not slug:
        raise InvalidInput(
            "model", f"`{title[:80]}` holds no letter or digit", allowed="a name for the new model"
        )
    scheme = inspection.scheme
    return Model(
        id=slug,
        name=title.rpartition("/")[2],
        family=(architecture.model_type or slug).replace("_", "-"),
        architecture=architecture,
        parameters=inspection.parameters,
        reference_format=scheme.weight.format if scheme.is_reference else NumberFormat.BF16,
        size_billions=float(f"{inspection.parameters / 1e9:.3g}"),
        hub_id=inspection.base_model,
        license=inspection.license,
    )


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", title.rpartition("/")[2].lower()).strip("-.")
