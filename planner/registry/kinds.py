"""The five kinds of rows that plans depend on, and the one way their content changes.

Content that is replaced or withdrawn moves to `past_rows` with the revision that ended it; the row itself carries the
revision its present content began at. That is all `snapshot` needs to show any earlier revision exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Generic, Protocol, TypeVar

from sqlalchemy import delete, insert, literal, select, update
from sqlalchemy.orm import InstrumentedAttribute

from planner.registry.tables import Names, PastRows, Revised
from planner.registry.transaction import Transaction, WriteTransaction

REGISTERED: Final = "registered"
"""Source of what users and workers register."""
CATALOGUE: Final = "catalogue"
"""Source of what comes with the built-in catalogue."""

CHUNK: Final = 500
"""Ids per statement: both databases bound the parameters of one."""


class Identified(Protocol):
    """Anything with an id."""

    @property
    def id(self) -> str:
        """The id, unique within its kind."""
        ...


T = TypeVar("T", bound=Identified)


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[T]):
    """How one kind of domain struct is kept: its table, its row, the names it answers to, and who refers to it."""

    name: str
    struct: type[T]
    table: type[Revised]
    row: Callable[[T], dict[str, Any]]
    """Columns of an item, `document` included; `source` and `revision` are added here."""
    names: Callable[[T], tuple[str, ...]] | None = None
    referrers: tuple[InstrumentedAttribute[str], ...] = ()
    """Columns elsewhere that hold its id: what is referred to cannot be withdrawn."""


@dataclass(frozen=True, kw_only=True)
class Stored(Generic[T]):
    """What the registry holds under an id."""

    source: str
    document: T


def chunks(ids: Iterable[str]) -> Iterable[list[str]]:
    """Yield `ids` in lists short enough for one statement."""
    rest = iter(ids)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def stored(tx: Transaction, kind: Kind[T], ids: Iterable[str]) -> dict[str, Stored[T]]:
    """Return what the registry holds of `ids`."""
    table = kind.table
    found: dict[str, Stored[T]] = {}
    for chunk in chunks(ids):
        statement = select(table.id, table.source, table.document).where(table.id.in_(chunk))
        for id_, source, document in tx.connection.execute(statement):
            found[id_] = Stored(source=source, document=document)
    return found


def add(tx: WriteTransaction, kind: Kind[T], items: Sequence[T], *, source: str) -> None:
    """Insert `items`, which are all new, at the next revision."""
    if not items:
        return
    revision = tx.lock_revision()
    rows = [{**kind.row(item), "source": source, "revision": revision} for item in items]
    tx.connection.execute(insert(kind.table), rows)
    _name(tx, kind, items)
    tx.record_change()


def replace(tx: WriteTransaction, kind: Kind[T], item: T, *, source: str) -> None:
    """Replace the content of an item that is there, keeping the old one for earlier revisions."""
    _archive(tx, kind, [item.id])
    row: Mapping[str, Any] = {**kind.row(item), "source": source, "revision": tx.lock_revision()}
    tx.connection.execute(update(kind.table).where(kind.table.id == item.id).values(row))
    _unname(tx, kind, [item.id])
    _name(tx, kind, [item])
    tx.record_change()


def withdraw(tx: WriteTransaction, kind: Kind[T], ids: Iterable[str]) -> int:
    """Remove those of `ids` that nothing refers to, keeping them for earlier revisions; return how many."""
    count = 0
    for chunk in chunks(ids):
        free = select(kind.table.id).where(kind.table.id.in_(chunk))
        for referrer in kind.referrers:
            free = free.where(~select(literal(1)).where(referrer == kind.table.id).exists())
        gone = list(tx.connection.execute(free).scalars())
        if gone:
            _archive(tx, kind, gone)
            _unname(tx, kind, gone)
            tx.connection.execute(delete(kind.table).where(kind.table.id.in_(gone)))
            tx.record_change()
            count += len(gone)
    return count


def put(tx: WriteTransaction, kind: Kind[T], item: T, *, source: str) -> bool:
    """Store the present content of `item` and return True, or return False when it is already so."""
    tx.lock_revision()
    before = stored(tx, kind, [item.id]).get(item.id)
    if before is None:
        add(tx, kind, [item], source=source)
    elif before.document != item:
        replace(tx, kind, item, source=source)
    else:
        return False
    return True


def _archive(tx: WriteTransaction, kind: Kind[T], ids: list[str]) -> None:
    """Copy rows to `past_rows`; content that this very transaction wrote was never visible and is not kept."""
    revision = tx.lock_revision()
    table = kind.table
    old = select(literal(kind.name), table.id, table.revision, literal(revision), table.document).where(
        table.id.in_(ids), table.revision < revision
    )
    tx.connection.execute(
        insert(PastRows).from_select(["kind", "id", "revision", "superseded", "document"], old)
    )


def _name(tx: WriteTransaction, kind: Kind[T], items: Iterable[T]) -> None:
    if kind.names is None:
        return
    rows = [{"kind": kind.name, "name": name, "id": item.id} for item in items for name in kind.names(item)]
    if rows:
        tx.connection.execute(insert(Names), rows)


def _unname(tx: WriteTransaction, kind: Kind[T], ids: list[str]) -> None:
    if kind.names is not None:
        tx.connection.execute(delete(Names).where(Names.kind == kind.name, Names.id.in_(ids)))
