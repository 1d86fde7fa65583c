"""Running coroutines from code that is not asynchronous, whoever called it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")


def run_apart(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what `coroutine` returns, run in a thread of its own: the caller's may have an event loop that is running."""
    with ThreadPoolExecutor(1, thread_name_prefix="apart") as pool:
        return pool.submit(copy_context().run, asyncio.run, coroutine).result()
