"""Questions in words or as a scenario, and their answers."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from litestar import Router, get, post
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, Reference, RequestBody, Schema
from litestar.params import RawBody

from planner.api.decoding import decode
from planner.api.parameters import Query, ServiceParameter, VariantName
from planner.domain.outcome import Plan
from planner.domain.scenario import Preset, Scenario
from planner.errors import InvalidInput, NotFound, PlannerError
from planner.wire.replies import Understanding, Why
from planner.wire.requests import Question

QUESTION_SCHEMA = Schema(
    one_of=[
        Schema(
            title="Question",
            type=OpenAPIType.OBJECT,
            properties={"query": Schema(type=OpenAPIType.STRING)},
            required=["query"],
            additional_properties=False,
        ),
        Reference(ref="#/components/schemas/Scenario"),
    ],
    examples=[
        {"query": "13B on 24GB, <=1% loss"},
        {
            "model": {"kind": "size", "size_billions": 13},
            "hardware": {"memory_bytes": 24 * 1024**3},
            "constraints": [{"type": "loss", "limit": 0.01}],
        },
    ],
)
"""A question in words or a scenario, told apart by the field `query`."""


@dataclass
class QuestionOperation(Operation):
    """Documents that the body is a question in words or a scenario, told apart by the field `query`."""

    def __post_init__(self) -> None:
        """Describe the body, which the handler receives undecoded."""
        self.request_body = RequestBody(
            content={"application/json": OpenAPIMediaType(schema=QUESTION_SCHEMA)}, required=True
        )


@get(
    "/recommend",
    operation_id="recommendByQuery",
    summary="Answer a question in words",
    description="The answer is stored as a plan. 200 also when nothing satisfies the question: `result.outcome` tells.",
    sync_to_thread=True,
)
def recommend_by_query(service: ServiceParameter, question: Query) -> Plan:
    """Answer `q`."""
    return service.recommend(query=question)


@post(
    "/recommend",
    operation_id="recommend",
    summary="Answer a question in words or a structured scenario",
    description="The answer is stored as a plan. 200 also when nothing satisfies the scenario: `result.outcome` tells.",
    operation_class=QuestionOperation,
    status_code=200,
    sync_to_thread=True,
)
def recommend(service: ServiceParameter, body: RawBody) -> Plan:
    """Answer a Question or a Scenario, told apart by the field `query`."""
    document = decode(body, dict[str, msgspec.Raw])
    if "query" in document:
        return service.recommend(query=decode(body, Question).query)
    scenario = decode(body, Scenario)
    try:
        return service.recommend(scenario=scenario)
    except NotFound as error:
        raise _unknown_name(scenario, error) from error


def _unknown_name(scenario: Scenario, error: NotFound) -> PlannerError:
    """Return the error for a name inside a scenario: the path exists, and it is a field of the body that is wrong."""
    name, nearest = error.details["name"], error.details.get("nearest", [])
    if error.details["kind"] == "device" and scenario.hardware is not None:
        field = "hardware.device_id"
    elif error.details["kind"] == "model" and scenario.model.value is not None:
        field = "model.value"
    else:
        return error
    return InvalidInput(
        field,
        f"no {error.details['kind']} `{name}`",
        allowed=", ".join(nearest) or None,
        nearest=nearest or None,
    )


@get(
    "/understand",
    operation_id="understand",
    summary="Show how a question in words is read, without answering it",
    sync_to_thread=True,
)
def understand(service: ServiceParameter, question: Query) -> Understanding:
    """Return the scenario that `q` means."""
    return service.understand(question)


@get(
    "/why",
    operation_id="whyForQuery",
    summary="Say why a variant is, or is not, the answer to a question in words",
    sync_to_thread=True,
)
def why_for_query(service: ServiceParameter, question: Query, name: VariantName) -> Why:
    """Explain `variant` for `q`."""
    return service.why(name, query=question)


@get("/presets", operation_id="listPresets", summary="List the named scenarios", sync_to_thread=True)
def list_presets(service: ServiceParameter) -> tuple[Preset, ...]:
    """Return every preset."""
    return service.presets()


router = Router(
    "/",
    route_handlers=[recommend_by_query, recommend, understand, why_for_query, list_presets],
    tags=["Questions"],
)
