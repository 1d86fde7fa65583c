"""The gate's verdict: screen, then tasks and limits together, and what would decide what is open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from planner.gate.evidence import Evidence
from planner.gate.limits import limit_trial
from planner.gate.missing_work import wanted_jobs
from planner.gate.policy import Policy
from planner.gate.report import (
    CheckKind,
    CheckState,
    Flips,
    GateCheck,
    GateJob,
    GateVerdict,
    sentence_of,
    verdict_of,
)
from planner.gate.screen import screen_checks
from planner.gate.tasks import Records, flips_of, task_trial
from planner.gate.trial import Trial, decide


@dataclass(frozen=True)
class Judgement:
    """What the evidence says about a policy."""

    verdict: GateVerdict
    sentence: str
    checks: tuple[GateCheck, ...]
    jobs: tuple[GateJob, ...]
    flips: tuple[Flips, ...]


def judge(
    policy: Policy, evidence: Evidence, *, now: datetime, sequential: bool = False, flips: bool = False
) -> Judgement:
    """Return the verdict of `policy` on the evidence; `sequential` uses only tests that may be looked at again and again."""
    screen = screen_checks(policy, evidence, now=now)
    trials: list[Trial] = []
    records: dict[int, Records] = {}
    for number, rule in enumerate(policy.tasks):
        trial, found = task_trial(rule, policy, evidence, now=now, sequential=sequential)
        trials.append(_placed(trial, f"tasks[{number}]"))
        if found is not None:
            records[number] = found
    fields = [f"latency[{number}]" for number in range(len(policy.latency))]
    fields += [f"memory[{number}]" for number in range(len(policy.memory))]
    trials += [
        _placed(limit_trial(limit, policy, evidence, now=now), field)
        for limit, field in zip(policy.limits, fields, strict=True)
    ]
    if any(check.state is CheckState.FAIL for check in screen):
        rest = tuple(_skipped(trial.check) for trial in trials)
    else:
        rest = decide(trials, alpha=policy.alpha)
    checks = (*screen, *rest)
    return Judgement(
        verdict=verdict_of(checks),
        sentence=sentence_of(checks),
        checks=checks,
        jobs=wanted_jobs(policy, evidence, screen, rest, records, sequential=sequential),
        flips=tuple(flips_of(found) for found in records.values()) if flips else (),
    )


def _placed(trial: Trial, field: str) -> Trial:
    return replace(trial, check=msgspec.structs.replace(trial.check, field=field))


def _skipped(check: GateCheck) -> GateCheck:
    if check.kind is CheckKind.MEMORY and check.p_above is not None:
        return check
    return msgspec.structs.replace(
        check, state=CheckState.SKIPPED, reason="not judged: the screen failed before it"
    )
