"""The client's part about which files are kept: the methods of `planner.wire.retention.Retention`, each one call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final, TypeVar

import msgspec

from planner.client.calls import PREFIX, Call, segment
from planner.domain.listing import Page
from planner.domain.pin import Pin
from planner.wire.page import DEFAULT_LIMIT
from planner.wire.retention import (
    Collected,
    CollectRequest,
    PinRequest,
    RetentionReport,
    RetentionRequest,
)

T = TypeVar("T")
PATIENCE: Final = 300.0
"""A policy looks at every variant and plan; a round of a collection waits for other writers."""


class Retention(ABC):
    """Implements `planner.wire.retention.Retention` over HTTP."""

    @abstractmethod
    def send(self, call: Call[T]) -> T:
        """Send `call` and return its answer."""

    def retention(self, request: RetentionRequest) -> RetentionReport:
        """Apply a policy, or say what it would do. Repeating it deletes nothing more."""
        return self.send(_post("/admin/retention", RetentionReport, request))

    def collect(self, request: CollectRequest) -> Collected:
        """Remove files that nothing names, for a bounded time. Repeating it removes nothing more."""
        return self.send(_post("/admin/collection", Collected, request))

    def pin(self, request: PinRequest) -> Pin:
        """Pin a variant; the same pin again is there once."""
        return self.send(_post("/pins", Pin, request))

    def unpin(self, pin_id: str) -> Pin:
        """Take a pin away. Not retried: a second try would not find it."""
        call: Call[Pin] = Call(
            method="DELETE",
            path=f"{PREFIX}/pins/{segment('pin', pin_id)}",
            answer=Pin,
            parameters={},
            repeatable=False,
        )
        return self.send(call)

    def pins(
        self, *, variant: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[Pin]:
        """Return pins, the oldest first."""
        given = {"variant": variant, "limit": str(limit), "cursor": cursor}
        call: Call[Page[Pin]] = Call(
            method="GET",
            path=f"{PREFIX}/pins",
            answer=Page[Pin],
            parameters={name: value for name, value in given.items() if value is not None},
        )
        return self.send(call)


def _post(path: str, answer: type[T], body: Any) -> Call[T]:
    return Call(
        method="POST",
        path=PREFIX + path,
        answer=answer,
        parameters={},
        body=msgspec.json.encode(body),
        patience=PATIENCE,
    )
