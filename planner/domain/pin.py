"""Pins: variants whose files are kept whatever a retention policy says."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's wish that a variant keeps its files, and why."""

    id: str
    variant_id: str
    reason: str
    actor: str
    pinned_at: datetime
