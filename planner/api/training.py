"""Whether a model can be trained on some hardware."""

from __future__ import annotations

from litestar import Router, post
from litestar.params import JSONBody

from planner.api.parameters import ServiceParameter
from planner.domain.training import TrainingAnswer, TrainingRequest


@post(
    "/training",
    operation_id="planTraining",
    summary="Say whether a model can be trained on some hardware, and how",
    description="200 also when it does not fit: `fits` tells, and `changes` are what would make it. Not stored.",
    status_code=200,
    sync_to_thread=True,
)
def plan_training(service: ServiceParameter, data: JSONBody[TrainingRequest]) -> TrainingAnswer:
    """Return memory, time, and what would make it fit."""
    return service.training(data)


router = Router("/", route_handlers=[plan_training], tags=["Questions"])
