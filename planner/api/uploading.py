"""The bridge from an asynchronous request body to a store that writes synchronously in a thread.

The body is gathered into pieces of about a mebibyte on the event loop while the thread hashes and writes the piece
before, so that neither waits for the other and memory stays bounded. Uploads have threads of their own: slow ones make
each other wait, never the rest of the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from contextvars import copy_context
from functools import partial
from typing import Final, TypeVar

from planner.api.errors import BadRequest, TooLarge
from planner.errors import PlannerError
from planner.wire.replies import Upload
from planner.wire.service import Service

T = TypeVar("T")

PIECE_BYTES: Final = 1 << 20
SILENCE_SECONDS: Final = 60.0
"""How long an upload may stay silent before it is given up."""


async def receive(
    service: Service,
    stream: AsyncIterator[bytes],
    *,
    sha256: str,
    size: int | None,
    limit: int,
    threads: Executor,
) -> Upload:
    """Store the request body `stream` under `sha256`.

    Raises IntegrityFailure when the bytes are other ones, and what `consume` raises; in each case nothing is kept.
    """
    store = partial(service.upload, sha256=sha256, size=size)
    return await consume(stream, store, limit=limit, threads=threads)


async def consume(
    stream: AsyncIterator[bytes],
    reader: Callable[[Iterator[bytes]], T],
    *,
    limit: int,
    threads: Executor,
) -> T:
    """Return what `reader` makes of the request body `stream`, whose pieces it gets in a thread.

    Raises TooLarge past `limit` bytes, BadRequest when the client goes away or falls silent, and whatever `reader` raises.
    """
    loop = asyncio.get_running_loop()
    received = 0

    async def next_piece() -> bytes:
        nonlocal received
        gathered: list[bytes] = []
        size = 0
        try:
            while size < PIECE_BYTES:
                async with asyncio.timeout(SILENCE_SECONDS):
                    gathered.append(await anext(stream))
                size += len(gathered[-1])
        except StopAsyncIteration:
            pass
        except PlannerError:
            raise
        except Exception as error:
            raise BadRequest("the upload was cut short") from error
        received += size
        if received > limit:
            raise TooLarge("the upload is larger than the server takes", allowed=f"at most {limit} bytes")
        return b"".join(gathered)

    def pieces() -> Iterator[bytes]:
        ahead = asyncio.run_coroutine_threadsafe(next_piece(), loop)
        try:
            while piece := ahead.result():
                ahead = asyncio.run_coroutine_threadsafe(next_piece(), loop)
                yield piece
        finally:
            ahead.cancel()

    context = copy_context()  # it says on whose behalf the thread works

    def read() -> T:
        return context.run(reader, pieces())

    return await loop.run_in_executor(threads, read)
