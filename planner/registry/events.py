"""Events: the outbox. `emit` is called in the transaction of the change it tells of, so neither happens without the other.

Each webhook that wants the event gets a delivery in the same transaction. Events outlive their deliveries for a while, so
that they can be replayed, also to webhooks that were made later.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, insert, literal, select

from planner.domain.webhook import DeliveryState, Event, EventKind
from planner.errors import NotFound
from planner.registry.checks import check_document, check_id
from planner.registry.identifiers import new_id
from planner.registry.nearest import shortened
from planner.registry.tables import Events, WebhookDeliveries, Webhooks
from planner.registry.transaction import Transaction, WriteTransaction


def emit(tx: WriteTransaction, kind: EventKind, data: Mapping[str, Any]) -> Event:
    """Note that something happened, and that every active webhook that wants to know is to be told. Raises InvalidInput."""
    event = record(tx, kind, data)
    wanting = [
        webhook.id
        for webhook in tx.connection.execute(select(Webhooks.document).where(Webhooks.active)).scalars()
        if webhook.wants(kind)
    ]
    if wanting:
        rows = [_delivery(id_, event.id, event.at) for id_ in wanting]
        tx.connection.execute(insert(WebhookDeliveries), rows)
    return event


def record(tx: WriteTransaction, kind: EventKind, data: Mapping[str, Any]) -> Event:
    """Note that something happened and tell nobody. Raises InvalidInput."""
    event = Event(id=new_id(), kind=kind, at=datetime.now(UTC), data=data)
    check_document("event", event)
    tx.connection.execute(insert(Events).values(id=event.id, kind=kind.value, at=event.at, document=event))
    return event


def get(tx: Transaction, id_: str) -> Event:
    """Return the event with this id. Raises NotFound."""
    statement = select(Events.document).where(Events.id == check_id("event", id_))
    event = tx.connection.execute(statement).scalar_one_or_none()
    if event is None:
        raise NotFound("event", shortened(id_))
    return event


def since(tx: Transaction, moment: datetime, *, limit: int) -> tuple[Event, ...]:
    """Return the first `limit` events from `moment` on, the oldest first."""
    statement = select(Events.document).where(Events.at >= moment).order_by(Events.at, Events.id).limit(limit)
    return tuple(tx.connection.execute(statement).scalars())


def prune(tx: WriteTransaction, before: datetime) -> int:
    """Forget events older than `before` of which no delivery is pending; return how many."""
    old = select(Events.id).where(Events.at < before)
    pending = (
        select(literal(1))
        .where(
            WebhookDeliveries.event_id == Events.id,
            WebhookDeliveries.state == DeliveryState.PENDING.value,
        )
        .exists()
    )
    gone = list(tx.connection.execute(old.where(~pending).order_by(Events.at).limit(500)).scalars())
    if gone:
        tx.connection.execute(delete(WebhookDeliveries).where(WebhookDeliveries.event_id.in_(gone)))
        tx.connection.execute(delete(Events).where(Events.id.in_(gone)))
    return len(gone)


def _delivery(webhook_id: str, event_id: str, now: datetime) -> dict[str, Any]:
    return {
        "webhook_id": webhook_id,
        "event_id": event_id,
        "state": DeliveryState.PENDING.value,
        "attempts": 0,
        "next_at": now,
    }
