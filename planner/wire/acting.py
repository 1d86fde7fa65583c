"""On whose behalf the present request is answered.

The server sets the authenticated principal once per request; what writes down an actor reads it here, so that a name
sent by a client never stands for who made the request. Without one (in process, or on a server that asks for no
token) a given name is all there is.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from planner.domain.identity import Principal
from planner.errors import NotAllowed

_PRINCIPAL: Final[ContextVar[Principal | None]] = ContextVar("principal", default=None)
_REPOSITORY: Final[ContextVar[str | None]] = ContextVar("repository", default=None)


def current() -> Principal | None:
    """Return who makes the present request; None when nobody was authenticated."""
    return _PRINCIPAL.get()


@contextmanager
def acting_as(principal: Principal | None, *, repository: str | None = None) -> Generator[None]:
    """Answer what is asked inside the block on behalf of `principal`.

    `repository` is the one that a write goes to by its address. What is registered there may get another name here, so
    the address is what a confined token is held against; the caller has done so.
    """
    token, place = _PRINCIPAL.set(principal), _REPOSITORY.set(repository)
    try:
        yield
    finally:
        _REPOSITORY.reset(place)
        _PRINCIPAL.reset(token)


def actor(claimed: str | None = None, *, otherwise: str = "unnamed") -> str:
    """Return the name to write down: the principal's, else the one that was given, else `otherwise`."""
    principal = current()
    return principal.name if principal is not None else claimed or otherwise


def check_repository(*names: str) -> None:
    """Raise NotAllowed when the present token is confined to repositories that none of `names` is one of."""
    principal, place = current(), _REPOSITORY.get()
    if principal is None or (place is not None and principal.may_write_to(place)):
        return
    if any(principal.may_write_to(name) for name in names):
        return
    raise NotAllowed(
        f"this token may write to {', '.join(principal.resources)} only, not to `{names[0][:200]}`",
        allowed=", ".join(principal.resources),
    )
