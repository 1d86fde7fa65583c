"""AsyncClient: sends the calls of `planner.client.calls` without blocking."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self, TypeVar

import httpx

import planner
from planner.client import answering
from planner.client.calls import Call
from planner.client.credentials import authorization

T = TypeVar("T")


class AsyncClient:
    """A server's use cases for asyncio: `await client.send(calls.variants())`. Retries and errors are Client's."""

    def __init__(
        self, base_url: str, *, transport: httpx.AsyncBaseTransport | None = None, token: str | None = None
    ) -> None:
        self.base_url = answering.check_base_url(base_url)
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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

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
