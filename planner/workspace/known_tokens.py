"""Tokens seen a moment ago, so that not every request asks the database; a revoked one works on for some seconds at most."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from planner.domain.identity import Token

KEPT_SECONDS: Final = 10.0
"""How long other processes of a server may honour a token that this one has revoked."""
MOST: Final = 4_096


class KnownTokens:
    """Answers by the hash of the secret, unknown ones included, for ten seconds. Thread-safe and bounded."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, tuple[Token | None, float]] = OrderedDict()

    def get(self, digest: str) -> tuple[bool, Token | None]:
        """Return whether the answer is known, and the answer."""
        with self._lock:
            token, until = self._answers.get(digest, (None, 0.0))
            return (True, token) if self._clock() < until else (False, None)

    def put(self, digest: str, token: Token | None) -> None:
        """Keep an answer; the oldest one makes room."""
        with self._lock:
            self._answers[digest] = (token, self._clock() + KEPT_SECONDS)
            self._answers.move_to_end(digest)
            while len(self._answers) > MOST:
                self._answers.popitem(last=False)

    def forget(self, digest: str) -> None:
        """Drop an answer."""
        with self._lock:
            self._answers.pop(digest, None)
