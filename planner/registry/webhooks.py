"""Webhooks and their deliveries. A delivery is leased like a job: claimed with a token, and due again when that runs out.

A claim moves `next_at` past the longest attempt, so that a process that is killed in the middle leaves nothing behind that
another would not find; what it reports too late is refused by its token.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import Row, Select, delete, func, insert, select, update

from planner.domain.listing import Page
from planner.domain.webhook import (
    MAX_ATTEMPTS,
    Delivery,
    DeliveryState,
    Event,
    EventKind,
    Outcome,
    Webhook,
    check_secret,
    check_url,
    pause_seconds,
)
from planner.errors import InvalidInput, NotFound
from planner.registry.checks import DEFAULT_LIMIT, check_id
from planner.registry.nearest import shortened
from planner.registry.pages import Keyset, fetch
from planner.registry.tables import Events, WebhookDeliveries, Webhooks
from planner.registry.transaction import Transaction, WriteTransaction

MAX_WEBHOOKS: Final = 100
LEASE_SECONDS: Final = 60
"""How long a claimed delivery belongs to its process; an attempt takes less."""
MAX_PROBLEM: Final = 500

_COLUMNS: Final = (
    WebhookDeliveries.webhook_id,
    WebhookDeliveries.event_id,
    Events.kind,
    WebhookDeliveries.state,
    WebhookDeliveries.attempts,
    WebhookDeliveries.next_at,
    WebhookDeliveries.status,
    WebhookDeliveries.problem,
    WebhookDeliveries.delivered_at,
)


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that this process is to try now: what to send where, and the token that lets it report."""

    webhook: Webhook
    secret: str
    event: Event
    attempts: int
    """This one included."""
    token: int


def add(tx: WriteTransaction, webhook: Webhook, *, secret: str) -> None:
    """Store a webhook. Raises InvalidInput."""
    check_id("webhook", webhook.id)
    check_url(webhook.url)
    check_secret(secret)
    if EventKind.WEBHOOK_TEST in webhook.events:
        raise InvalidInput("events", "webhook.test is sent only when asked for", allowed="other events")
    if tx.connection.execute(select(func.count()).select_from(Webhooks)).scalar_one() >= MAX_WEBHOOKS:
        raise InvalidInput("webhook", f"there are {MAX_WEBHOOKS} already", allowed="remove one first")
    tx.connection.execute(
        insert(Webhooks).values(id=webhook.id, secret=secret, active=webhook.active, document=webhook)
    )


def get(tx: Transaction, id_: str) -> Webhook:
    """Return the webhook with this id. Raises NotFound."""
    return _found(tx, id_)[0]


def with_secret(tx: Transaction, id_: str) -> tuple[Webhook, str]:
    """Return the webhook and its secret, for signing only. Raises NotFound."""
    return _found(tx, id_)


