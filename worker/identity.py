"""Ids of evidence: derived from the content, so that handing the same result in twice adds nothing."""

from __future__ import annotations

import hashlib

import msgspec


def content_id(kind: str, content: msgspec.Struct) -> str:
    """Return "<kind>:<32 hex>" over the struct's canonical JSON; its own id field must be empty while this is computed."""
    return f"{kind}:{hashlib.sha256(msgspec.json.encode(content, order='sorted')).hexdigest()[:32]}"
