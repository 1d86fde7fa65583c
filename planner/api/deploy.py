"""Locks of stored answers, their checks, and what serves them."""

from __future__ import annotations

from litestar import Router, post
from litestar.params import JSONBody

from planner.api.parameters import ServiceParameter
from planner.deploy.checking import LockCheck
from planner.deploy.deployment import Deployment
from planner.deploy.lock import Lock
from planner.wire.requests import DeployRequest, LockRequest


@post(
    "/lock",
    operation_id="lockPlan",
    summary="Pin what a stored plan chose",
    description="Nothing is stored: the lock is the caller's to keep.",
    status_code=200,
    sync_to_thread=True,
)
def lock_plan(service: ServiceParameter, data: JSONBody[LockRequest]) -> Lock:
    """Return the lock of a plan."""
    return service.lock(data.plan_id, runtime=data.runtime)


@post(
    "/check",
    operation_id="checkLock",
    summary="Judge a lock by what the registry holds now",
    description="200 whatever the result: `status` tells. The body is a lock as `/lock` returned it.",
    status_code=200,
    sync_to_thread=True,
)
def check_lock(service: ServiceParameter, data: JSONBody[Lock]) -> LockCheck:
    """Return how a lock stands."""
    return service.check(data)


@post(
    "/deploy",
    operation_id="deploy",
    summary="Return commands or manifests that serve a plan's answer or a lock",
    description="Nothing is started. Every flag comes with the reason for its value.",
    status_code=200,
    sync_to_thread=True,
)
def deploy(service: ServiceParameter, data: JSONBody[DeployRequest]) -> Deployment:
    """Return what serves a plan's answer or a lock."""
    return service.deploy(data)


router = Router("/", route_handlers=[lock_plan, check_lock, deploy], tags=["Deployment"])
