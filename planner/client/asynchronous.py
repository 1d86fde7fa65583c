"""AsyncClient: a server's use cases for asyncio.

Single calls wait on the event loop. What is more than one call, such as registering a folder, hashes and reads files: it
runs as it is, in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

import httpx

import planner
from planner.client import answering
from planner.client.calls import Call
from planner.client.credentials import authorization
from planner.client.synchronous import Client
from planner.domain.listing import Page

T = TypeVar("T")
P = ParamSpec("P")


class AsyncClient:
    """A server's use cases for asyncio. Retries, time limits and errors are Client's.

    `await client.send(calls.variant("prod"))` sends one call; `await client.call(Client.register, folder)` does anything that
    Client does, with its arguments and its types; `async for` over `client.every(Client.variants)` walks a listing.
    """

    def __init__(
        self, base_url: str, *, transport: httpx.AsyncBaseTransport | None = None, token: str | None = None
    ) -> None:
        self.base_url = answering.check_base_url(base_url)
        self._blocking = Client(self.base_url, token=token)
        self._http = httpx.AsyncClient(
            base_url=self.base_url,
            transport=transport,
            timeout=answering.TIMEOUT,
            limits=answering.LIMITS,
            trust_env=not answering.is_local(self.base_url),
            headers={"User-Agent": f"variant-planner/{planner.__version__}", **authorization(token)},
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()
        self._blocking.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def call(
        self, method: Callable[Concatenate[Client, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Return what `method` of Client returns with these arguments. It runs in a thread, which ends with it."""
        return await asyncio.to_thread(method, self._blocking, *args, **kwargs)

    async def every(
        self, listing: Callable[Concatenate[Client, P], Page[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncIterator[T]:
        """Yield every item of a listing of Client, as `planner.client.every` does."""
        while True:
            page = await self.call(listing, *args, **kwargs)
            for item in page.items:
                yield item
            if page.next_cursor is None:
                return
            kwargs["cursor"] = page.next_cursor

    async def send(self, call: Call[T]) -> T:
        """Send `call` and return its answer."""
        headers = {"Content-Type": call.media_type} if call.body is not None else {}
        attempt = 0
        while True:
            attempt += 1
            try:
                response = await self._http.request(
                    call.method,
                    call.path,
                    params=call.parameters,
                    content=call.body,
                    headers=headers,
                    timeout=answering.timeout(call),
                )
            except httpx.TransportError as reason:
                if not answering.retries_after(call, reason, attempt):
                    raise answering.unreachable(self.base_url, reason) from reason
                await asyncio.sleep(answering.pause(attempt))
                continue
            if not answering.retries(call, response.status_code, attempt):
                media_type = response.headers.get("content-type", "")
                return answering.read(call, response.status_code, media_type, response.content)
            await asyncio.sleep(answering.pause(attempt, response.headers.get("retry-after")))
