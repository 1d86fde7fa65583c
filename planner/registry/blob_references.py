"""Which stored files anything in the registry still names.

Asked conservatively: a file is named when its sha256 occurs in any text of any table, whatever the text is for, so a table
that is added later keeps its files without being known here. Left out are only tables that cannot name a file that
nothing else names, and the records of variants whose files were given up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Select, Text, delete, exists, or_, select, type_coerce
from sqlalchemy.types import TypeDecorator, TypeEngine

from planner.domain.lifecycle import LifecycleState
from planner.registry.kinds import chunks
from planner.registry.tables import (
    Aliases,
    AliasMoves,
    Base,
    Blobs,
    Counters,
    Downloads,
    Names,
    Pins,
    Plans,
    StateChanges,
    Variants,
    VariantStates,
)
from planner.registry.transaction import Transaction, WriteTransaction
from planner.registry.upload_tables import PushedCommits, PushedTrees

ROWS_AT_ONCE: Final = 500

NAMES_NO_FILE: Final = frozenset(
    table.__tablename__
    for table in (
        Aliases,
        AliasMoves,
        Blobs,
        Counters,
        Downloads,
        Names,
        Pins,
        Plans,
        StateChanges,
        VariantStates,
    )
)
"""Tables that speak of files only by the id of the variant they belong to, and the list of the files itself."""

RECORDS_COLUMN: Final = ("evaluations", "records")
"""Outcomes item by item: by far the largest column, and made of numbers and ids of items."""

_SHA256: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


def named(tx: Transaction, among: AbstractSet[str] | None = None) -> set[str]:
    """Return every sha256 that the registry names, or only those `among` the given ones."""
    found: set[str] = set()
    for text in _texts(tx):
        found.update(_SHA256.findall(text))
    return found if among is None else found & among


def forget(tx: WriteTransaction, sha256s: Iterable[str]) -> None:
    """Take files off the list of those that the store holds."""
    for chunk in chunks(sha256s):
        tx.connection.execute(delete(Blobs).where(Blobs.sha256.in_(chunk)))


def recorded(tx: Transaction) -> set[str]:
    """Return every file on the list of those that the store holds."""
    return set(tx.connection.execute(select(Blobs.sha256)).scalars())


def _texts(tx: Transaction) -> Iterator[str]:
    for table in Base.metadata.sorted_tables:
        if table.name in NAMES_NO_FILE:
            continue
        columns = [column for column in table.columns if _holds_text(column)]
        if not columns:
            continue
        read: Select[Any] = select(*(type_coerce(column, Text) for column in columns))
        statement = read if (counting := _counting(table.name)) is None else read.where(counting)
        rows = tx.connection.execute(statement.execution_options(yield_per=ROWS_AT_ONCE))
        for row in rows:
            yield from (text for text in row if text is not None)


def _counting(table: str) -> ColumnElement[bool] | None:
    """Return the condition on rows that still count: what only tells of deleted variants does not."""
    gone = select(VariantStates.id).where(VariantStates.state == LifecycleState.DELETED.value)
    if table == Variants.__tablename__:
        return Variants.id.not_in(gone)
    if table == PushedTrees.__tablename__:
        alive = or_(PushedCommits.variant_id.is_(None), PushedCommits.variant_id.not_in(gone))
        return exists().where(PushedCommits.tree == PushedTrees.digest, alive)
    return None


def _holds_text(column: Column[Any]) -> bool:
    if (column.table.name, column.name) == RECORDS_COLUMN:
        return False
    kind: TypeEngine[Any] = column.type
    if isinstance(kind, TypeDecorator):
        kind = kind.impl_instance
    return isinstance(kind, Text)
