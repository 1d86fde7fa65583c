"""The client's part for webhooks: the methods of `planner.wire.webhooks.Webhooks`, each one call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

import msgspec

from planner.client.calls import PREFIX, Call, segment
from planner.domain.listing import Page
from planner.domain.webhook import Delivery, DeliveryState, Webhook
from planner.wire.page import DEFAULT_LIMIT
from planner.wire.webhooks import CreatedWebhook, NewWebhook, Replayed, ReplayRequest

T = TypeVar("T")


class Webhooks(ABC):
    """Implements `planner.wire.webhooks.Webhooks` over HTTP."""

    @abstractmethod
    def send(self, call: Call[T]) -> T:
        """Send `call` and return its answer."""

    def add_webhook(self, request: NewWebhook) -> CreatedWebhook:
        """Add a webhook; not repeated, since each time makes one."""
        return self.send(_call("POST", "", CreatedWebhook, body=request, repeatable=False))

    def webhooks(self, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[Webhook]:
        """Return webhooks, the oldest first."""
        return self.send(_call("GET", "", Page[Webhook], limit=limit, cursor=cursor))

    def remove_webhook(self, webhook_id: str) -> Webhook:
        """Remove a webhook with its deliveries."""
        return self.send(_call("DELETE", _path(webhook_id), Webhook, repeatable=False))

    def set_webhook_active(self, webhook_id: str, *, active: bool) -> Webhook:
        """Pause a webhook or resume it."""
        return self.send(_call("POST", _path(webhook_id, "resume" if active else "pause"), Webhook))

    def test_webhook(self, webhook_id: str) -> Delivery:
        """Send a test message at once."""
        return self.send(_call("POST", _path(webhook_id, "test"), Delivery, repeatable=False))

    def webhook_deliveries(
        self,
        webhook_id: str,
        *,
        state: DeliveryState | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[Delivery]:
        """Return the deliveries of a webhook, those of the newest events first."""
        path = _path(webhook_id, "deliveries")
        return self.send(_call("GET", path, Page[Delivery], state=state, limit=limit, cursor=cursor))

    def replay_webhook(self, webhook_id: str, request: ReplayRequest) -> Replayed:
        """Have past events delivered again."""
        return self.send(_call("POST", _path(webhook_id, "replay"), Replayed, body=request, repeatable=False))


def _path(webhook_id: str, action: str | None = None) -> str:
    quoted = "/" + segment("webhook", webhook_id)
    return quoted if action is None else f"{quoted}/{action}"


def _call(
    method: str,
    path: str,
    answer: type[T],
    *,
    body: msgspec.Struct | None = None,
    repeatable: bool = True,
    **parameters: object,
) -> Call[T]:
    return Call(
        method=method,
        path=f"{PREFIX}/webhooks{path}",
        answer=answer,
        parameters={name: str(value) for name, value in parameters.items() if value is not None},
        body=None if body is None else msgspec.json.encode(body),
        repeatable=repeatable,
    )
