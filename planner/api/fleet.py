"""Several demands on a fixed pool of devices."""

from __future__ import annotations

from litestar import Router, post
from litestar.params import JSONBody

from planner.api.parameters import ServiceParameter
from planner.domain.fleet import Fleet, FleetAnswer


@post(
    "/fleet",
    operation_id="planFleet",
    summary="Assign a pool of devices to several demands",
    description="Exact for the placements tried. 200 also when the pool does not suffice: `result.outcome` tells. Not stored.",
    status_code=200,
    sync_to_thread=True,
)
def plan_fleet(service: ServiceParameter, data: JSONBody[Fleet]) -> FleetAnswer:
    """Return an assignment, or what would make one possible."""
    return service.fleet(data)


router = Router("/", route_handlers=[plan_fleet], tags=["Questions"])
