"""Answers compared, swept, and followed by what would change them."""

from __future__ import annotations

from typing import Annotated

from litestar import Router, get, post
from litestar.params import JSONBody, QueryParameter

from planner.api.parameters import Name, Query, ServiceParameter
from planner.domain.advice import BuildAdvice, MeasurementAdvice
from planner.domain.comparison import Comparison
from planner.domain.sweep import Sweep
from planner.wire.explaining import ComparePlansRequest, CompareRequest, Queued, QueueRequest

Over = Annotated[
    str,
    QueryParameter(
        name="over",
        min_length=1,
        max_length=200,
        description=(
            "What moves, and over which range: `NAME=FROM..TO[/POINTS][:log|:linear]`, such as "
            "`memory=8GiB..80GiB/50`, `loss=0%..5%`, `ttft=50ms..2s`, `concurrency=1..256`, `context=1k..128k`."
        ),
    ),
]


@post(
    "/compare",
    operation_id="compareVariants",
    summary="Put variants side by side",
    description=(
        "In a question in words, in that of a stored plan, or by themselves. The first is what the others are held "
        "against; nothing is stored."
    ),
    status_code=200,
    sync_to_thread=True,
)
def compare_variants(service: ServiceParameter, data: JSONBody[CompareRequest]) -> Comparison:
    """Compare variants."""
    return service.compare(data.variants, plan_id=data.plan_id, query=data.query)


@post(
    "/compare/plans",
    operation_id="comparePlans",
    summary="Put the answers of stored plans side by side",
    status_code=200,
    sync_to_thread=True,
)
def compare_plans(service: ServiceParameter, data: JSONBody[ComparePlansRequest]) -> Comparison:
    """Compare plans."""
    return service.compare_plans(data.plans)


@get(
    "/sweep",
    operation_id="sweepQuery",
    summary="Answer a question while one of its bounds moves over a range",
    description="At most 200 points. Where the choice changes between two of them, the value is found by bisection.",
    sync_to_thread=True,
)
def sweep_query(service: ServiceParameter, question: Query, over: Over) -> Sweep:
    """Sweep a bound of `q`."""
    return service.sweep(over, query=question)


@get(
    "/plans/{plan_id:str}/sweep",
    operation_id="sweepPlan",
    summary="Answer a plan's question while one of its bounds moves over a range",
    sync_to_thread=True,
)
def sweep_plan(service: ServiceParameter, plan_id: Name, over: Over) -> Sweep:
    """Sweep a bound of a plan's question, as of its revision."""
    return service.sweep(over, plan_id=plan_id)


@get(
    "/measurements",
    operation_id="measurementsForQuery",
    summary="Say which measurements could change the answer to a question",
    sync_to_thread=True,
)
def measurements_for_query(service: ServiceParameter, question: Query) -> MeasurementAdvice:
    """Return what is worth measuring for `q`."""
    return service.measurements(query=question)


@get(
    "/plans/{plan_id:str}/measurements",
    operation_id="measurementsForPlan",
    summary="Say which measurements could change the answer of a plan",
    sync_to_thread=True,
)
def measurements_for_plan(service: ServiceParameter, plan_id: Name) -> MeasurementAdvice:
    """Return what is worth measuring for a plan."""
    return service.measurements(plan_id=plan_id)


@post(
    "/plans/{plan_id:str}/measurements",
    operation_id="queueMeasurements",
    summary="Queue the measurements most likely to change the answer of a plan",
    sync_to_thread=True,
)
def queue_measurements(service: ServiceParameter, plan_id: Name, data: JSONBody[QueueRequest]) -> Queued:
    """Queue measurements that can be done."""
    return service.queue_measurements(plan_id, count=data.count)


@get(
    "/builds",
    operation_id="buildsForQuery",
    summary="Say which builds could satisfy a question",
    sync_to_thread=True,
)
def builds_for_query(service: ServiceParameter, question: Query) -> BuildAdvice:
    """Return what is worth building for `q`."""
    return service.builds(query=question)


@get(
    "/plans/{plan_id:str}/builds",
    operation_id="buildsForPlan",
    summary="Say which builds could satisfy the question of a plan",
    sync_to_thread=True,
)
def builds_for_plan(service: ServiceParameter, plan_id: Name) -> BuildAdvice:
    """Return what is worth building for a plan."""
    return service.builds(plan_id=plan_id)


@post(
    "/plans/{plan_id:str}/builds",
    operation_id="queueBuilds",
    summary="Queue the builds with the best odds of satisfying the question of a plan",
    sync_to_thread=True,
)
def queue_builds(service: ServiceParameter, plan_id: Name, data: JSONBody[QueueRequest]) -> Queued:
    """Queue builds that can be done."""
    return service.queue_builds(plan_id, count=data.count)


router = Router(
    "/",
    route_handlers=[
        compare_variants,
        compare_plans,
        sweep_query,
        sweep_plan,
        measurements_for_query,
        measurements_for_plan,
        queue_measurements,
        builds_for_query,
        builds_for_plan,
        queue_builds,
    ],
    tags=["Questions"],
)
