"""Which stored files anything in the registry still names.

Asked conservatively: a file is named when its sha256 occurs in any text of any table, whatever the text is for, so a table
that is added later keeps its files without being known here. Left out are only tables that cannot name a file that
nothing else names, and the records of variants whose files were given up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any, Final

import numpy as np
from sqlalchemy import Column, ColumnElement, Text, delete, exists, or_, select, type_coerce
from sqlalchemy.sql.selectable import FromClause
from sqlalchemy.types import TypeDecorator, TypeEngine

from planner.domain.lifecycle import LifecycleState
from planner.registry.kinds import CATALOGUE, chunks
from planner.registry.tables import (
    Aliases,
    AliasMoves,
    Base,
    Blobs,
    Counters,
    Downloads,
    Evaluations,
    Names,
    Pins,
    Plans,
    Profiles,
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

_AT_ONCE: Final = 1 << 20
"""Bytes of text searched in one go."""
_IS_HEX: Final = np.isin(np.arange(256), np.frombuffer(b"0123456789abcdef", dtype=np.uint8))


def named(tx: Transaction, among: AbstractSet[str] | None = None) -> set[str]:
    """Return every sha256 that the registry names, or only those `among` the given ones."""
    found: set[str] = set()
    waiting: list[bytes] = []
    size = 0
    for text in _texts(tx):
        waiting.append(text.encode())
        size += len(text)
        if size > _AT_ONCE:
            found |= hashes_in(b"\n".join(waiting))
            waiting, size = [], 0
    found |= hashes_in(b"\n".join(waiting))
    return found if among is None else found & among


def hashes_in(text: bytes) -> set[str]:
    """Return what may be a sha256 in a text: its runs of exactly 64 lower-case hex digits."""
    is_hex = _IS_HEX[np.frombuffer(text, dtype=np.uint8)]
    edges = np.flatnonzero(np.diff(is_hex, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    return {text[start : start + 64].decode() for start in starts[ends - starts == 64].tolist()}


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
        read: Any = select(*(type_coerce(column, Text) for column in columns))
        statement = read if (counting := _counting(table)) is None else read.where(counting)
        rows = tx.connection.execute(statement.execution_options(yield_per=ROWS_AT_ONCE))
        for row in rows:
            yield from (text for text in row if text is not None)


def _counting(table: FromClause) -> ColumnElement[bool] | None:
    """Return the condition on rows that still count.

    What only tells of deleted variants does not, nor does the built-in catalogue, none of whose evidence has files here.
    """
    gone = select(VariantStates.id).where(VariantStates.state == LifecycleState.DELETED.value)
    if table is Variants.__table__:
        return Variants.id.not_in(gone)
    if table is PushedTrees.__table__:
        alive = or_(PushedCommits.variant_id.is_(None), PushedCommits.variant_id.not_in(gone))
        return exists().where(PushedCommits.tree == PushedTrees.digest, alive)
    if table in {Evaluations.__table__, Profiles.__table__}:
        return table.c.source != CATALOGUE
    return None


def _holds_text(column: Column[Any]) -> bool:
    if (column.table.name, column.name) == RECORDS_COLUMN:
        return False
    kind: TypeEngine[Any] = column.type
    if isinstance(kind, TypeDecorator):
        kind = kind.impl_instance
    return isinstance(kind, Text)
