"""Missing work: the jobs that would decide what a gate left open, in the shape in which workers take them.

An evaluation is asked for as many items as would decide; in sequential mode it is told the margin instead and stops by itself. Runs are
asked for one by one, those of the build and of the reference in turn, so that a drifting machine slows both alike.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from planner.domain.evaluation import Evaluation
from planner.domain.job import JobKind
from planner.domain.job_spec import SHIPPED_TASKS
from planner.domain.loss import LossKind
from planner.domain.profile import Profile
from planner.domain.runtime import canonical
from planner.domain.suggested_job import SuggestedJob
from planner.domain.units import GIB
from planner.domain.variant import Variant
from planner.gate.evidence import Evidence, task_name
from planner.gate.limits import runs_of
from planner.gate.policy import Limit, MemoryRule, Policy, Screen, TaskRule
from planner.gate.report import CheckState, GateCheck, GateJob
from planner.gate.tasks import Records, of_task

_OPEN: Final = frozenset({CheckState.INCONCLUSIVE, CheckState.MISSING, CheckState.STALE})
_SMALL_BYTES: Final = 2 * GIB
"""Weights up to this many bytes are evaluated anywhere."""
_DIGEST: Final = re.compile(r"(?:sha256:|blob:)([0-9a-f]{64})(?:\.(jsonl|txt))?")
MAX_RUNS: Final = 20
"""Most runs of one variant asked for at once: what needs more is decided by another look."""


def wanted_jobs(
    policy: Policy,
    evidence: Evidence,
    screen: Sequence[GateCheck],
    checks: Sequence[GateCheck],
    records: Mapping[int, Records],
    *,
    sequential: bool,
) -> tuple[GateJob, ...]:
    """Return the jobs for what is open; where the screen is, only those for it: nothing dear before something cheap."""
    if any(check.state is CheckState.FAIL for check in (*screen, *checks)):
        return ()
    waiting = [check for check in screen if check.state in _OPEN]
    if waiting and policy.screen is not None:
        return (GateJob(check=waiting[0].title, job=_screening(policy.screen, evidence)),)
    found: list[GateJob] = []
    for number, rule in enumerate(policy.tasks):
        check = checks[number]
        if check.state in _OPEN and _can_help(check):
            jobs = _evaluating(rule, policy, evidence, check, records.get(number), sequential=sequential)
            found += [GateJob(check=check.title, job=job) for job in jobs]
    for limit, check in zip(policy.limits, checks[len(policy.tasks) :], strict=True):
        if check.state in _OPEN and not (isinstance(limit, MemoryRule) and limit.measure == "weights"):
            found += [GateJob(check=check.title, job=job) for job in _measuring(limit, evidence, check)]
    return tuple(_once(found))


def _once(jobs: Sequence[GateJob]) -> Iterator[GateJob]:
    """Yield each job once: one run measures every time and size at its point."""
    seen: list[tuple[object, ...]] = []
    for each in jobs:
        key = (each.job.kind, each.job.spec, each.job.requires, each.job.note)
        if key not in seen:
            seen.append(key)
            yield each


def _can_help(check: GateCheck) -> bool:
    """Return whether more items can decide: not where the margin is under the noise, or the loss lies at it."""
    return check.state is not CheckState.INCONCLUSIVE or check.more is not None


def _registered(variant: Variant) -> dict[str, Any]:
    return {"from": "registry", "variant": variant.id}


def _blocked(*variants: Variant) -> str | None:
    missing = [each.name for each in variants if not each.is_fetchable]
    return f"the registry holds no files of {', '.join(missing)}" if missing else None


def _room(*variants: Variant) -> tuple[str, ...]:
    """Return the least memory of a device for the largest of the variants, and what any of them needs."""
    largest = max(each.weight_bytes.value for each in variants)
    needs = tuple(dict.fromkeys(need for each in variants for need in each.provenance.needs))
    if largest <= _SMALL_BYTES:
        return needs
    return ("cuda", f"vram>={math.ceil(largest / GIB)}GiB", *(need for need in needs if need != "cuda"))


def _base_of(variant: Variant, records: Records | None, evidence: Evidence) -> str | None:
    """Return the id of the base to evaluate against."""
    if records is not None and records.evaluation.baseline_variant_id is not None:
        return records.evaluation.baseline_variant_id
    known = [each.baseline_variant_id for each in evidence.evaluations if each.baseline_variant_id]
    wanted = [variant.provenance.base_variant_id, *known]
    return next((each for each in wanted if each is not None and each not in evidence.no_bases), None)


def _evaluating(
    rule: TaskRule,
    policy: Policy,
    evidence: Evidence,
    check: GateCheck,
    records: Records | None,
    *,
    sequential: bool,
) -> Iterator[SuggestedJob]:
    """Yield the evaluation of the build, and, where it is held against another variant, of that one on the same items."""
    known = of_task(evidence.evaluations, rule)
    latest = records.evaluation if records is not None else max(known, key=_when, default=None)
    is_text = rule.metric == "perplexity" or (latest is not None and latest.is_perplexity)
    digest = latest.dataset_digest if latest is not None else None
    data, problem = _data(rule.task, rule.source, digest, evidence, is_text=is_text)
    most: dict[str, Any] = {}
    if sequential and rule.kind is LossKind.RELATIVE and evidence.reference_evaluations is None:
        level = policy.alpha / max(1, len(policy.tasks) + len(policy.limits))
        most["certify"] = {"limit": rule.limit, "confidence": round(1 - level, 9)}
    elif check.more is not None:
        most["limit"] = (check.size or 0) + check.more
    sides = [evidence.variant]
    other = evidence.reference if evidence.reference_evaluations is not None else None
    base = _base_of(evidence.variant, records, evidence)
    if (
        other is not None and other.id != base
    ):  # against the base itself, the build's own evaluation is all it takes
        sides.append(other)
    for variant in sides:
        base = _base_of(variant, records, evidence)
        spec: dict[str, Any] = {
            "variant": _registered(variant),
            "baseline": {"from": "registry", "variant": base or f"{variant.model_id}/baseline"},
            **data,
            **most,
        }
        blocked = problem or _blocked(variant)
        if blocked is None and base is None:
            blocked = f"it is not known what {variant.name} was built from: register it with its base"
        yield SuggestedJob(kind=JobKind.EVALUATE, spec=spec, requires=_room(variant), blocked=blocked)


def _when(evaluation: Evaluation) -> float:
    return evaluation.measured_at.timestamp() if evaluation.measured_at else 0.0


def _screening(screen: Screen, evidence: Evidence) -> SuggestedJob:
    variant = evidence.variant
    with_fidelity = next((each for each in evidence.evaluations if each.fidelity is not None), None)
    digest = with_fidelity.dataset_digest if with_fidelity is not None else None
    data, problem = _data(screen.task or "", screen.source or "reference", digest, evidence, is_text=True)
    base = _base_of(variant, None, evidence)
    if problem is None and base is None:
        problem = f"it is not known what {variant.name} was built from: register it with its base"
    return SuggestedJob(
        kind=JobKind.EVALUATE,
        spec={
            "variant": _registered(variant),
            "baseline": {"from": "registry", "variant": base or f"{variant.model_id}/baseline"},
            **data,
        },
        requires=_room(variant),
        blocked=problem or _blocked(variant),
    )


def _data(
    task: str, source: str | None, digest: str | None, evidence: Evidence, *, is_text: bool
) -> tuple[dict[str, Any], str | None]:
    """Return the fields of a job that name its data, and why there are none."""
    shipped = task_name(task) in SHIPPED_TASKS
    if source is None:
        match = _DIGEST.fullmatch(digest or "")
        if match is not None and match.group(1) in evidence.stored:
            source = f"blob:{match.group(1)}"
        elif shipped or (is_text and digest is None):
            source = "reference"
        else:
            return {}, f"no `source` is named for {task}, and the store holds no data of it"
    if source == "reference":
        if shipped and not is_text:
            return {"tasks": [{"from": "reference", "task": task_name(task)}]}, None
        if is_text:
            return {"dataset": {"from": "reference"}}, None
        return {}, f"`{task}` does not come with workers, only {', '.join(SHIPPED_TASKS)} do"
    match = _DIGEST.fullmatch(source)
    if match is None:
        return {}, f"`{source}` is no source"
    blob = {"from": "blob", "sha256": match.group(1), "format": match.group(2) or "jsonl"}
    return {"dataset": {**blob, "name": task_name(task)}} if is_text else {"tasks": [blob]}, None


def _measuring(rule: Limit, evidence: Evidence, check: GateCheck) -> Iterator[SuggestedJob]:
    """Yield runs of the build, and of the reference where it is compared, in turn."""
    wants_reference = rule.regression is not None
    if wants_reference and evidence.reference is None:
        return
    mine = runs_of(rule, evidence.profiles)
    theirs = runs_of(rule, evidence.reference_profiles)
    known = max(
        (profile for profile, _ in (*mine, *theirs)),
        key=lambda each: each.measured_at.timestamp() if each.measured_at else 0.0,
        default=None,
    )
    missing = check.more if check.state is CheckState.INCONCLUSIVE else rule.repeats
    if missing is None:
        return
    for number in range(min(missing, MAX_RUNS)):
        yield _run(rule, evidence.variant, known, number)
        if wants_reference and evidence.reference is not None:
            yield _run(rule, evidence.reference, known, number)


def _run(rule: Limit, variant: Variant, known: Profile | None, number: int) -> SuggestedJob:
    conditions: dict[str, Any] = {"tainted": "refuse"}
    if rule.at is not None:
        point = rule.at
        conditions["workloads"] = [
            {
                "input_tokens": point.input_tokens,
                "output_tokens": point.output_tokens,
                "concurrency": point.concurrency,
            }
        ]
    device = rule.device or (known.device_id if known is not None else None)
    engine = canonical(rule.runtime or (known.runtime.name if known is not None else "transformers"))
    blocked = _blocked(variant)
    if engine != "transformers":
        blocked = (
            f"workers start transformers only: measure a {engine} server with `worker measure --endpoint`"
        )
    elif device is None:
        blocked = "the policy names no device, and nothing was measured on any"
    if known is not None and known.runtime.mode in {"eager", "compiled"}:
        conditions["mode"] = known.runtime.mode
    if known is not None and known.devices > 1:
        conditions["tensor_parallel"] = known.devices
    several = (f"gpus>={known.devices}",) if known is not None and known.devices > 1 else ()
    return SuggestedJob(
        kind=JobKind.MEASURE,
        spec={"variant": _registered(variant), "conditions": conditions},
        requires=(
            *((f"device:{device}",) if device else ()),
            *several,
            *dict.fromkeys(variant.provenance.needs),
        ),
        blocked=blocked,
        note=f"run {number + 1}",
    )
