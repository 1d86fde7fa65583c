"""Grants: what the address of an upload permits, and who seals and opens such addresses."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Grant(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What an address permits: one method on one span of one object for one repository, until `expires` (Unix time).

    `session` is empty for an object that is sent whole. Sizes and offsets are bytes. For completing an object in parts,
    `part` is how many there are.
    """

    method: str
    repository: str
    sha256: str
    size: int
    expires: int
    session: str = ""
    part: int = 0
    start: int = 0
    length: int = 0


class Sealing(Protocol):
    """Seals grants into text for addresses, and opens them."""

    def seal(self, grant: Grant) -> str:
        """Return the grant as text that is safe in an address and that nobody can change."""
        ...

    def open(self, token: str, *, method: str, now: float) -> Grant:
        """Return the grant in `token` when it is ours, for `method`, and holds at `now`. Raises GrantRefused."""
        ...

    def receipt(self, grant: Grant) -> str:
        """Return the proof that the part of `grant` has been written."""
        ...

    def is_receipt(self, text: str, *, session: str, part: int) -> bool:
        """Return whether `text` is the receipt of a part, with or without quotes around it."""
        ...
