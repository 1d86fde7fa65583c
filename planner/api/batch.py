"""Many questions in one request: each is answered or refused by itself, in the order they were asked."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from litestar import Router, post
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.params import RawBody

from planner.api.decoding import decode
from planner.api.parameters import ServiceParameter
from planner.api.recommend import QUESTION_SCHEMA
from planner.domain.scenario import Scenario
from planner.errors import InvalidInput
from planner.wire.problem import problem_of
from planner.wire.replies import Batch, BatchAnswer
from planner.wire.requests import MAX_BATCH, Question


class _Questions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    questions: tuple[msgspec.Raw, ...]


@dataclass
class BatchOperation(Operation):
    """Documents that each item of the body is a question in words or a scenario."""

    def __post_init__(self) -> None:
        """Describe the body, which the handler receives undecoded."""
        schema = Schema(
            title="Batch of questions",
            type=OpenAPIType.OBJECT,
            properties={
                "questions": Schema(
                    type=OpenAPIType.ARRAY, items=QUESTION_SCHEMA, min_items=1, max_items=MAX_BATCH
                )
            },
            required=["questions"],
            additional_properties=False,
        )
        self.request_body = RequestBody(
            content={"application/json": OpenAPIMediaType(schema=schema)}, required=True
        )


def question_of(item: bytes) -> str | Scenario:
    """Return one item of a batch, told apart by the field `query`. Raises InvalidInput."""
    if "query" in decode(item, dict[str, msgspec.Raw]):
        return decode(item, Question).query
    return decode(item, Scenario)


@post(
    "/recommend/batch",
    operation_id="recommendBatch",
    summary="Answer many questions, in words or as scenarios",
    description=f"At most {MAX_BATCH}. Answers keep the order; each is a stored plan, or the problem with its question.",
    operation_class=BatchOperation,
    status_code=200,
    sync_to_thread=True,
)
def recommend_batch(service: ServiceParameter, body: RawBody) -> Batch:
    """Answer every item that can be read."""
    items = decode(body, _Questions).questions
    if not 1 <= len(items) <= MAX_BATCH:
        raise InvalidInput("questions", f"{len(items)} are given", allowed=f"1 to {MAX_BATCH} in a batch")
    answers: dict[int, BatchAnswer] = {}
    questions: dict[int, str | Scenario] = {}
    for number, item in enumerate(items):
        try:
            questions[number] = question_of(bytes(item))
        except InvalidInput as error:
            answers[number] = BatchAnswer(problem=problem_of(error))
    if questions:
        answered = service.recommend_batch(tuple(questions.values()))
        answers.update(zip(questions, answered, strict=True))
    return Batch(answers=tuple(answers[number] for number in range(len(items))))


router = Router("/", route_handlers=[recommend_batch], tags=["Questions"])