def page(tx: Transaction, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[Webhook]:
    """Return webhooks, the oldest first. Raises InvalidInput."""
    keyset = Keyset(Webhooks.id, Webhooks.id, type_=str, scope=("webhooks",))
    return fetch(tx, select(Webhooks.document), keyset, lambda row: row.document, limit=limit, cursor=cursor)


def set_active(tx: WriteTransaction, id_: str, *, active: bool, because: str | None = None) -> Webhook:
    """Let a webhook be told of events, or not. Raises NotFound."""
    webhook = msgspec.structs.replace(get(tx, id_), active=active, inactive_because=because)
    tx.connection.execute(update(Webhooks).where(Webhooks.id == id_).values(active=active, document=webhook))
    return webhook


def remove(tx: WriteTransaction, id_: str) -> Webhook:
    """Remove a webhook with its deliveries and return what it was. Raises NotFound."""
    webhook = get(tx, id_)
    tx.connection.execute(delete(WebhookDeliveries).where(WebhookDeliveries.webhook_id == id_))
    tx.connection.execute(delete(Webhooks).where(Webhooks.id == id_))
    return webhook


def deliveries(
    tx: Transaction,
    webhook_id: str,
    *,
    state: DeliveryState | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[Delivery]:
    """Return the deliveries of a webhook, those of the newest events first. Raises NotFound and InvalidInput."""
    get(tx, webhook_id)
    statement = (
        select(*_COLUMNS)
        .join(Events, Events.id == WebhookDeliveries.event_id)
        .where(WebhookDeliveries.webhook_id == webhook_id)
    )
    if state is not None:
        statement = statement.where(WebhookDeliveries.state == state.value)
    keyset = Keyset(
        WebhookDeliveries.event_id,
        WebhookDeliveries.webhook_id,
        type_=str,
        scope=("deliveries", webhook_id, state),
        descending=True,
    )
    return fetch(tx, statement, keyset, _read, limit=limit, cursor=cursor)


def delivery(tx: Transaction, webhook_id: str, event_id: str) -> Delivery:
    """Return one delivery. Raises NotFound."""
    statement = (
        select(*_COLUMNS)
        .join(Events, Events.id == WebhookDeliveries.event_id)
        .where(WebhookDeliveries.webhook_id == webhook_id, WebhookDeliveries.event_id == event_id)
    )
    row = tx.connection.execute(statement).one_or_none()
    if row is None:
        raise NotFound("delivery", shortened(event_id))
    return _read(row)


def send_again(tx: WriteTransaction, webhook_id: str, event_ids: Iterable[str], *, now: datetime) -> int:
    """Have events delivered to a webhook from the start, whatever became of them before; return how many."""
    count = 0
    for event_id in event_ids:
        fresh: dict[str, Any] = {
            "state": DeliveryState.PENDING.value,
            "attempts": 0,
            "next_at": now,
            "token": None,
            "delivered_at": None,
        }
        row = {"webhook_id": webhook_id, "event_id": event_id, **fresh}
        if not tx.insert_new(WebhookDeliveries, row):
            tx.connection.execute(update(WebhookDeliveries).where(*_key(webhook_id, event_id)).values(fresh))
        count += 1
    return count


def has_due(tx: Transaction, now: datetime) -> bool:
    """Return whether a delivery is to be tried by `now`."""
    return tx.connection.execute(_due(now).limit(1)).first() is not None


def claim(tx: WriteTransaction, *, now: datetime, limit: int) -> tuple[Claimed, ...]:
    """Take at most `limit` deliveries that are due; no other process gets them before the lease runs out."""
    due = _due(now).limit(limit).with_for_update(skip_locked=True, of=WebhookDeliveries)
    claimed: list[Claimed] = []
    for webhook_id, event_id, attempts in tx.connection.execute(due).all():
        if attempts >= MAX_ATTEMPTS:
            lost = {
                "state": DeliveryState.DEAD.value,
                "next_at": None,
                "problem": "the last attempt was cut short",
            }
            tx.connection.execute(update(WebhookDeliveries).where(*_key(webhook_id, event_id)).values(lost))
            continue
        token = tx.next_token()
        taken = {
            "attempts": attempts + 1,
            "next_at": now + timedelta(seconds=LEASE_SECONDS),
            "token": token,
        }
        tx.connection.execute(update(WebhookDeliveries).where(*_key(webhook_id, event_id)).values(taken))
        webhook, secret = _found(tx, webhook_id)
        event = tx.connection.execute(select(Events.document).where(Events.id == event_id)).scalar_one()
        claimed.append(
            Claimed(webhook=webhook, secret=secret, event=event, attempts=attempts + 1, token=token)
        )
    return tuple(claimed)


def settle(tx: WriteTransaction, done: Claimed, outcome: Outcome, *, spread: float, now: datetime) -> bool:
    """Note what became of a claimed attempt; False when the claim had run out, which changes nothing.

    `spread`, 0 to 1 at random, is that of `pause_seconds`. A receiver that is gone (410) is told no more.
    """
    values: dict[str, Any] = {
        "status": outcome.status,
        "problem": None
        if outcome.succeeded
        else (outcome.problem or f"answered {outcome.status}")[:MAX_PROBLEM],
        "token": None,
        "next_at": None,
    }
    if outcome.succeeded:
        values |= {"state": DeliveryState.DELIVERED.value, "delivered_at": now}
    elif outcome.is_gone or done.attempts >= MAX_ATTEMPTS:
        values |= {"state": DeliveryState.DEAD.value}
    else:
        values["next_at"] = now + timedelta(seconds=pause_seconds(done.attempts, spread=spread))
    changed = tx.connection.execute(
        update(WebhookDeliveries)
        .where(*_key(done.webhook.id, done.event.id), WebhookDeliveries.token == done.token)
        .values(values)
    )
    if changed.rowcount and outcome.is_gone:
        set_active(tx, done.webhook.id, active=False, because="the receiver answered 410 Gone")
    return bool(changed.rowcount)


def _due(now: datetime) -> Select[str, str, int]:
    return (
        select(WebhookDeliveries.webhook_id, WebhookDeliveries.event_id, WebhookDeliveries.attempts)
        .join(Webhooks, Webhooks.id == WebhookDeliveries.webhook_id)
        .where(
            WebhookDeliveries.state == DeliveryState.PENDING.value,
            WebhookDeliveries.next_at <= now,
            Webhooks.active,
        )
        .order_by(WebhookDeliveries.next_at)
    )


def _key(webhook_id: str, event_id: str) -> tuple[Any, Any]:
    return WebhookDeliveries.webhook_id == webhook_id, WebhookDeliveries.event_id == event_id


def _found(tx: Transaction, id_: str) -> tuple[Webhook, str]:
    statement = select(Webhooks.document, Webhooks.secret).where(Webhooks.id == check_id("webhook", id_))
    row = tx.connection.execute(statement).one_or_none()
    if row is None:
        raise NotFound("webhook", shortened(id_))
    return row.document, row.secret


def _read(
    row: Row[str, str, str, str, int, datetime | None, int | None, str | None, datetime | None],
) -> Delivery:
    return Delivery(
        webhook_id=row.webhook_id,
        event_id=row.event_id,
        kind=EventKind(row.kind),
        state=DeliveryState(row.state),
        attempts=row.attempts,
        next_at=row.next_at if row.state == DeliveryState.PENDING.value else None,
        status=row.status,
        problem=row.problem,
        delivered_at=row.delivered_at,
    )
