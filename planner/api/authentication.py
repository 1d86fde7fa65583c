"""Who makes a request, and whether they may: asked once, around everything, before a request is routed.

A valid token names the principal on whose behalf the request is answered (`planner.wire.acting`), whatever PLANNER_AUTH
says. What a request needs is a matter of `planner.api.access`; from when on it is asked for, of PLANNER_AUTH:
`off` never, `writes` for everything but reads, `all` for reads too. A token that does not work is then refused even
where none is needed, except on a server that asks for none: clients send whatever HF_TOKEN holds.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import msgspec
from litestar import Response
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPResponseStartEvent, HTTPScope, Receive, Scope, Send

from planner.api import hub_errors
from planner.api.access import Need, need_of
from planner.api.failure_limit import MOST_FAILURES, WINDOW_SECONDS, FailureLimit
from planner.api.metrics import count_refused
from planner.api.safety import add_headers, is_loopback
from planner.domain.identity import Principal, bearer
from planner.errors import (
    InvalidInput,
    NotAllowed,
    NotAuthenticated,
    PlannerError,
    TooManyRequests,
    Unavailable,
)
from planner.settings import AuthMode, Settings
from planner.wire.acting import acting_as
from planner.wire.identity import Authenticating
from planner.wire.lease import HEADER as LEASE_HEADER
from planner.wire.problem import MEDIA_TYPE, problem_of

log = logging.getLogger("planner.api.authentication")

BAD_TOKEN: Final = "Invalid credentials in Authorization header"  # noqa: S105 - a message
"""Clients of the Hugging Face protocol know a refused token by this very text."""
_GATED: Final = "GatedRepo"
"""Has clients say that the user must log in, instead of that the repository does not exist."""


def check_exposure(settings: Settings) -> None:
    """Raise InvalidInput when a server would answer everyone who can reach this machine, and nobody has said so."""
    if settings.auth is AuthMode.OFF and not settings.unprotected and not is_loopback(settings.host):
        raise InvalidInput(
            "PLANNER_AUTH",
            f"is `off`, and {settings.host} can be reached from other machines: anyone could change the registry",
            allowed="`writes` or `all` (make a token with `planner token create`), PLANNER_HOST=127.0.0.1, or "
            "PLANNER_UNPROTECTED=1 where something in front of the server lets only friends through",
        )


class Authentication:
    """The gate around the server's application."""

    def __init__(self, app: ASGIApp, state: Any, mode: AuthMode, limit: FailureLimit) -> None:
        self._app = app
        self._state = state
        """The application's state, whose `service` exists once the server has started."""
        self._mode = mode
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request on behalf of whoever makes it, or refuse it."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        root = scope["root_path"] if "root_path" in scope else ""  # noqa: SIM401 - `get` of a scope is untyped
        raw_path = scope["raw_path"].decode("latin-1").removeprefix(root)
        need = need_of(scope["method"], scope["path"].removeprefix(root) or "/", raw_path)
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        client = scope["client"] if "client" in scope else None  # noqa: SIM401 - same
        try:
            principal = await self._principal(
                headers.get(b"authorization"), need, client[0] if client else "unknown"
            )
            self._check(principal, need, leased=LEASE_HEADER.encode() in headers)
        except PlannerError as error:
            await _refuse(error, need, raw_path, scope, send)
            return
        with acting_as(principal, repository=need.repository):
            await self._app(scope, receive, send)

    async def _principal(self, header: str | None, need: Need, address: str) -> Principal | None:
        """Return whose token was sent. Raises NotAuthenticated for one that does not work where tokens matter."""
        if header is None:
            return None
        token = bearer(header)
        service: Authenticating = self._state.service
        matters = not need.is_open and self._mode is not AuthMode.OFF
        try:
            found = None if token is None else await asyncio.to_thread(service.authenticate, token)
        except Unavailable:
            if matters:
                raise
            return None  # whoever asks how the server is must hear that its database is away
        if found is None and matters:
            self._limit.check(address)
            self._limit.note(address)
            raise NotAuthenticated(BAD_TOKEN, hint="the token is unknown, expired or revoked")
        return found

    def _check(self, principal: Principal | None, need: Need, *, leased: bool) -> None:
        """Raise NotAuthenticated or NotAllowed unless the principal has what is needed."""
        if (
            principal is not None
            and need.repository is not None
            and not principal.may_write_to(need.repository)
        ):
            raise NotAllowed(
                f"this token may write to {', '.join(principal.resources)} only, not to `{need.repository[:200]}`",
                allowed=", ".join(principal.resources),
            )
        if need.is_open or self._mode is AuthMode.OFF or (self._mode is AuthMode.WRITES and need.is_read):
            return
        enough = (*need.scopes, *(need.under_lease if leased else ()))
        words = " or ".join(f"`{scope}`" for scope in enough)
        if principal is None:
            raise NotAuthenticated(
                f"a token with {words} is needed here",
                hint="set PLANNER_TOKEN, or HF_TOKEN for Hugging Face clients",
            )
        if not any(principal.may(scope) for scope in enough):
            held = ", ".join(sorted(principal.scopes))
            raise NotAllowed(
                f"the token `{principal.name}` has {held}; {words} is needed here", allowed=words
            )


def protect(app: ASGIApp, state: Any, settings: Settings, limit: FailureLimit) -> ASGIApp:
    """Return `app` behind the question who makes a request, and whether they may."""
    return Authentication(app, state, settings.auth, limit)


async def _refuse(error: PlannerError, need: Need, path: str, scope: HTTPScope, send: Send) -> None:
    """Send a refusal, with the safety headers that every response carries."""
    response = _hub_response(error, need) if need.address is not None else _problem_response(error, path)
    headers = {**response.headers, **headers_of(error)}
    body = response.content
    count_refused(scope["method"], error.code)
    log.info("%s refused with %d: %s", path[:200], error.status, error.message)
    start: HTTPResponseStartEvent = {
        "type": "http.response.start",
        "status": error.status,
        "headers": [
            *((name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers.items()),
            (b"content-type", str(response.media_type).encode()),
            (b"content-length", str(len(body)).encode()),
        ],
    }
    await add_headers(start, scope)
    await send(start)
    await send(
        {"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body, "more_body": False}
    )


def headers_of(error: PlannerError) -> dict[str, str]:
    """Return the headers that go with a refusal: how to authenticate, or how long to wait."""
    if isinstance(error, NotAuthenticated):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, TooManyRequests):
        wait = str(error.details.get("retry_after", int(WINDOW_SECONDS)))
        return {
            "Retry-After": wait,
            "RateLimit": f'"api";r=0;t={wait}',
            "RateLimit-Policy": f'"fixed window";"api";q={MOST_FAILURES};w={int(WINDOW_SECONDS)}',
        }
    return {}


def _problem_response(error: PlannerError, path: str) -> Response[bytes]:
    return Response(
        msgspec.json.encode(problem_of(error, instance=path[:500]), enc_hook=str),
        status_code=error.status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store"},
    )


def _hub_response(error: PlannerError, need: Need) -> Response[bytes]:
    """Return a refusal as clients of the Hugging Face protocol understand it."""
    missing = isinstance(error, NotAuthenticated) and error.message != BAD_TOKEN
    of_repository = missing and need.address is not None and bool(need.address.repository)
    message = f"{error.message}: set HF_TOKEN" if missing else error.message
    response = hub_errors.respond(hub_errors.Refusal(error.status, message))
    response.headers["X-Error-Code"] = _GATED if of_repository else type(error).__name__
    return response
