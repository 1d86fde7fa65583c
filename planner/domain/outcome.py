"""Outcomes: what a question is answered with. Structure first; sentences are rendered from it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from planner.domain.figure import Figure
from planner.domain.loss import LossKind, LossVerdict
from planner.domain.price import Price
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
    """Devices of one replica: tensor_parallel x pipeline_parallel."""
    tensor_parallel: int = 1
    pipeline_parallel: int = 1


class Placement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One way to put a variant on the hardware, and how much it carries there.

    `max_context` are the tokens a sequence may hold at the concurrency asked for, `max_concurrency` the sequences of the
    length asked for, each still fitting at the risk asked for and per replica; None where memory is not checked, and for
    a split that does not fit at all 0.
    """

    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    replicas: int = 1
    """How many copies of this split the hardware holds side by side."""
    peak: Figure | None = None
    """Peak bytes of the fullest device."""
    fit_probability: float | None = None
    max_context: int | None = None
    max_concurrency: int | None = None
    chosen: bool = False


class Serving(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Replicas that a request rate needs, modelled as a queue M/M/c (Erlang C) over the slots of all replicas.

    Each replica takes the concurrency asked for at once and each request holds a slot for its end-to-end time there.
    """

    requests_per_second: float
    replicas: int
    """Least number that keeps utilization within `headroom`."""
    available: int
    """Replicas the hardware holds."""
    utilization: float
    """Share of slots that are busy with `replicas` of them."""
    headroom: float
    """Utilization that is not exceeded."""
    wait_probability: float
    """Probability that a request finds every slot busy."""
    mean_wait: Figure
    """Mean seconds in the queue, basis modelled; its interval carries that of the end-to-end time."""


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


class CostAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a candidate costs on the devices it uses, in `currency`, by a price whose date and source are stated."""

    currency: str
    per_hour: Figure
    per_million_tokens: Figure | None = None
    """For generated tokens over all requests; None where the throughput is not known."""
    price: Price


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
    cost: CostAnswer | None = None
    """None where no price is given."""
    energy: Figure | None = None
    """Joules per generated token if every device drew its rated power all the time: an upper bound."""
    checks: tuple[Check, ...] = ()
    fetchable: bool = False
    serving: Serving | None = None
    """What the request rate asked for needs; None when none is asked for, or the speed is not known."""


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
    """A candidate no other one beats on memory, loss, speed and cost at once; unknown coordinates are None."""

    variant_id: str
    name: str
    memory_bytes: float
    loss: float | None = None
    tpot_seconds: float | None = None
    cost: float | None = None
    """Per million generated tokens, in the currency of the price."""
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
    placements: tuple[Placement, ...] = ()
    """Every valid way to place the chosen variant on the hardware, the chosen way marked."""


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
