"""Blobs: which files the artifact store holds, so that a client sends only what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import select

from planner.domain.variant import SHA256
from planner.errors import Conflict, InvalidInput
from planner.registry.checks import check_integer
from planner.registry.kinds import chunks
from planner.registry.tables import Blobs
from planner.registry.transaction import Transaction, WriteTransaction

MAX_ASKED: Final = 10_000
"""Hashes that can be asked about at once: more files than any model has."""


def record(tx: WriteTransaction, sha256: str, size: int) -> bool:
    """Note that the store holds this file; return False when that was known.

    Raises InvalidInput, and Conflict when the hash is recorded with another size.
    """
    _check(sha256)
    check_integer("size", size, top=2**60)
    if tx.insert_new(Blobs, {"sha256": sha256, "size": size}):
        return True
    known = tx.connection.execute(select(Blobs.size).where(Blobs.sha256 == sha256)).scalar_one()
    if known != size:
        raise Conflict(f"{sha256} is recorded with {known} bytes, not {size}", sha256=sha256, size=known)
    return False


def missing(tx: Transaction, sha256s: Sequence[str]) -> list[str]:
    """Return those of `sha256s` that the store does not hold, in their order, each once. Raises InvalidInput."""
    if len(sha256s) > MAX_ASKED:
        raise InvalidInput(
            "sha256", f"{len(sha256s)} are asked about at once", allowed=f"at most {MAX_ASKED}"
        )
    for sha256 in sha256s:
        _check(sha256)
    known: set[str] = set()
    for chunk in chunks(sha256s):
        known.update(tx.connection.execute(select(Blobs.sha256).where(Blobs.sha256.in_(chunk))).scalars())
    return [sha256 for sha256 in dict.fromkeys(sha256s) if sha256 not in known]


def _check(sha256: str) -> None:
    if SHA256.fullmatch(sha256) is None:
        raise InvalidInput("sha256", f"{sha256[:80]!r} is not a sha256", allowed="64 lower-case hex digits")
