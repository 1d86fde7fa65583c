"""Finding the variant that people mean: by id, the beginning of its digest, alias, name, or model and name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NoReturn

from sqlalchemy import ColumnElement, or_, select

from planner.domain.upload import MAIN
from planner.domain.variant import Variant
from planner.errors import InvalidInput, NotFound
from planner.registry import uploads
from planner.registry.checks import check_id
from planner.registry.nearest import CANDIDATES, nearest, shortened
from planner.registry.tables import Aliases, Names, Variants
from planner.registry.transaction import Transaction

MIN_PREFIX: Final = 12
"""Hex digits of a digest that are accepted in place of the whole."""

_PREFIX: Final = re.compile(rf"(?:sha256:)?([0-9a-f]{{{MIN_PREFIX},64}})")
_WORD: Final = re.compile(r"\w{3,}")
_SHOWN: Final = 5
_MAX_SLASHES: Final = 8


def get(tx: Transaction, reference: str) -> Variant:
    """Return the variant that `reference` means.

    Tried in this order: id; at least 12 hex digits that begin one digest, with or without "sha256:"; alias; name;
    "model/name" with any name of the model; "OWNER/NAME" of a pushed repository, which is the head of its `main`; and
    either with "@" and a commit, branch or tag, as stock clients know them. An alias goes before names, so that no
    registration can take its place.
    Raises NotFound with the nearest names, InvalidInput when several variants are meant.
    """
    reference = check_id("variant", reference).strip()
    return (
        _one(tx, reference, Variants.id == reference)
        or _by_prefix(tx, reference)
        or _by_alias(tx, reference)
        or _one(tx, reference, Variants.name_key == reference.casefold())
        or _by_model_and_name(tx, reference)
        or _by_commit(tx, reference)
        or _refuse(tx, reference)
    )


def require(tx: Transaction, id_: str) -> None:
    """Raise NotFound with the nearest names unless a variant has exactly this id."""
    check_id("variant_id", id_)
    if tx.connection.execute(select(Variants.id).where(Variants.id == id_)).scalar_one_or_none() is None:
        _refuse(tx, id_)


def _one(tx: Transaction, reference: str, condition: ColumnElement[bool]) -> Variant | None:
    statement = (
        select(Variants.id, Variants.model_id, Variants.document)
        .where(condition)
        .order_by(Variants.id)
        .limit(_SHOWN + 1)
    )
    rows = tx.connection.execute(statement).all()
    if len(rows) > 1:
        ids = [row.id for row in rows[:_SHOWN]]
        raise InvalidInput(
            "variant",
            f"`{shortened(reference)}` names several variants",
            allowed=" or ".join(ids) + (" …" if len(rows) > _SHOWN else ""),
            ids=ids,
        )
    return rows[0].document if rows else None


def begins_digest(word: str) -> ColumnElement[bool] | None:
    """Return the condition that a variant's digest begins with `word`, None when it is too short or no digest."""
    match = _PREFIX.fullmatch(word.lower())
    if match is None:
        return None
    start = f"sha256:{match[1]}"
    return (Variants.id >= start) & (Variants.id < start + "g")


def _by_prefix(tx: Transaction, reference: str) -> Variant | None:
    condition = begins_digest(reference)
    return None if condition is None else _one(tx, reference, condition)


def _by_alias(tx: Transaction, reference: str) -> Variant | None:
    statement = (
        select(Variants.document)
        .join(Aliases, Aliases.variant_id == Variants.id)
        .where(Aliases.name == reference)
    )
    return tx.connection.execute(statement).scalar_one_or_none()


def _by_model_and_name(tx: Transaction, reference: str) -> Variant | None:
    parts = reference.casefold().split("/")
    splits = [
        ("/".join(parts[:position]), "/".join(parts[position:]))
        for position in range(1, min(len(parts), _MAX_SLASHES + 1))
    ]
    if not splits:
        return None
    pairs = [
        (Variants.name_key == name)
        & Variants.model_id.in_(select(Names.id).where(Names.kind == "model", Names.name == model))
        for model, name in splits
        if model and name
    ]
    return _one(tx, reference, or_(*pairs)) if pairs else None


def _by_commit(tx: Transaction, reference: str) -> Variant | None:
    repository, at, revision = reference.partition("@")
    if repository.count("/") != 1 or (at and not revision):
        return None
    pushed = uploads.head(tx, repository, revision or MAIN)
    if pushed is not None:
        return None if pushed.variant_id is None else _one(tx, reference, Variants.id == pushed.variant_id)
    found = _by_prefix(tx, revision)
    # The commit alone says which variant; a name that belongs to another one is a mistake that is not passed over.
    name = repository.partition("/")[2].casefold()
    return found if found is not None and found.name.casefold() == name else None


def _refuse(tx: Transaction, reference: str) -> NoReturn:
    raise NotFound("variant", shortened(reference), nearest=nearest(reference, _candidates(tx, reference)))


def _candidates(tx: Transaction, reference: str) -> Iterable[str]:
    """Yield names worth comparing: variants that share a word with `reference`, then others, and the aliases."""
    columns = select(Variants.model_id, Variants.name_key, Variants.id)
    words = [word.casefold() for word in _WORD.findall(reference)[:_MAX_SLASHES]]
    statements = [columns.limit(CANDIDATES // 2)]
    if words:
        shared = or_(*(Variants.search_text.contains(word, autoescape=True) for word in words))
        statements.insert(0, columns.where(shared).limit(CANDIDATES // 2))
    for statement in statements:
        for model_id, name, id_ in tx.connection.execute(statement):
            yield f"{model_id}/{name}" if "/" in reference and ":" not in reference else name
            if ":" in reference:
                yield id_
    yield from tx.connection.execute(select(Aliases.name).limit(CANDIDATES)).scalars()
