"""A gate's policy: what a build must show before it is promoted, as its YAML file says it.

Amounts are texts with their unit, "1%", "0.5pp", "50ms", "24GiB", because a bare number would have to be guessed at. The JSON schema
of these structs ships as `policy.schema.json`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from planner.domain.figure import Basis
from planner.domain.loss import CONFIDENCE, LossKind
from planner.domain.units import parse_bytes, parse_seconds
from planner.domain.workload import Workload
from planner.errors import InvalidInput

ANY_TASK: Final = "*"
"""In a floor: every task that a policy names."""
MAX_RULES: Final = 200
"""Most tasks, latency or memory rules of a policy."""
DAY_SECONDS: Final = 86_400.0

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Margin = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[0-9]+(\.[0-9]+)?\s*(%|pp|points)$",
        description='A share of the baseline\'s score, such as "1%", or points of the score, such as "0.5pp".',
    ),
]
Share = Annotated[
    str,
    msgspec.Meta(pattern=r"^[0-9]+(\.[0-9]+)?\s*%$", description='A share of the reference, such as "5%".'),
]
Duration = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[0-9]+(\.[0-9]+)?\s*(us|µs|ms|s|min|h)$", description='A duration, such as "50ms".'
    ),
]
Size = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[0-9]+(\.[0-9]+)?\s*[KMGTP]i?B$",
        description='Bytes, such as "24GiB"; GB means the same for device memory.',
    ),
]
Age = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9]+(\.[0-9]+)?\s*(h|d|w)$", description='An age, such as "30d".')
]
Items = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
Runs = Annotated[int, msgspec.Meta(ge=2, le=1000)]
Against = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(base|alias:.+|variant:.+)$",
        description="What the build is held against: base (its own baseline), alias:NAME or variant:ID.",
    ),
]
TaskSource = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(reference|blob:[0-9a-f]{64}(\.(jsonl|txt))?)$",
        description="Where a worker finds the data: reference (it ships with the worker), or blob:SHA256 of a stored file.",
    ),
]
FidelityLimit = Annotated[float, msgspec.Meta(ge=0)]
FidelityShare = Annotated[float, msgspec.Meta(ge=0, le=1)]
LatencyMetric = Literal["ttft", "tpot", "itl", "end_to_end"]
Percentile = Literal["mean", "p50", "p90", "p95", "p99"]
MemoryMeasure = Literal["weights", "kv_cache", "peak_device", "peak_process", "peak_reserved", "peak_rss"]
OnFail = Literal["warn", "quarantine"]


class TaskRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A task, and the loss on it that is still accepted."""

    task: Name
    margin: Margin
    metric: Name | None = None
    """Metric of the task; None takes the one with most items, length-normalised accuracy first."""
    min_items: Items | None = None
    """Items below which nothing passes; None takes the policy's."""
    source: TaskSource | None = None
    """Data for a queued job; None takes the stored file with the digest of the last evaluation's data."""

    @property
    def kind(self) -> LossKind:
        """Relative for "%", absolute for points."""
        return LossKind.RELATIVE if self.margin.rstrip().endswith("%") else LossKind.ABSOLUTE

    @property
    def limit(self) -> float:
        """The margin as a ratio, or in points."""
        number = float(self.margin.rstrip("%points \t"))
        return number / 100 if self.kind is LossKind.RELATIVE else number

    @property
    def title(self) -> str:
        """The task, with its metric where one is named."""
        return f"{self.task} ({self.metric})" if self.metric else self.task


