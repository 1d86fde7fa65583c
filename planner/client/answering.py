"""Reading answers and deciding on retries: what both clients do with what comes back. No I/O."""

from __future__ import annotations

import random
from typing import Final, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from planner.client.calls import Call
from planner.errors import InvalidInput, PlannerError, Unavailable
from planner.wire.problem import MEDIA_TYPE, Problem, error_of

T = TypeVar("T")

ATTEMPTS: Final = 5
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_PASSING: Final = frozenset({502, 503, 504})

NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""Transport errors after which the server has certainly not acted."""

TIMEOUT: Final = httpx.Timeout(60.0, connect=5.0)
LIMITS: Final = httpx.Limits(max_connections=64, max_keepalive_connections=32)


def timeout(call: Call[T]) -> httpx.Timeout:
    """Return how long to wait for an answer to `call`."""
    return TIMEOUT if call.patience is None else httpx.Timeout(call.patience, connect=TIMEOUT.connect)


def check_base_url(url: str) -> str:
    """Return `url` without a trailing slash. Raises InvalidInput unless it is http(s) with a host."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise InvalidInput(
            "server", f"`{url[:200]}` is not a URL", allowed="http://host:port or https://host"
        )
    return url.rstrip("/")


def is_local(url: str) -> bool:
    """Return whether `url` is on this machine, where no proxy of the environment applies."""
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "127.0.0.1", "::1"} or host.endswith(".localhost")


def read(call: Call[T], status: int, media_type: str, body: bytes) -> T:
    """Return the answer to `call`. Raises the error that the server raised, or Unavailable for what is no answer."""
    if status == 204:
        nothing: T = None  # type: ignore[assignment]  # such calls have an optional type
        return nothing
    if status >= 400 and status not in call.accepts:
        raise error(status, media_type, body)
    try:
        answer: T = msgspec.json.decode(body, type=call.answer)
    except msgspec.MsgspecError as reason:
        raise Unavailable(
            f"the answer to {call.method} {call.path} is not understood: {reason}",
            hint="client and server may be of different versions",
        ) from None
    return answer


def error(status: int, media_type: str, body: bytes) -> PlannerError:
    """Return the error in an answer; Unavailable when it is not one of ours."""
    if media_type.partition(";")[0].strip() == MEDIA_TYPE:
        try:
            return error_of(msgspec.json.decode(body, type=Problem))
        except msgspec.MsgspecError:
            pass
    return Unavailable(
        f"the server answered {status} without problem details",
        hint="is it a Variant Planner server, and is a proxy in between?",
        status=status,
    )


def retries(call: Call[T], status: int, attempt: int) -> bool:
    """Return whether to try again after an answer with `status`; `attempt` counts from 1."""
    return status in _PASSING and status not in call.accepts and call.repeatable and attempt < ATTEMPTS


def retries_after(call: Call[T], reason: httpx.TransportError, attempt: int) -> bool:
    """Return whether to try again after a transport error."""
    return attempt < ATTEMPTS and (call.repeatable or isinstance(reason, NEVER_SENT))


def pause(attempt: int, retry_after: str | None = None) -> float:
    """Return the seconds to wait before the next try: exponential with jitter, or what the server asks for."""
    if retry_after is not None and retry_after.isdecimal() and len(retry_after) < 4:
        return min(float(retry_after), _LONGEST_PAUSE)
    longest = min(_FIRST_PAUSE * 2.0 ** (attempt - 1), _LONGEST_PAUSE)
    return longest * (0.5 + random.random() / 2)  # noqa: S311 - spreads clients, guards nothing


def unreachable(base_url: str, reason: httpx.TransportError) -> Unavailable:
    """Return the error for a server that cannot be reached, with what to do about it."""
    hint = "start one with `planner up`, or check the address"
    if isinstance(reason, NEVER_SENT):
        return Unavailable(f"no server answers at {base_url}; {hint}", server=base_url, hint=hint)
    what = "did not answer in time" if isinstance(reason, httpx.TimeoutException) else "broke the connection"
    return Unavailable(f"the server at {base_url} {what}", server=base_url)
