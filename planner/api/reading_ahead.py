"""Sending a file while the next piece of it is read, so that disk and network do not wait for each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextvars import copy_context


async def read_ahead(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what `chunks` yields, reading in threads one chunk ahead of the one that is sent.

    Two chunks are in memory at a time. Ends with the first empty chunk. Raises what `chunks` raises.
    """
    loop, context = asyncio.get_running_loop(), copy_context()

    def read() -> bytes:
        return context.copy().run(lambda: next(chunks, b""))

    def start() -> asyncio.Future[bytes]:
        return loop.run_in_executor(None, read)

    ahead = start()
    try:
        while chunk := await ahead:
            ahead = start()
            yield chunk
    finally:
        # A client that went away leaves a chunk behind that nobody wants, and perhaps an error.
        ahead.add_done_callback(lambda left: left.cancelled() or left.exception())
