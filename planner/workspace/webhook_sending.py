"""Sending one signed message to an address somebody else wrote, without being made to reach what they may not.

The host is resolved here, every address it has is checked, and the connection goes to a checked address: a name that
resolves to something else a moment later changes nothing. No redirect is followed and no proxy of the environment is used.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Final
from urllib.parse import urlsplit

import httpx
import msgspec

import planner
from planner.domain.network_address import why_forbidden
from planner.domain.webhook import Event, Outcome, headers

ATTEMPT_SECONDS: Final = 15.0
"""Longest whole attempt, from the name's resolution to the end of the answer's headers."""
MAX_HEADER: Final = 200


async def send(url: str, secret: str, event: Event, *, loopback_allowed: bool) -> Outcome:
    """Send `event` to `url` and return what came of it; never raises for what the other side does."""
    try:
        async with asyncio.timeout(ATTEMPT_SECONDS):
            return await _send(url, secret, event, loopback_allowed=loopback_allowed)
    except TimeoutError:
        return Outcome(problem=f"no answer within {ATTEMPT_SECONDS:.0f} seconds")
    except (OSError, httpx.HTTPError, httpx.InvalidURL, UnicodeError, ValueError) as error:
        return Outcome(problem=f"{type(error).__name__}: {error}"[:MAX_HEADER])


async def _send(url: str, secret: str, event: Event, *, loopback_allowed: bool) -> Outcome:
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    addresses = await _addresses(host, port)
    for address in addresses:
        why = why_forbidden(address, loopback_allowed=loopback_allowed)
        if why is not None:
            return Outcome(problem=f"not sent: {host} has the address {address}, which {why}")
    body = msgspec.json.encode(event)
    target = httpx.URL(url).copy_with(host=addresses[0])
    shown = f"[{host}]" if ":" in host else host
    sent = headers(secret, event_id=event.id, timestamp=int(time.time()), body=body) | {
        "host": shown if parts.port is None else f"{shown}:{parts.port}",
        "user-agent": f"variant-planner/{planner.__version__}",
        "content-length": str(len(body)),
        "connection": "close",
    }
    async with (
        httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=ATTEMPT_SECONDS) as client,
        client.stream(
            "POST", target, content=body, headers=sent, extensions={"sni_hostname": host}
        ) as response,
    ):
        status = response.status_code
    problem = f"answered {status}: redirects are not followed" if 300 <= status < 400 else None
    return Outcome(status=status, problem=problem)


async def _addresses(host: str, port: int) -> list[str]:
    """Return the numeric addresses of `host`, at least one. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(each[4][0]) for each in found))
