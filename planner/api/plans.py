"""Stored answers."""

from __future__ import annotations

from litestar import Router, get, post

from planner.api.parameters import Cursor, Limit, Name, PlanPage, ServiceParameter, VariantName
from planner.domain.outcome import Plan
from planner.wire.page import DEFAULT_LIMIT
from planner.wire.replies import Replay, Why


@get("/plans", operation_id="listPlans", summary="List stored plans, newest first", sync_to_thread=True)
def list_plans(service: ServiceParameter, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> PlanPage:
    """Return a page of plans without their evidence."""
    return service.plans(limit=limit, cursor=cursor)


@get("/plans/{plan_id:str}", operation_id="getPlan", summary="Return a stored plan", sync_to_thread=True)
def get_plan(service: ServiceParameter, plan_id: Name) -> Plan:
    """Return a plan as it was answered."""
    return service.plan(plan_id)


@post(
    "/plans/{plan_id:str}/replay",
    operation_id="replayPlan",
    summary="Compute a plan again as of its own revision and time, and compare",
    status_code=200,
    sync_to_thread=True,
)
def replay_plan(service: ServiceParameter, plan_id: Name) -> Replay:
    """Replay a plan."""
    return service.replay(plan_id)


@get(
    "/plans/{plan_id:str}/why",
    operation_id="whyForPlan",
    summary="Say why a variant is, or is not, the answer of a plan",
    sync_to_thread=True,
)
def why_for_plan(service: ServiceParameter, plan_id: Name, name: VariantName) -> Why:
    """Explain `variant` for a stored plan."""
    return service.why(name, plan_id=plan_id)


router = Router("/", route_handlers=[list_plans, get_plan, replay_plan, why_for_plan], tags=["Plans"])
