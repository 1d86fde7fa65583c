"""Identifiers of what happens: UUIDv7 (RFC 9562), which sort by the time they were made and need no central counter."""

from __future__ import annotations

import secrets
import time
import uuid


def new_id() -> str:
    """Return a new UUIDv7 in its usual spelling: 48 bits of milliseconds, then 74 random bits."""
    value = (time.time_ns() // 1_000_000 & (1 << 48) - 1) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return str(uuid.UUID(int=value))
