"""The client's part about gates: the methods of `planner.wire.gating.Gating`, each one call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

import msgspec

from planner.client.calls import BATCH_PATIENCE, PREFIX, Call, segment
from planner.domain.listing import Page
from planner.gate.policy import Policy
from planner.gate.report import GateReport, GateVerdict
from planner.wire.gating import GateAllRequest, GateRequest, GateRow, PolicyCheck
from planner.wire.page import DEFAULT_LIMIT

T = TypeVar("T")


class Gating(ABC):
    """Implements `planner.wire.gating.Gating` over HTTP."""

    @abstractmethod
    def send(self, call: Call[T]) -> T:
        """Send `call` and return its answer."""

    def gate(self, request: GateRequest) -> GateReport:
        """Judge a variant. Only a dry run is repeated: another may have moved an alias before its answer was lost."""
        path = "/gates/preview" if request.dry_run else "/gates"
        return self.send(_post(path, GateReport, request, repeatable=request.dry_run))

    def gate_all(
        self, request: GateAllRequest, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[GateRow]:
        """Return what the policy would decide, by variant."""
        parameters = {"limit": str(limit), **({"cursor": cursor} if cursor is not None else {})}
        return self.send(_post("/gates/all", Page[GateRow], request, repeatable=True, **parameters))

    def gates(
        self,
        *,
        variant: str | None = None,
        verdict: GateVerdict | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[GateReport]:
        """Return the reports of gates, newest first."""
        wanted = {
            "variant": variant,
            "verdict": verdict.value if verdict is not None else None,
            "limit": str(limit),
            "cursor": cursor,
        }
        call: Call[Page[GateReport]] = Call(
            method="GET",
            path=f"{PREFIX}/gates",
            answer=Page[GateReport],
            parameters={name: value for name, value in wanted.items() if value is not None},
        )
        return self.send(call)

    def gate_report(self, gate_id: str) -> GateReport:
        """Return one report."""
        path = f"{PREFIX}/gates/{segment('gate', gate_id)}"
        call: Call[GateReport] = Call(method="GET", path=path, answer=GateReport, parameters={})
        return self.send(call)

    def check_policy(self, policy: Policy) -> PolicyCheck:
        """Return the policy as it would hold on the server."""
        return self.send(_post("/gates/policy", PolicyCheck, policy, repeatable=True))


def _post(path: str, answer: type[T], body: object, *, repeatable: bool, **parameters: str) -> Call[T]:
    return Call(
        method="POST",
        path=PREFIX + path,
        answer=answer,
        parameters=parameters,
        body=msgspec.json.encode(body),
        repeatable=repeatable,
        patience=BATCH_PATIENCE,
    )
