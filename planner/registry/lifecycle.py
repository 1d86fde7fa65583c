"""States of variants: the present one, which plans depend on, and every one before it, which is never changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import insert, select, update

from planner.domain.lifecycle import LifecycleState, StateHistory, VariantState, check_move, check_reason
from planner.domain.listing import Page
from planner.domain.webhook import EventKind
from planner.errors import Conflict, InvalidInput
from planner.registry import events, kinds, variant_lookup
from planner.registry.checks import DEFAULT_LIMIT, check_document, check_id, check_name, check_time
from planner.registry.kinds import Kind
from planner.registry.pages import Keyset, fetch
from planner.registry.tables import StateChanges, Variants, VariantStates
from planner.registry.transaction import Transaction, WriteTransaction

SET: Final = "set"
"""Source of every state: somebody set it."""


def _row(state: VariantState) -> dict[str, Any]:
    check_document("state", state)
    return {"id": state.variant_id, "state": state.state.value, "document": state}


KIND: Final = Kind(name="state", struct=VariantState, table=VariantStates, row=_row)


def put(
    tx: WriteTransaction,
    variant_id: str,
    state: LifecycleState,
    *,
    reason: str,
    actor: str,
    now: datetime,
    replacement_id: str | None = None,
    expected: LifecycleState | None = None,
) -> VariantState:
    """Put the variant with this id in `state` and return it; with the same reason and replacement nothing changes.

    Raises NotFound for an unknown variant or replacement, InvalidInput, and Conflict when it is not in the `expected`
    state, the state may not follow the present one, or the replacement is not recommended itself.
    """
    reason = check_reason(reason)
    check_name("reason", reason, longest=len(reason))
    check_name("actor", actor)
    check_time("now", now)
    tx.lock_revision()
    variant_lookup.require(tx, variant_id)
    before = get(tx, variant_id)
    if expected is not None and before.state is not expected:
        raise Conflict(
            f"`{variant_id}` is {before.state.value}, it was expected to be {expected.value}",
            current=before.state.value,
            expected=expected.value,
        )
    _check_replacement(tx, variant_id, state, replacement_id)
    if (before.state, before.reason, before.replacement_id) == (state, reason, replacement_id):
        return before
    check_move(before.state, state)
    after = VariantState(
        variant_id=variant_id,
        state=state,
        reason=reason,
        replacement_id=replacement_id,
        actor=actor,
        changed_at=now,
        number=before.number + 1,
    )
    kinds.put(tx, KIND, after, source=SET)
    if before.state.has_files != state.has_files:
        there = update(Variants).where(Variants.id == variant_id)
        tx.connection.execute(there.values(fetchable=state.has_files))
    change = {"variant_id": variant_id, "number": after.number, "document": after}
    tx.connection.execute(insert(StateChanges).values(change))
    happened = {
        "variant": variant_id,
        "state": state.value,
        "previous_state": before.state.value,
        "reason": reason,
        "replacement": replacement_id,
        "number": after.number,
        "actor": actor,
    }
    events.emit(tx, EventKind.VARIANT_STATE_CHANGED, happened)
    return after


def get(tx: Transaction, variant_id: str) -> VariantState:
    """Return the state of the variant with this id: active when nobody has set one."""
    statement = select(VariantStates.document).where(VariantStates.id == check_id("variant_id", variant_id))
    found = tx.connection.execute(statement).scalar_one_or_none()
    return found or VariantState(variant_id=variant_id)


def history(tx: Transaction, variant_id: str) -> StateHistory:
    """Return the state of the variant and every one it was put in, newest first."""
    statement = (
        select(StateChanges.document)
        .where(StateChanges.variant_id == variant_id)
        .order_by(StateChanges.number.desc())
    )
    return StateHistory(
        current=get(tx, variant_id), history=tuple(tx.connection.execute(statement).scalars())
    )


def page(
    tx: Transaction,
    *,
    state: LifecycleState | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[VariantState]:
    """Return the states that somebody has set, by variant. Raises InvalidInput."""
    statement = select(VariantStates.document)
    if state is not None:
        statement = statement.where(VariantStates.state == state.value)
    keyset = Keyset(VariantStates.id, VariantStates.id, type_=str, scope=("states", state))
    return fetch(tx, statement, keyset, lambda row: row.document, limit=limit, cursor=cursor)


def in_state(tx: Transaction, state: LifecycleState) -> frozenset[str]:
    """Return the ids of all variants in `state`, which is not the one they were registered in."""
    statement = select(VariantStates.id).where(VariantStates.state == state.value)
    return frozenset(tx.connection.execute(statement).scalars())


def _check_replacement(
    tx: Transaction, variant_id: str, state: LifecycleState, replacement_id: str | None
) -> None:
    if replacement_id is None:
        return
    if state is LifecycleState.ACTIVE:
        raise InvalidInput("replacement", "is given for an active variant", allowed="leave it out")
    if replacement_id == variant_id:
        raise InvalidInput("replacement", "is the variant itself", allowed="another variant")
    variant_lookup.require(tx, replacement_id)
    theirs = get(tx, replacement_id)
    if theirs.state is not LifecycleState.ACTIVE:
        raise Conflict(
            f"the replacement `{replacement_id}` is {theirs.describe()}", replacement=replacement_id
        )
