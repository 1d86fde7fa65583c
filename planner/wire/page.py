"""Bounds of a page of a list; the page itself is `planner.domain.listing.Page`."""

from __future__ import annotations

from typing import Final

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
