"""What a gate says: one check for each rule, a verdict over all, what was done about it, and what is missing."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from planner.domain.figure import Figure
from planner.domain.suggested_job import SuggestedJob
from planner.gate.floor import Raised
from planner.gate.policy import Policy


class GateVerdict(StrEnum):
    """Of the whole gate."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class CheckState(StrEnum):
    """Of one check."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    """The evidence is there and does not decide."""
    MISSING = "missing"
    STALE = "stale"
    SKIPPED = "skipped"
    """Not judged, because the screen failed."""


class CheckKind(StrEnum):
    """What kind of rule a check is of."""

    SCREEN = "screen"
    TASK = "task"
    LATENCY = "latency"
    MEMORY = "memory"


class GateCheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rule, judged."""

    kind: CheckKind
    name: str
    rule: str
    """What is asked, in words: "loss <= 1 %"."""
    state: CheckState
    reason: str
    """The verdict in a sentence."""
    field: str | None = None
    """The rule's place in the policy, "tasks[0]"."""
    figure: Figure | None = None
    """What was found; its interval's ends are the bounds that decide, at the levels below."""
    limit: float | None = None
    """In the unit of the figure."""
    p_below: float | None = None
    """Chance of records this good if the truth were at the limit, adjusted over all checks; a pass has at most 1 - confidence."""
    p_above: float | None = None
    """Chance of records this bad; a fail has at most 1 - confidence."""
    size: int | None = None
    """Items, documents or runs."""
    minimum_detectable: Figure | None = None
    """How far from the limit the truth must be to be decided by so many, with power 0.9."""
    more: int | None = None
    """About how many more items, documents or runs (of each) would decide."""
    noise_floor: float | None = None
    """What the baseline loses against itself, in the unit of the figure."""
    method: str | None = None
    evidence: tuple[str, ...] = ()
    """What was judged, or, where nothing of it counts, what there was."""
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Kind and name."""
        return f"{self.kind.value} {self.name}"


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    """An item on which the build and what it is held against differ. `change` is positive where the build is worse."""

    id: str
    reference: float
    variant: float
    change: float


class Flips(msgspec.Struct, frozen=True, kw_only=True):
    """The items of a task that changed, worst first. For text, documents by nats per token."""

    task: str
    metric: str
    worse: int
    better: int
    items: tuple[Flip, ...]


class JobStanding(StrEnum):
    """What became of a job that would decide a check."""

    WANTED = "wanted"
    """Not queued: it was not asked for."""
    QUEUED = "queued"
    ALREADY = "already queued"
    BLOCKED = "blocked"
    ENDED = "ended"
    """It ran on this very evidence, and gave no more."""


class GateJob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Work that would decide a check."""

    check: str
    job: SuggestedJob
    state: JobStanding = JobStanding.WANTED
    job_id: str | None = None
    detail: str | None = None


class Effect(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the verdict did, or why it did not."""

    kind: str
    """ "alias" or "quarantine"."""
    done: bool
    detail: str


class GateReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A gate's answer."""

    id: str
    variant_id: str
    name: str
    model_id: str
    against: str
    reference_id: str | None = None
    """The variant held against; None where it is a base that is not registered."""
    verdict: GateVerdict
    sentence: str
    checks: tuple[GateCheck, ...]
    policy: Policy
    """In force: with the floor applied."""
    raised: tuple[Raised, ...] = ()
    sequential: bool = False
    judged_at: datetime
    effects: tuple[Effect, ...] = ()
    jobs: tuple[GateJob, ...] = ()
    flips: tuple[Flips, ...] = ()
    actor: str | None = None

    @property
    def exit_code(self) -> int:
        """0 pass, 3 fail, 4 inconclusive or evidence missing; 1 where a pass or fail could not do what it was to do."""
        if any(not effect.done for effect in self.effects):
            return 1
        return {GateVerdict.PASS: 0, GateVerdict.FAIL: 3, GateVerdict.INCONCLUSIVE: 4}[self.verdict]


def verdict_of(checks: tuple[GateCheck, ...]) -> GateVerdict:
    """Return the verdict over checks: one failure fails, and only what is all passed passes."""
    states = {check.state for check in checks}
    if CheckState.FAIL in states:
        return GateVerdict.FAIL
    return GateVerdict.PASS if states == {CheckState.PASS} else GateVerdict.INCONCLUSIVE


def sentence_of(checks: tuple[GateCheck, ...]) -> str:
    """Return the verdict in a sentence that names what decides."""
    verdict = verdict_of(checks)
    if verdict is GateVerdict.PASS:
        count = len(checks)
        return f"{count} of {count} checks pass" if count > 1 else f"{checks[0].name}: {checks[0].reason}"
    wanted = {CheckState.FAIL} if verdict is GateVerdict.FAIL else set(CheckState) - {CheckState.PASS}
    parts = [f"{check.name}: {check.reason}" for check in checks if check.state in wanted]
    return "; ".join(parts[:3]) + (f"; and {len(parts) - 3} more" if len(parts) > 3 else "")
