"""Gates: judged, judged for everything, and looked up."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Router, get, post
from litestar.params import BodyKwarg, JSONBody, QueryParameter

from planner.api.parameters import Cursor, Limit, Name, ServiceParameter, Text
from planner.domain.listing import Page
from planner.gate.policy import Policy
from planner.gate.report import GateReport, GateVerdict
from planner.wire.gating import GateAllRequest, GateRequest, GateRow, PolicyCheck
from planner.wire.page import DEFAULT_LIMIT

GateReportPage = Annotated[Page[GateReport], BodyKwarg(schema_component_key="GateReportPage")]
GateRowPage = Annotated[Page[GateRow], BodyKwarg(schema_component_key="GateRowPage")]


@post(
    "/gates",
    operation_id="gate",
    summary="Judge a variant by a policy, and do what the verdict asks for",
    description=(
        "The server's floor applies: the report says what it raised. A pass moves the policy's alias by "
        "compare-and-swap, a fail quarantines where the policy says so; with `queue`, jobs are queued for what is open."
    ),
    status_code=200,
    sync_to_thread=True,
)
def gate(service: ServiceParameter, data: JSONBody[GateRequest]) -> GateReport:
    """Return the report; the verdict is in it, whatever it is."""
    return service.gate(data)


@post(
    "/gates/preview",
    operation_id="previewGate",
    summary="Judge a variant by a policy, and change nothing",
    status_code=200,
    sync_to_thread=True,
)
def preview_gate(service: ServiceParameter, data: JSONBody[GateRequest]) -> GateReport:
    """Return the report that the gate would give now."""
    return service.gate(msgspec.structs.replace(data, dry_run=True))


@post(
    "/gates/all",
    operation_id="gateAll",
    summary="Say which variants would fail a policy, and change nothing",
    status_code=200,
    sync_to_thread=True,
)
def gate_all(
    service: ServiceParameter,
    data: JSONBody[GateAllRequest],
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> GateRowPage:
    """Return a page of verdicts, by variant; at most 50 for each request."""
    return service.gate_all(data, limit=limit, cursor=cursor)


@post(
    "/gates/policy",
    operation_id="checkGatePolicy",
    summary="Say how a policy would hold on this server",
    status_code=200,
    sync_to_thread=True,
)
def check_policy(service: ServiceParameter, data: JSONBody[Policy]) -> PolicyCheck:
    """Return the policy with the server's floor applied."""
    return service.check_policy(data)


@get(
    "/gates",
    operation_id="listGates",
    summary="List reports of gates, newest first",
    sync_to_thread=True,
)
def list_gates(
    service: ServiceParameter,
    variant: Text = None,
    verdict: Annotated[
        GateVerdict | None, QueryParameter(description="Only those with this verdict.")
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> GateReportPage:
    """Return a page of reports."""
    return service.gates(variant=variant, verdict=verdict, limit=limit, cursor=cursor)


@get("/gates/{gate_id:str}", operation_id="getGate", summary="Return one report", sync_to_thread=True)
def get_gate(service: ServiceParameter, gate_id: Name) -> GateReport:
    """Return a report."""
    return service.gate_report(gate_id)


router = Router(
    "/", route_handlers=[gate, preview_gate, gate_all, check_policy, list_gates, get_gate], tags=["Gates"]
)
