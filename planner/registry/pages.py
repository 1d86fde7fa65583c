"""Keyset pages: a page continues after the last row seen, however deep, and never skips rows that others insert.

A cursor is the sort key and id of that last row. It is opaque and carries a digest over the listing it belongs to, so
one that was altered, or is used with another sort or filter, is refused instead of giving a page of something else.
Rows whose key is unknown (NULL) come last, ordered by id, in either direction.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar, TypeVarTuple

import msgspec
from sqlalchemy import ColumnElement, Row, Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from planner.domain.listing import Page
from planner.errors import InvalidInput
from planner.registry.checks import check_limit
from planner.registry.transaction import Transaction

__all__ = ["Keyset", "Page", "fetch"]

R = TypeVar("R")
Ts = TypeVarTuple("Ts")
K = TypeVar("K")

MAX_CURSOR: Final = 4_000
_CHECK_BYTES: Final = 8


class Keyset(Generic[K]):
    """The order of one listing: by `key` (of Python type `type_`), ties by `id`; `scope` says which listing it is."""

    def __init__(
        self,
        key: InstrumentedAttribute[K] | InstrumentedAttribute[K | None],
        id_: InstrumentedAttribute[str],
        *,
        type_: type[K],
        scope: tuple[object, ...],
        nullable: bool = False,
        descending: bool = False,
    ) -> None:
        self.key: InstrumentedAttribute[Any] = key
        self.id = id_
        self.nullable = nullable
        self.descending = descending
        self._type = type_
        self._scope = msgspec.json.encode([*scope, descending])

    def after(self, key: K, id_: str) -> ColumnElement[bool]:
        """Return the condition for rows that come after (key, id) among those with a key."""
        here, there = tuple_(self.key, self.id), tuple_(key, id_)
        return here < there if self.descending else here > there

    def encode(self, key: K | None, id_: str) -> str:
        """Return the cursor that continues after the row with this key and id."""
        payload = msgspec.json.encode((key, id_))
        return urlsafe_b64encode(self._digest(payload) + payload).decode().rstrip("=")

    def decode(self, cursor: str) -> tuple[K | None, str]:
        """Return the key and id in `cursor`. Raises InvalidInput."""
        refusal = InvalidInput(
            "cursor",
            "does not belong to this listing",
            allowed="the next_cursor of the same sort and filter, unchanged",
        )
        if len(cursor) > MAX_CURSOR:
            raise refusal
        try:
            data = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
            check, payload = data[:_CHECK_BYTES], data[_CHECK_BYTES:]
            key, id_ = msgspec.json.decode(payload, type=tuple[Any, str])
            position = None if key is None else msgspec.convert(key, self._type), id_
        except (ValueError, msgspec.MsgspecError):
            raise refusal from None
        if check != self._digest(payload) or self.encode(*position) != cursor:
            raise refusal
        return position

    def _digest(self, payload: bytes) -> bytes:
        return hashlib.sha256(self._scope + b"\n" + payload).digest()[:_CHECK_BYTES]


def fetch(
    tx: Transaction,
    statement: Select[*Ts],
    keyset: Keyset[K],
    decode: Callable[[Row[*Ts]], R],
    *,
    limit: int,
    cursor: str | None,
) -> Page[R]:
    """Return the page of `statement` after `cursor`, each row made into an item by `decode`. Raises InvalidInput."""
    check_limit(limit)
    key: K | None = None
    id_: str | None = None
    if cursor is not None:
        key, id_ = keyset.decode(cursor)
    rows: list[Any] = []
    wide = statement.add_columns(keyset.key.label("page_key"), keyset.id.label("page_id"))
    # Rows without a key are a second query: one query over both could not use the index on (key, id).
    if key is not None or id_ is None:
        known = wide.where(keyset.key.is_not(None)) if keyset.nullable else wide
        if key is not None and id_ is not None:
            known = known.where(keyset.after(key, id_))
        order = [column.desc() if keyset.descending else column.asc() for column in (keyset.key, keyset.id)]
        rows += tx.connection.execute(known.order_by(*order).limit(limit + 1)).all()
        id_ = None
    if keyset.nullable and len(rows) <= limit:
        unknown = wide.where(keyset.key.is_(None))
        if id_ is not None:
            unknown = unknown.where(keyset.id > id_)
        rows += tx.connection.execute(unknown.order_by(keyset.id).limit(limit + 1 - len(rows))).all()
    return _page(rows, keyset, decode, limit)


def _page(rows: Sequence[Any], keyset: Keyset[K], decode: Callable[[Any], R], limit: int) -> Page[R]:
    more = len(rows) > limit
    shown = rows[:limit]
    return Page(
        items=tuple(decode(row) for row in shown),
        next_cursor=keyset.encode(shown[-1].page_key, shown[-1].page_id) if more else None,
    )
