"""The client's part that explains: the methods of `planner.wire.explaining.Explaining`, each one call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from planner.client.calls import PREFIX, Call, segment
from planner.domain.advice import BuildAdvice, MeasurementAdvice
from planner.domain.comparison import Comparison
from planner.domain.sweep import Sweep
from planner.errors import InvalidInput
from planner.wire.explaining import ComparePlansRequest, CompareRequest, Queued, QueueRequest

T = TypeVar("T")


class Explaining(ABC):
    """Implements `planner.wire.explaining.Explaining` over HTTP."""

    @abstractmethod
    def send(self, call: Call[T]) -> T:
        """Send `call` and return its answer."""

    def compare(
        self, variants: Sequence[str], *, plan_id: str | None = None, query: str | None = None
    ) -> Comparison:
        """Return variants side by side."""
        body = CompareRequest(variants=tuple(variants), plan_id=plan_id, query=query)
        return self.send(_post("/compare", Comparison, body, repeatable=True))

    def compare_plans(self, plan_ids: Sequence[str]) -> Comparison:
        """Return the answers of stored plans side by side."""
        body = ComparePlansRequest(plans=tuple(plan_ids))
        return self.send(_post("/compare/plans", Comparison, body, repeatable=True))

    def sweep(self, over: str, *, plan_id: str | None = None, query: str | None = None) -> Sweep:
        """Return what is chosen while one bound moves over a range."""
        return self.send(_about("sweep", Sweep, plan_id, query, over=over))

    def measurements(self, *, plan_id: str | None = None, query: str | None = None) -> MeasurementAdvice:
        """Return the measurements that could change the answer."""
        return self.send(_about("measurements", MeasurementAdvice, plan_id, query))

    def builds(self, *, plan_id: str | None = None, query: str | None = None) -> BuildAdvice:
        """Return builds that could satisfy the question."""
        return self.send(_about("builds", BuildAdvice, plan_id, query))

    def queue_measurements(self, plan_id: str, *, count: int = 1) -> Queued:
        """Queue the jobs of the first measurements; not repeated, since each time queues them."""
        path = f"/plans/{segment('plan', plan_id)}/measurements"
        return self.send(_post(path, Queued, QueueRequest(count=count), repeatable=False))

    def queue_builds(self, plan_id: str, *, count: int = 1) -> Queued:
        """Queue the jobs of the first builds; not repeated, since each time queues them."""
        path = f"/plans/{segment('plan', plan_id)}/builds"
        return self.send(_post(path, Queued, QueueRequest(count=count), repeatable=False))


def _post(path: str, answer: type[T], body: object, *, repeatable: bool) -> Call[T]:
    return Call(
        method="POST",
        path=PREFIX + path,
        answer=answer,
        parameters={},
        body=msgspec.json.encode(body),
        repeatable=repeatable,
    )


def _about(what: str, answer: type[T], plan_id: str | None, query: str | None, **parameters: str) -> Call[T]:
    """Return the call that asks for something about a plan or about a query."""
    if (plan_id is None) == (query is None):
        raise InvalidInput("query", "give a plan or a query", allowed="exactly one of the two")
    if plan_id is not None:
        path = f"/plans/{segment('plan', plan_id)}/{what}"
        return Call(method="GET", path=PREFIX + path, answer=answer, parameters=parameters)
    asked = {"q": query or "", **parameters}
    return Call(method="GET", path=f"{PREFIX}/{what}", answer=answer, parameters=asked)
