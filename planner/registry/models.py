"""Base models: put, found by any name, listed by name."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import select

from planner.domain.listing import Page
from planner.domain.model import Model
from planner.registry import kinds, named
from planner.registry.checks import DEFAULT_LIMIT, check_document, check_id, check_name, check_names
from planner.registry.kinds import REGISTERED, Kind
from planner.registry.pages import Keyset, fetch
from planner.registry.tables import Models, Variants
from planner.registry.transaction import Transaction, WriteTransaction


def row(model: Model) -> dict[str, Any]:
    """Return the columns of `model`. Raises InvalidInput."""
    check_id("model.id", model.id)
    check_name("model.name", model.name)
    check_name("model.family", model.family)
    check_names("model.names", model.names())
    check_document("model", model)
    return {
        "id": model.id,
        "name_key": model.name.casefold(),
        "family": model.family.casefold(),
        "search_text": named.search_text((*model.names(), model.family)),
        "document": model,
    }


KIND: Final = Kind(
    name="model", struct=Model, table=Models, row=row, names=Model.names, referrers=(Variants.model_id,)
)


def put(tx: WriteTransaction, model: Model, *, source: str = REGISTERED) -> bool:
    """Store the model's present content; return False when nothing changed. Raises InvalidInput."""
    check_id("model.id", model.id)
    return kinds.put(tx, KIND, model, source=check_name("source", source))


def get(tx: Transaction, reference: str) -> Model:
    """Return the model with this id or name, in any letter case. Raises NotFound, InvalidInput when ambiguous."""
    return named.find(tx, KIND, reference)


def page(
    tx: Transaction,
    *,
    search: str | None = None,
    family: str | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[Model]:
    """Return models by name: those that hold every word of `search`, of one family. Raises InvalidInput."""
    statement = select(Models.document).where(*named.matches(Models.search_text, search))
    if family is not None:
        statement = statement.where(Models.family == check_name("family", family).casefold())
    keyset = Keyset(Models.name_key, Models.id, type_=str, scope=("models", search, family))
    return fetch(tx, statement, keyset, lambda row: row.document, limit=limit, cursor=cursor)