class Screen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A cheap first stage: fidelity to the base. What clearly exceeds it fails before any task is judged; it passes nothing."""

    kl_mean: FidelityLimit | None = None
    """Most mean Kullback-Leibler divergence, nats per token."""
    kl_p99: FidelityLimit | None = None
    top1_agreement: FidelityShare | None = None
    """Least share of tokens on which both prefer the same one, 0 to 1."""
    flips: FidelityShare | None = None
    """Most share of tokens or items whose correctness changes, 0 to 1."""
    task: Name | None = None
    """The text it is taken from; None takes the newest evaluation that has it."""
    source: TaskSource | None = None


class Point(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workload point."""

    input_tokens: Annotated[int, msgspec.Meta(ge=1, le=100_000_000)]
    output_tokens: Annotated[int, msgspec.Meta(ge=1, le=100_000_000)]
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1

    @property
    def workload(self) -> Workload:
        """The point as everywhere else."""
        return Workload(
            input_tokens=self.input_tokens, output_tokens=self.output_tokens, concurrency=self.concurrency
        )


class LatencyRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A time at a workload point: at most so long, or at most so much longer than the reference's on the same class of machine."""

    metric: LatencyMetric
    percentile: Percentile
    at: Point
    at_most: Duration | None = None
    regression: Share | None = None
    device: Name | None = None
    runtime: Name | None = None
    repeats: Runs = 3
    """Runs of each below which nothing is decided."""

    @property
    def limit(self) -> float | None:
        """`at_most` in seconds."""
        return None if self.at_most is None else parse_seconds(self.at_most, field="latency.at_most")

    @property
    def title(self) -> str:
        """What is limited, in words."""
        return f"{_TIMES[self.metric]} {self.percentile} at {self.at.workload}"


class MemoryRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Bytes at a workload point: at most so many, or at most so many more than the reference's."""

    measure: MemoryMeasure
    at: Point | None = None
    """None for `weights`, which every point has alike."""
    at_most: Size | None = None
    regression: Share | None = None
    device: Name | None = None
    runtime: Name | None = None
    repeats: Runs = 2

    @property
    def limit(self) -> float | None:
        """`at_most` in bytes."""
        return (
            None if self.at_most is None else parse_bytes(self.at_most, field="memory.at_most", binary=True)
        )

    @property
    def title(self) -> str:
        """What is limited, in words."""
        where = f" at {self.at.workload}" if self.at else ""
        return f"{self.measure.replace('_', ' ')} memory{where}"


_TIMES: Final = {"ttft": "TTFT", "tpot": "TPOT", "itl": "ITL", "end_to_end": "end-to-end time"}
Limit = LatencyRule | MemoryRule


class EvidenceRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which evidence counts. What is older, of another version, or says neither, is stale."""

    max_age: Age | None = None
    versions: dict[str, Name] = {}
    """Version that each of these engines or libraries must have had: {"vllm": "0.33.0"}."""
    bases: tuple[Literal["measured", "imported"], ...] = ("measured", "imported")

    @property
    def max_age_seconds(self) -> float | None:
        """`max_age` in seconds."""
        if self.max_age is None:
            return None
        text = self.max_age.strip()
        return float(text[:-1]) * {"h": 3600.0, "d": DAY_SECONDS, "w": 7 * DAY_SECONDS}[text[-1]]

    @property
    def allowed(self) -> frozenset[Basis]:
        """The bases that count."""
        return frozenset(Basis(basis) for basis in self.bases)


class OnPass(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a pass does."""

    move_alias: Name | None = None
    """Alias to point at the build, if it still points where it did when the gate began."""


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a build must show. Better than the reference never fails."""

    version: Literal[1]
    name: Name | None = None
    against: Against = "base"
    confidence: Annotated[float, msgspec.Meta(gt=0.5, lt=1)] = CONFIDENCE
    """One-sided, over all checks together."""
    min_items: Items | None = None
    tasks: Annotated[tuple[TaskRule, ...], msgspec.Meta(max_length=MAX_RULES)] = ()
    screen: Screen | None = None
    latency: Annotated[tuple[LatencyRule, ...], msgspec.Meta(max_length=MAX_RULES)] = ()
    memory: Annotated[tuple[MemoryRule, ...], msgspec.Meta(max_length=MAX_RULES)] = ()
    evidence: EvidenceRule = EvidenceRule()
    on_pass: OnPass = OnPass()
    on_fail: OnFail = "warn"

    @property
    def alpha(self) -> float:
        """1 - confidence, of the file's digits."""
        return round(1 - self.confidence, 12)

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Latency and memory rules."""
        return (*self.latency, *self.memory)


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something wrong in a policy: where, what, and what is allowed."""

    field: str
    problem: str
    allowed: str
    line: int | None = None

    def __str__(self) -> str:
        at = f"line {self.line}: " if self.line is not None else ""
        return f"{at}{self.field}: {self.problem}; allowed: {self.allowed}"


