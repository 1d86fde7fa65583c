"""Webhooks: who is told of what happens, and how that goes."""

from __future__ import annotations

import secrets

from planner.domain.listing import Page
from planner.domain.webhook import MIN_SECRET_BYTES, Delivery, DeliveryState, EventKind, Webhook, secret_of
from planner.errors import InvalidInput
from planner.registry import events, webhooks
from planner.wire.page import DEFAULT_LIMIT
from planner.wire.webhooks import CreatedWebhook, NewWebhook, Replayed, ReplayRequest
from planner.workspace.apart import run_apart
from planner.workspace.identifiers import new_id
from planner.workspace.opened import Opened

MAX_REPLAYED = 1_000
"""Most events of one replay: more are asked for with a later moment."""


class Webhooks(Opened):
    """Implements `planner.wire.webhooks.Webhooks`."""

    def add_webhook(self, request: NewWebhook) -> CreatedWebhook:
        """Add a webhook, with a secret of its own unless it brings one."""
        secret = (
            secret_of(secrets.token_bytes(MIN_SECRET_BYTES)) if request.secret is None else request.secret
        )
        webhook = Webhook(
            id=new_id(),
            url=request.url,
            events=tuple(dict.fromkeys(request.events)),
            created_at=self.now(),
        )
        with self.registry.write() as tx:
            webhooks.add(tx, webhook, secret=secret)
        return CreatedWebhook(webhook=webhook, secret=secret)

    def webhooks(self, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[Webhook]:
        """Return webhooks, the oldest first."""
        with self.registry.read() as tx:
            return webhooks.page(tx, limit=limit, cursor=cursor)

    def remove_webhook(self, webhook_id: str) -> Webhook:
        """Remove a webhook with its deliveries."""
        with self.registry.write() as tx:
            return webhooks.remove(tx, webhook_id)

    def set_webhook_active(self, webhook_id: str, *, active: bool) -> Webhook:
        """Pause a webhook, whose deliveries then wait, or resume it."""
        with self.registry.write() as tx:
            because = None if active else "paused"
            return webhooks.set_active(tx, webhook_id, active=active, because=because)

    def test_webhook(self, webhook_id: str) -> Delivery:
        """Send a test message at once, also to a paused webhook, and return what became of it; it is not tried again."""
        with self.registry.write() as tx:
            webhook, secret = webhooks.with_secret(tx, webhook_id)
            event = events.record(tx, EventKind.WEBHOOK_TEST, {"webhook": webhook.id})
        from planner.workspace.webhook_sending import send  # noqa: PLC0415 - httpx is loaded by who sends

        allowed = self.settings.webhook_loopback
        outcome = run_apart(send(webhook.url, secret, event, loopback_allowed=allowed))
        return Delivery(
            webhook_id=webhook.id,
            event_id=event.id,
            kind=event.kind,
            state=DeliveryState.DELIVERED if outcome.succeeded else DeliveryState.DEAD,
            attempts=1,
            next_at=None,
            status=outcome.status,
            problem=None if outcome.succeeded else outcome.problem or f"answered {outcome.status}",
            delivered_at=self.now() if outcome.succeeded else None,
        )

    def webhook_deliveries(
        self,
        webhook_id: str,
        *,
        state: DeliveryState | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[Delivery]:
        """Return the deliveries of a webhook, those of the newest events first."""
        with self.registry.read() as tx:
            return webhooks.deliveries(tx, webhook_id, state=state, limit=limit, cursor=cursor)

    def replay_webhook(self, webhook_id: str, request: ReplayRequest) -> Replayed:
        """Have past events delivered again, or for the first time: one, or those since a moment that the webhook wants."""
        if (request.event_id is None) == (request.since is None):
            raise InvalidInput("event_id", "give an event or a moment", allowed="exactly one of the two")
        if request.since is not None and request.since.tzinfo is None:
            raise InvalidInput("since", "has no time zone", allowed="a time with a zone")
        with self.registry.write() as tx:
            webhook = webhooks.get(tx, webhook_id)
            if request.event_id is not None:
                wanted: tuple[str, ...] = (events.get(tx, request.event_id).id,)
            else:
                moment = request.since or self.now()
                found = events.since(tx, moment, limit=MAX_REPLAYED + 1)
                if len(found) > MAX_REPLAYED:
                    raise InvalidInput(
                        "since",
                        f"more than {MAX_REPLAYED} events have happened since",
                        allowed=f"a moment not before {found[-MAX_REPLAYED].at.isoformat()}, or one event at a time",
                    )
                wanted = tuple(
                    event.id
                    for event in found
                    if event.kind is not EventKind.WEBHOOK_TEST
                    and (not webhook.events or event.kind in webhook.events)
                )
            return Replayed(count=webhooks.send_again(tx, webhook.id, wanted, now=self.now()))
