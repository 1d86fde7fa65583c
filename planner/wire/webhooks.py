"""Webhooks over the wire: their use cases, and the bodies of requests and replies."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import msgspec

from planner.domain.listing import Page
from planner.domain.webhook import Delivery, DeliveryState, EventKind, Webhook
from planner.wire.page import DEFAULT_LIMIT


class NewWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An address to tell. `events` empty: of everything. `secret` None: one is made."""

    url: str
    events: tuple[EventKind, ...] = ()
    secret: str | None = None


class CreatedWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook and its secret, which is shown this once."""

    webhook: Webhook
    secret: str


class ReplayRequest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Events to deliver again: one by its id, or those since a moment. Exactly one of the two."""

    event_id: str | None = None
    since: datetime | None = None


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """How many events are on their way again."""

    count: int


class Webhooks(Protocol):
    """Who is told of what happens, and how that goes."""

    def add_webhook(self, request: NewWebhook) -> CreatedWebhook:
        """Add a webhook; the reply holds its secret, once. Raises InvalidInput."""
        ...

    def webhooks(self, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[Webhook]:
        """Return webhooks, the oldest first."""
        ...

    def remove_webhook(self, webhook_id: str) -> Webhook:
        """Remove a webhook with its deliveries. Raises NotFound."""
        ...

    def set_webhook_active(self, webhook_id: str, *, active: bool) -> Webhook:
        """Pause a webhook, whose deliveries then wait, or resume it. Raises NotFound."""
        ...

    def test_webhook(self, webhook_id: str) -> Delivery:
        """Send a test message at once, to one webhook, and return what became of it. Raises NotFound."""
        ...

    def webhook_deliveries(
        self,
        webhook_id: str,
        *,
        state: DeliveryState | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[Delivery]:
        """Return the deliveries of a webhook, those of the newest events first. Raises NotFound."""
        ...

    def replay_webhook(self, webhook_id: str, request: ReplayRequest) -> Replayed:
        """Have past events delivered again, or for the first time. Raises NotFound, InvalidInput."""
        ...