def problems_of(policy: Policy, *, floor: bool = False) -> tuple[Problem, ...]:
    """Return what is wrong with a well-formed policy: rules that contradict themselves or say nothing."""
    found: list[Problem] = []

    def add(field: str, problem: str, allowed: str) -> None:
        found.append(Problem(field=field, problem=problem, allowed=allowed))

    nothing = not (policy.tasks or policy.limits or policy.screen)
    if nothing and not floor:
        add("tasks", "nothing is asked of a build", "at least one task, screen, latency or memory rule")
    found += _task_problems(policy.tasks, floor=floor)
    for number, rule in enumerate(policy.latency):
        found += _limit_problems(rule, f"latency[{number}]")
    for number, limit in enumerate(policy.memory):
        found += _limit_problems(limit, f"memory[{number}]")
    if policy.screen is not None and not any(
        getattr(policy.screen, each) is not None for each in SCREEN_FIGURES
    ):
        add("screen", "screens for nothing", ", ".join(SCREEN_FIGURES))
    if not policy.evidence.bases:
        add("evidence.bases", "allow no evidence at all", "measured, imported")
    if floor and policy.on_pass.move_alias is not None:
        add("on_pass.move_alias", "a floor moves no alias", "leave it out")
    return tuple(found)


SCREEN_FIGURES: Final = ("kl_mean", "kl_p99", "top1_agreement", "flips")


def _task_problems(rules: tuple[TaskRule, ...], *, floor: bool) -> list[Problem]:
    found: list[Problem] = []
    seen: set[tuple[str, str | None, LossKind]] = set()
    for number, rule in enumerate(rules):
        place = f"tasks[{number}]"
        top = 1.0 if rule.kind is LossKind.RELATIVE else 100.0
        if not 0 < rule.limit < top:
            problem, allowed = f"`{rule.margin}` is out of range", "above 0 and below 100 % or points"
            found.append(Problem(field=f"{place}.margin", problem=problem, allowed=allowed))
        if rule.task == ANY_TASK and not floor:
            allowed = "the name of a task; `*` is for floors"
            found.append(Problem(field=f"{place}.task", problem="`*` names no task", allowed=allowed))
        key = (rule.task.casefold(), rule.metric, rule.kind)
        if key in seen:
            allowed = "each task, metric and kind of margin once"
            found.append(
                Problem(field=f"{place}.task", problem=f"`{rule.title}` is given twice", allowed=allowed)
            )
        seen.add(key)
    return found


def _limit_problems(rule: Limit, place: str) -> list[Problem]:
    found: list[Problem] = []
    if (rule.at_most is None) == (rule.regression is None):
        found.append(
            Problem(
                field=place,
                problem="says both at_most and regression" if rule.at_most else "has no limit",
                allowed="exactly one of at_most and regression",
            )
        )
    if isinstance(rule, MemoryRule) and rule.at is None and rule.measure != "weights":
        found.append(
            Problem(
                field=f"{place}.at", problem="is missing", allowed="input_tokens, output_tokens, concurrency"
            )
        )
    try:
        _ = rule.limit
    except InvalidInput as error:
        found.append(
            Problem(
                field=f"{place}.at_most",
                problem=str(error.details["problem"]),
                allowed=str(error.details["allowed"]),
            )
        )
    return found


def regression_of(rule: Limit) -> float | None:
    """Return the regression a rule accepts, as a ratio."""
    return None if rule.regression is None else float(rule.regression.rstrip("% \t")) / 100
