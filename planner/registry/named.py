"""Looking up what has many names: models and devices are found by id or by any name they answer to."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import InstrumentedAttribute

from planner.errors import InvalidInput, NotFound
from planner.registry.checks import check_id, check_search
from planner.registry.kinds import Kind, T
from planner.registry.nearest import CANDIDATES, nearest, shortened
from planner.registry.tables import Names
from planner.registry.transaction import Transaction

_SHOWN = 5


def find(tx: Transaction, kind: Kind[T], reference: str) -> T:
    """Return the item with this id or name. Raises NotFound with the nearest names, InvalidInput when it is ambiguous."""
    check_id(kind.name, reference)
    table = kind.table
    exact: T | None = tx.connection.execute(
        select(table.document).where(table.id == reference)
    ).scalar_one_or_none()
    if exact is not None:
        return exact
    named = (
        select(table.id, table.document)
        .join(Names, and_(Names.id == table.id, Names.kind == kind.name))
        .where(Names.name == reference.strip().lower())
        .order_by(table.id)
        .limit(_SHOWN + 1)
    )
    rows = tx.connection.execute(named).all()
    if len(rows) > 1:
        raise InvalidInput(
            kind.name,
            f"`{shortened(reference)}` names several {kind.name}s",
            allowed=" or ".join(row.id for row in rows[:_SHOWN]),
        )
    if not rows:
        raise missing(tx, kind, reference)
    document: T = rows[0].document
    return document


def require(tx: Transaction, kind: Kind[T], id_: str) -> None:
    """Raise NotFound with the nearest names unless the id is there."""
    check_id(f"{kind.name}_id", id_)
    found = tx.connection.execute(select(kind.table.id).where(kind.table.id == id_)).scalar_one_or_none()
    if found is None:
        raise missing(tx, kind, id_)


def missing(tx: Transaction, kind: Kind[T], reference: str) -> NotFound:
    """Return the error that says there is no `reference`, with the nearest names."""
    names = select(Names.name).where(Names.kind == kind.name).order_by(Names.name).limit(CANDIDATES)
    candidates = tx.connection.execute(names).scalars()
    return NotFound(kind.name, shortened(reference), nearest=nearest(reference, candidates))


def search_text(words: tuple[str, ...]) -> str:
    """Return the text that `matches` looks into."""
    return " ".join(words).casefold()


def matches(column: InstrumentedAttribute[str], search: str | None) -> list[ColumnElement[bool]]:
    """Return the conditions that every word of `search` occurs in `column`. Raises InvalidInput."""
    words = check_search(search) if search else ()
    return [column.contains(word, autoescape=True) for word in words]
