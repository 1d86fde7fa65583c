"""Plans: stored answers, never changed, so that each can be read and replayed later."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select

from planner.domain.listing import Page
from planner.domain.outcome import Plan, Recommended
from planner.errors import Conflict, NotFound
from planner.registry.checks import (
    DEFAULT_LIMIT,
    check_document,
    check_id,
    check_integer,
    check_name,
    check_time,
)
from planner.registry.nearest import shortened
from planner.registry.pages import Keyset, fetch
from planner.registry.tables import Plans
from planner.registry.transaction import Transaction, WriteTransaction


def save(tx: WriteTransaction, plan: Plan) -> bool:
    """Store the plan; return False when it is already there. Raises InvalidInput, Conflict for another one's id."""
    check_id("plan.id", plan.id)
    check_time("plan.as_of", plan.as_of)
    check_document("plan", plan)
    row = {
        "id": plan.id,
        "as_of": plan.as_of,
        "outcome": _outcome(plan),
        "revision": check_integer("plan.revision", plan.revision),
        "document": plan,
    }
    if tx.insert_new(Plans, row):
        return True
    if get(tx, plan.id) != plan:
        raise Conflict(f"plan `{plan.id}` is already stored with other content")
    return False


def get(tx: Transaction, id_: str) -> Plan:
    """Return the plan with this id. Raises NotFound."""
    check_id("plan", id_)
    plan = tx.connection.execute(select(Plans.document).where(Plans.id == id_)).scalar_one_or_none()
    if plan is None:
        raise NotFound("plan", shortened(id_))
    return plan


def page(
    tx: Transaction, *, outcome: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[Plan]:
    """Return plans, the newest first; `outcome` is "recommended" or "infeasible". Raises InvalidInput."""
    statement = select(Plans.document)
    if outcome is not None:
        statement = statement.where(Plans.outcome == check_name("outcome", outcome))
    keyset = Keyset(Plans.as_of, Plans.id, type_=datetime, scope=("plans", outcome), descending=True)
    return fetch(tx, statement, keyset, lambda row: row.document, limit=limit, cursor=cursor)


def _outcome(plan: Plan) -> str:
    return "recommended" if isinstance(plan.result, Recommended) else "infeasible"
