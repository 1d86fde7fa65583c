"""A bound on failed attempts by one address, in memory. Tokens that work are never refused for the failures of others."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from planner.errors import TooManyRequests

WINDOW_SECONDS: Final = 60.0
MOST_FAILURES: Final = 20
"""In one window. A fleet behind one address that shares a wrong token is told so before it is told to wait."""
MOST_ADDRESSES: Final = 10_000


class FailureLimit:
    """Counts failures by address in windows of a minute. Thread-safe and bounded."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raise TooManyRequests, with the seconds to wait, for an address that has failed too often."""
        now = self._clock()
        with self._lock:
            began, count = self._windows.get(address, (now, 0))
        left = began + WINDOW_SECONDS - now
        if count >= MOST_FAILURES and left > 0:
            wait = max(1, round(left))
            raise TooManyRequests(
                f"too many tokens that do not work came from {address}; wait {wait} s", retry_after=wait
            )

    def note(self, address: str) -> None:
        """Count a failure."""
        now = self._clock()
        with self._lock:
            began, count = self._windows.get(address, (now, 0))
            if now - began >= WINDOW_SECONDS:
                began, count = now, 0
            self._windows[address] = (began, count + 1)
            self._windows.move_to_end(address)
            while len(self._windows) > MOST_ADDRESSES:
                self._windows.popitem(last=False)
