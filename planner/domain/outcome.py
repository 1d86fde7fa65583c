"""Outcomes: what a question is answered with. Structure first; sentences are rendered from it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from planner.domain.figure import Figure
from planner.domain.loss import LossKind, LossVerdict
from planner.domain.scenario import Effective, Scenario


class MemoryEstimate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Peak memory of one device in bytes, term by term, against what the device offers."""

    weights: Figure
    kv_cache: Figure
    activations: Figure
    overhead: Figure
    total: Figure
    capacity: Figure | None = None
    """Usable bytes of one device; None when the question names no memory."""
    fit_probability: float | None = None
    devices: int = 1


class Verdict(StrEnum):
    """Verdict on one constraint for one candidate."""

    MET = "met"
    CERTIFIED = "certified"
    LIKELY = "likely"
    UNLIKELY = "unlikely"
    VIOLATED = "violated"
    UNKNOWN = "unknown"

    @property
    def is_acceptable(self) -> bool:
        """True for verdicts a candidate may be recommended with."""
        return self in {Verdict.MET, Verdict.CERTIFIED, Verdict.LIKELY}


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One constraint on one candidate: what was asked, the figure it was held against, and the verdict."""

    key: str
    asked: str
    verdict: Verdict
    figure: Figure | None = None
    detail: str | None = None


class LossAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The loss a candidate is judged by: figure, kind, task(s) and metric, and the verdict where a limit was asked."""

    figure: Figure
    kind: LossKind
    tasks: tuple[str, ...]
    metric: str
    items: int | None = None
    verdict: LossVerdict | None = None
    items_to_settle: int | None = None
    """About how many more items would decide an undecided limit."""


class LatencyAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Speed of a candidate at the scenario's workload, each with the runtime it was seen or modelled under."""

    ttft: Figure | None = None
    tpot: Figure | None = None
    throughput: Figure | None = None
    runtime: str | None = None
    quantile: str = "p50"


class Candidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A variant placed on the hardware, with every figure and check behind it."""

    variant_id: str
    model_id: str
    name: str
    scheme: str
    memory: MemoryEstimate
    disk: Figure | None = None
    loss: LossAnswer | None = None
    latency: LatencyAnswer = LatencyAnswer()
    checks: tuple[Check, ...] = ()
    fetchable: bool = False


class Elimination(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a candidate is not the answer: the constraint it fell at, or "objective" when a better one won."""

    variant_id: str
    model_id: str
    name: str
    key: str
    reason: str
    figure: Figure | None = None
    margin: float | None = None
    """How far past the bound, as a share of the bound; None for categories."""


class Relaxation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The least change of one constraint that makes the scenario feasible, re-verified by planning `scenario`."""

    key: str
    before: str
    after: str
    change: float | None
    """Relative change of the bound; None when a category is dropped."""
    scenario: Scenario
    variant_id: str
    name: str


class FrontierPoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A candidate no other one beats on memory, loss and speed at once; unknown coordinates are None."""

    variant_id: str
    name: str
    memory_bytes: float
    loss: float | None = None
    tpot_seconds: float | None = None
    chosen: bool = False


class Recommended(msgspec.Struct, frozen=True, kw_only=True, tag="recommended", tag_field="outcome"):
    """A variant satisfies the scenario."""

    chosen: Candidate
    reasons: tuple[str, ...]
    alternatives: tuple[Candidate, ...]
    frontier: tuple[FrontierPoint, ...]
    eliminations: tuple[Elimination, ...]
    eliminated: Mapping[str, int]
    """How many candidates fell at each constraint."""
    warnings: tuple[str, ...]


class Infeasible(msgspec.Struct, frozen=True, kw_only=True, tag="infeasible", tag_field="outcome"):
    """Nothing satisfies the scenario: which constraints conflict, and the smallest changes that would help."""

    conflict: tuple[str, ...]
    """Keys of a smallest set of constraints that cannot hold together."""
    relaxations: tuple[Relaxation, ...]
    nearest: tuple[Candidate, ...]
    eliminations: tuple[Elimination, ...]
    eliminated: Mapping[str, int]
    warnings: tuple[str, ...]


Outcome = Recommended | Infeasible


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stored answer: replaying `scenario` at `revision` and `as_of` gives `result` again."""

    id: str
    scenario: Scenario
    understood: tuple[Effective, ...]
    result: Outcome
    revision: int
    as_of: datetime
    planner_version: str
    query: str | None = None
