"""Pins: added with a reason, listed, and taken away again."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Row, delete, insert, select

from planner.domain.lifecycle import check_reason
from planner.domain.listing import Page
from planner.domain.pin import Pin
from planner.errors import Conflict, NotFound
from planner.registry import lifecycle, variant_lookup
from planner.registry.checks import DEFAULT_LIMIT, check_id, check_name, check_time
from planner.registry.nearest import shortened
from planner.registry.pages import Keyset, fetch
from planner.registry.tables import Pins
from planner.registry.transaction import Transaction, WriteTransaction


def add(tx: WriteTransaction, variant_id: str, *, id_: str, reason: str, actor: str, now: datetime) -> Pin:
    """Pin a variant. The same actor's pin for the same reason is there once.

    Raises NotFound, InvalidInput, and Conflict for a variant whose files are gone.
    """
    reason = check_reason(reason)
    check_name("reason", reason, longest=len(reason))
    check_name("actor", actor)
    check_time("now", now)
    tx.lock_revision()  # no retention policy deletes the variant meanwhile
    variant_lookup.require(tx, variant_id)
    state = lifecycle.get(tx, variant_id)
    if not state.state.has_files:
        raise Conflict(
            f"`{variant_id}` is {state.describe()}; there is nothing to keep", state=state.state.value
        )
    same = _PINS.where(Pins.variant_id == variant_id, Pins.reason == reason, Pins.actor == actor)
    known = tx.connection.execute(same.limit(1)).one_or_none()
    if known is not None:
        return _pin(known)
    pin = Pin(id=check_id("pin.id", id_), variant_id=variant_id, reason=reason, actor=actor, pinned_at=now)
    tx.connection.execute(insert(Pins).values({name: getattr(pin, name) for name in pin.__struct_fields__}))
    return pin


def remove(tx: WriteTransaction, id_: str) -> Pin:
    """Take the pin with this id away and return it. Raises NotFound."""
    check_id("pin", id_)
    row = tx.connection.execute(_PINS.where(Pins.id == id_)).one_or_none()
    if row is None:
        raise NotFound("pin", shortened(id_))
    tx.connection.execute(delete(Pins).where(Pins.id == id_))
    return _pin(row)


def page(
    tx: Transaction, *, variant_id: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[Pin]:
    """Return pins by the time they were set, those of one variant where it is given. Raises InvalidInput."""
    statement = _PINS
    if variant_id is not None:
        statement = statement.where(Pins.variant_id == check_id("variant_id", variant_id))
    keyset = Keyset(Pins.id, Pins.id, type_=str, scope=("pins", variant_id))
    return fetch(tx, statement, keyset, _pin, limit=limit, cursor=cursor)


_PINS = select(Pins.id, Pins.variant_id, Pins.reason, Pins.actor, Pins.pinned_at)


def _pin(row: Row[str, str, str, str, datetime]) -> Pin:
    return Pin(
        id=row.id, variant_id=row.variant_id, reason=row.reason, actor=row.actor, pinned_at=row.pinned_at
    )
