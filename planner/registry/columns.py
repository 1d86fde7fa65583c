"""Column types: UTC time, text in byte order, and domain structs as JSON documents."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import BigInteger, DateTime, Dialect, Integer, Text, TypeDecorator
from sqlalchemy.dialects.postgresql import TEXT

from planner.errors import InvalidInput, Unavailable

T = TypeVar("T")

OrderedText = Text().with_variant(TEXT(collation="C"), "postgresql")
"""Text that both databases compare byte by byte, so that pages come in the same order whatever the locale."""

RowNumber = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit counter; SQLite numbers rows only where the type is spelled INTEGER."""


class UTCDateTime(TypeDecorator[datetime]):
    """A moment in time. Naive values are refused; what comes back is always in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment in UTC, as SQLite stores it without its zone. Raises InvalidInput."""
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            raise InvalidInput(
                "time", f"`{value.isoformat()}` has no time zone", allowed="a time with a zone"
            )
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment in UTC."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Document(TypeDecorator[T], Generic[T]):
    """A value of the msgspec type `type_`, stored as JSON text exactly as msgspec writes it.

    Text, not the databases' JSON types: documents are never searched, JSONB rewrites keys and numbers, and drivers would
    decode JSON into dicts that msgspec then has to walk again.
    """

    impl = Text
    cache_ok = True

    def __init__(self, type_: Any) -> None:
        super().__init__()
        self.type_ = type_
        self._decode: Callable[[str], T] = msgspec.json.Decoder[T](type_).decode

    def process_bind_param(self, value: T | None, dialect: Dialect) -> str | None:
        """Return the JSON text of `value`."""
        del dialect
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> T | None:
        """Return the value that the JSON text holds. Raises Unavailable when another version wrote it differently."""
        del dialect
        if value is None:
            return None
        try:
            return self._decode(value)
        except msgspec.ValidationError as error:
            name = getattr(self.type_, "__name__", str(self.type_))
            raise Unavailable(
                f"the registry holds a {name} that this version cannot read: {error}"
            ) from error
