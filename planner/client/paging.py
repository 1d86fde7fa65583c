"""Listings to their end: one request for each page, made when its first item is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from planner.domain.listing import Page

T = TypeVar("T")
P = ParamSpec("P")


def every(listing: Callable[P, Page[T]], *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
    """Yield every item of a listing: `every(client.variants, VariantFilter(max_bits=4), limit=200)`.

    Takes the listing's own arguments; `limit` is the size of a page. Nothing is skipped or shown twice while others write.
    """
    while True:
        page = listing(*args, **kwargs)
        yield from page.items
        if page.next_cursor is None:
            return
        kwargs["cursor"] = page.next_cursor
