"""Health of the server, for people, probes and load balancers."""

from __future__ import annotations

from litestar import Response, Router, get
from litestar.openapi.datastructures import ResponseSpec

from planner.api.parameters import ServiceParameter
from planner.wire.replies import Health


@get(
    "/health",
    operation_id="getHealth",
    summary="Say whether database and store work, with version and revision",
    responses={503: ResponseSpec(Health, description="A part does not work", generate_examples=False)},
    sync_to_thread=True,
)
def get_health(service: ServiceParameter) -> Response[Health]:
    """Return the health; 503 when a part does not work."""
    health = service.health()
    return Response(health, status_code=200 if health.ok else 503, headers={"Cache-Control": "no-store"})


router = Router("/", route_handlers=[get_health], tags=["Server"])
