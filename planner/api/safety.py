"""Who may call: checks of Host, Origin and media type, and the headers every response carries.

The server trusts whoever reaches it, which on loopback is also every web page the user opens. Three checks keep those
out: the Host header must be ours (DNS rebinding), a write must not come from another origin (request forgery), and a
body must be JSON, which a foreign page cannot send without asking first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection, Request
from litestar.datastructures import MutableScopeHeaders
from litestar.handlers import BaseRouteHandler
from litestar.types import Message, Scope

from planner.api.errors import Forbidden, UnsupportedMediaType

Connection = ASGIConnection[Any, Any, Any, Any]
Guard = Callable[[Connection, BaseRouteHandler], None]

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
RAW_BODY: Final = "raw_body"
"""Key in a handler's `opt` that says its body is bytes, not JSON."""

_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Return whether `host`, a name or an address, is this machine alone."""
    name = host.strip("[]").lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def host_guard(bind_host: str, allowed_hosts: Sequence[str] = ()) -> Guard:
    """Return a guard that, when the server listens on loopback, refuses requests made to any other name."""
    local = is_loopback(bind_host)
    names = frozenset(name.lower() for name in allowed_hosts)

    def check_host(connection: Connection, _: BaseRouteHandler) -> None:
        if not local:
            return
        given = connection.headers.get("host", "")
        name = _host_name(given)
        if name is None or not (is_loopback(name) or name in names):
            raise Forbidden(
                "the Host header names another server",
                field="Host",
                allowed="localhost, 127.0.0.1, [::1] and those in PLANNER_ALLOWED_HOSTS",
            )

    return check_host


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def check_origin(connection: Connection, _: BaseRouteHandler) -> None:
    """Refuse writes that a page of another origin makes a browser send. Raises Forbidden."""
    if _is_safe(connection):
        return
    site: str | None = connection.headers.get("sec-fetch-site")
    origin = connection.headers.get("origin")
    if site in {"cross-site", "same-site"} or (origin is not None and not _same_origin(connection, origin)):
        raise Forbidden(
            "writes from pages of another origin are refused", field="Origin", allowed="the server's own"
        )


def _is_safe(connection: Connection) -> bool:
    return not isinstance(connection, Request) or connection.method in SAFE_METHODS


def _same_origin(connection: Connection, origin: str) -> bool:
    try:
        ours = urlsplit(f"//{connection.headers.get('host', '')}")
        theirs = urlsplit(origin)
        ports = {"http": 80, "https": 443}
        return ours.hostname == theirs.hostname and (ours.port or ports.get(theirs.scheme)) == (
            theirs.port or ports.get(theirs.scheme)
        )
    except ValueError:
        return False


def check_media_type(connection: Connection, handler: BaseRouteHandler) -> None:
    """Refuse bodies that are not JSON where JSON is read. Raises UnsupportedMediaType."""
    if _is_safe(connection) or handler.opt.get(RAW_BODY):
        return
    headers = connection.headers
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if has_body and media_type != "application/json":
        raise UnsupportedMediaType(
            f"`{media_type[:100]}` is not read here", field="Content-Type", allowed="application/json"
        )


async def add_headers(message: Message, _: Scope) -> None:
    """Add the safety headers to the start of every response."""
    if message["type"] == "http.response.start":
        headers = MutableScopeHeaders.from_message(message)
        for name, value in _HEADERS.items():
            if name not in headers:
                headers[name] = value
