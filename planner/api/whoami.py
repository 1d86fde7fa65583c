"""Who is asking: what pages of the dashboard and people with a token want to know before they try something."""

from __future__ import annotations

import msgspec
from litestar import Response, Router, get
from litestar.di import NamedDependency

from planner.domain.identity import ANONYMOUS, IMPLIED, Principal, TokenOrigin, TokenScope
from planner.settings import AuthMode
from planner.wire import acting


class Whoami(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who makes the request, and what this server lets them do."""

    auth: AuthMode
    """Which requests need a token here."""
    name: str
    """The token's label; "anonymous" without one."""
    token_id: str | None = None
    """None when no token was sent, or on a server that asks for none, one that does not work."""
    may: tuple[TokenScope, ...]
    """Everything that is allowed, implied scopes included; on a server that asks for nothing, all of it."""
    resources: tuple[str, ...] = ()
    """Repositories that writes are confined to; empty means any."""
    origin: TokenOrigin | None = None
    """The run of a pipeline that the token was given to."""


def whoami_of(principal: Principal | None, auth: AuthMode) -> Whoami:
    """Return who `principal` is, and what they may do where requests need what `auth` says."""
    granted = {scope for held in (principal.scopes if principal else ()) for scope in IMPLIED[held]}
    if auth is AuthMode.OFF:
        granted = set(TokenScope)
    elif auth is AuthMode.WRITES:
        granted.add(TokenScope.READ)
    may = tuple(scope for scope in TokenScope if scope in granted)
    if principal is None:
        return Whoami(auth=auth, name=ANONYMOUS, may=may)
    return Whoami(
        auth=auth,
        name=principal.name,
        token_id=principal.token_id,
        may=may,
        resources=principal.resources,
        origin=principal.origin,
    )


@get(
    "/whoami",
    operation_id="whoami",
    summary="Say whose token the request was made with, and what it allows here",
    sync_to_thread=False,
)
def whoami(auth_mode: NamedDependency[AuthMode]) -> Response[Whoami]:
    """Return who is asking."""
    return Response(whoami_of(acting.current(), auth_mode), headers={"Cache-Control": "no-store"})


router = Router("/", route_handlers=[whoami], tags=["Identity"])
