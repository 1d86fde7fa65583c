"""Variants: registered once by their content, never changed, listed with what their evidence says."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute

from planner.domain.listing import Page, VariantFilter, VariantRow, VariantSort
from planner.domain.variant import Variant, manifest_digest
from planner.domain.webhook import EventKind
from planner.errors import Conflict, InvalidInput
from planner.registry import events, kinds, models, named
from planner.registry.checks import (
    DEFAULT_LIMIT,
    check_document,
    check_id,
    check_integer,
    check_name,
    check_search,
    check_time,
)
from planner.registry.kinds import REGISTERED, Kind
from planner.registry.pages import Keyset, fetch
from planner.registry.tables import Aliases, Evaluations, Pins, Profiles, Variants, VariantStates
from planner.registry.transaction import Transaction, WriteTransaction
from planner.registry.variant_lookup import begins_digest, get

__all__ = ["KIND", "get", "page", "register", "row"]

_FIXED: Final = ("model_id", "scheme", "file_format", "weight_bytes", "parameters", "artifacts")
"""What the bytes of a variant decide. Its name, provenance and time are those of the first registration."""

_SORTS: Final[dict[str, tuple[InstrumentedAttribute[Any], type[Any]]]] = {
    "name": (Variants.name_key, str),
    "weight_bytes": (Variants.weight_bytes, int),
    "effective_bits": (Variants.effective_bits, float),
    "created_at": (Variants.created_at, datetime),
    "loss": (Variants.loss, float),
}


def row(variant: Variant) -> dict[str, Any]:
    """Return the columns of `variant`. Raises InvalidInput."""
    check_id("variant.id", variant.id)
    check_name("variant.name", variant.name)
    check_name("variant.scheme", variant.scheme.name)
    _check_identity(variant)
    if variant.created_at is not None:
        check_time("variant.created_at", variant.created_at)
    check_document("variant", variant)
    terms = sorted(word.casefold() for word in variant.scheme.terms())
    return {
        "id": variant.id,
        "model_id": variant.model_id,
        "name_key": variant.name.casefold(),
        "scheme": variant.scheme.name,
        "scheme_terms": f"|{'|'.join(terms)}|",
        "nominal_bits": variant.scheme.nominal_bits,
        "effective_bits": variant.effective_bits,
        "weight_bytes": check_integer("variant.weight_bytes", variant.weight_bytes.value, top=2**60),
        "file_format": variant.file_format.value,
        "fetchable": variant.is_fetchable,
        "created_at": variant.created_at,
        "search_text": named.search_text((variant.name, variant.model_id, *terms)),
        "document": variant,
    }


KIND: Final = Kind(
    name="variant",
    struct=Variant,
    table=Variants,
    row=row,
    referrers=(
        Profiles.variant_id,
        Evaluations.variant_id,
        Aliases.variant_id,
        VariantStates.id,
        Pins.variant_id,
    ),
)


def register(tx: WriteTransaction, variant: Variant, *, source: str = REGISTERED) -> tuple[Variant, bool]:
    """Return the variant the registry holds under this id, and whether this call created it.

    Registering again changes nothing: the first name, provenance and time stay. Raises InvalidInput, NotFound for an
    unknown model, and Conflict when the same id is given with another model, scheme, format or size.
    """
    check_id("variant.id", variant.id)
    tx.lock_revision()
    before = kinds.stored(tx, KIND, [variant.id]).get(variant.id)
    if before is not None:
        differing = [field for field in _FIXED if getattr(before.document, field) != getattr(variant, field)]
        if differing:
            raise Conflict(
                f"variant `{variant.id}` is registered with another {', '.join(differing)}", fields=differing
            )
        return before.document, False
    named.require(tx, models.KIND, variant.model_id)
    kinds.add(tx, KIND, [variant], source=check_name("source", source))
    happened = {
        "variant": variant.id,
        "model": variant.model_id,
        "name": variant.name,
        "scheme": variant.scheme.name,
        "weight_bytes": variant.weight_bytes.value,
    }
    events.emit(tx, EventKind.VARIANT_REGISTERED, happened)
    return variant, True


def page(
    tx: Transaction,
    where: VariantFilter = VariantFilter(),  # noqa: B008 - frozen
    *,
    sort: VariantSort = VariantSort.NAME,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[VariantRow]:
    """Return variants that pass `where`, in the order of `sort`. Raises InvalidInput, NotFound for an unknown model."""
    key, type_ = _SORTS[sort.key]
    state = select(VariantStates.document).where(VariantStates.id == Variants.id).scalar_subquery()
    statement = select(Variants.document, Variants.loss_figure, Variants.profile_count, state)
    keyset = Keyset(
        key,
        Variants.id,
        type_=type_,
        scope=("variants", sort, where),
        nullable=sort.key not in {"name", "weight_bytes"},
        descending=sort.is_reversed,
    )
    return fetch(
        tx,
        statement.where(*_conditions(tx, where)),
        keyset,
        lambda row: VariantRow(
            variant=row[0], scheme=row[0].scheme.name, loss=row[1], profile_count=row[2], state=row[3]
        ),
        limit=limit,
        cursor=cursor,
    )


def _conditions(tx: Transaction, where: VariantFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    for word in check_search(where.search or ""):
        text = Variants.search_text.contains(word, autoescape=True)
        digest = begins_digest(word)
        conditions.append(text if digest is None else text | digest)
    if where.model is not None:
        conditions.append(Variants.model_id == models.get(tx, where.model).id)
    if where.scheme is not None:
        word = check_name("scheme", where.scheme).strip().casefold()
        conditions.append(Variants.scheme_terms.contains(f"|{word}|", autoescape=True))
    if where.format is not None:
        conditions.append(Variants.file_format == where.format.value)
    if where.fetchable is not None:
        conditions.append(Variants.fetchable == where.fetchable)
    return conditions + _bounds(where)


def _bounds(where: VariantFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if where.max_weight_bytes is not None:
        conditions.append(Variants.weight_bytes <= check_integer("max_weight_bytes", where.max_weight_bytes))
    if where.min_bits is not None:
        conditions.append(Variants.nominal_bits >= check_integer("min_bits", where.min_bits))
    if where.max_bits is not None:
        conditions.append(Variants.nominal_bits <= check_integer("max_bits", where.max_bits))
    if where.max_loss is not None:
        if not math.isfinite(where.max_loss):
            raise InvalidInput("max_loss", f"{where.max_loss} is no fraction", allowed="a finite number")
        conditions.append(Variants.loss <= where.max_loss)
    return conditions


def _check_identity(variant: Variant) -> None:
    if variant.artifacts:
        digest = manifest_digest(variant.artifacts)
        if variant.id != digest:
            raise InvalidInput(
                "variant.id", f"`{variant.id}` is not the digest of its artifacts", allowed=digest
            )
    elif not variant.id.startswith("published:"):
        raise InvalidInput(
            "variant.artifacts", "are empty", allowed="files, or an id that begins with `published:`"
        )
