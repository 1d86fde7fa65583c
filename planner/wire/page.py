"""Pages of lists: items in a fixed order and an opaque cursor to the next ones."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

import msgspec

T = TypeVar("T")

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Some items of a list. `next_cursor` None is the end; there is no total, since counting costs more than the page."""

    items: tuple[T, ...]
    next_cursor: str | None = None
