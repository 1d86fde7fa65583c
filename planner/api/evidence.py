"""Profiles and evaluations: the evidence behind every figure."""

from __future__ import annotations

from litestar import Response, Router, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from planner.api.parameters import Cursor, EvaluationPage, Limit, ProfilePage, ServiceParameter, Text
from planner.domain.evaluation import Evaluation
from planner.domain.profile import Profile
from planner.wire.page import DEFAULT_LIMIT
from planner.wire.replies import Submission

_KNOWN = {200: ResponseSpec(Submission, description="It was known already", generate_examples=False)}


@get("/profiles", operation_id="listProfiles", summary="List speed and memory evidence", sync_to_thread=True)
def list_profiles(
    service: ServiceParameter,
    variant: Text = None,
    device: Text = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> ProfilePage:
    """Return a page of profiles."""
    return service.profiles(variant=variant, device=device, limit=limit, cursor=cursor)


@post(
    "/profiles",
    operation_id="submitProfile",
    summary="Hand in speed and memory evidence",
    responses=_KNOWN,
    sync_to_thread=True,
)
def submit_profile(service: ServiceParameter, data: JSONBody[Profile]) -> Response[Submission]:
    """Add a profile; 200 when it was known."""
    submission = service.submit_profile(data)
    return Response(submission, status_code=201 if submission.created else 200)


@get("/evaluations", operation_id="listEvaluations", summary="List accuracy evidence", sync_to_thread=True)
def list_evaluations(
    service: ServiceParameter,
    variant: Text = None,
    task: Text = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> EvaluationPage:
    """Return a page of evaluations."""
    return service.evaluations(variant=variant, task=task, limit=limit, cursor=cursor)


@post(
    "/evaluations",
    operation_id="submitEvaluation",
    summary="Hand in accuracy evidence",
    responses=_KNOWN,
    sync_to_thread=True,
)
def submit_evaluation(service: ServiceParameter, data: JSONBody[Evaluation]) -> Response[Submission]:
    """Add an evaluation; 200 when it was known."""
    submission = service.submit_evaluation(data)
    return Response(submission, status_code=201 if submission.created else 200)


router = Router(
    "/",
    route_handlers=[list_profiles, submit_profile, list_evaluations, submit_evaluation],
    tags=["Evidence"],
)
