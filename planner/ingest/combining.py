"""Joining the files of one run: results with their samples, speed with a log's memory, client with server counters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from planner.domain.profile import MemoryUse
from planner.errors import InvalidInput
from planner.ingest.imported import Finding, Imported, ProfileDraft, Samples, TaskScore, Timing
from planner.ingest.lints import accuracy, speed
from planner.ingest.lints.finding import refuse, warn

_SAME_SCORE: Final = 1e-6


def combine(parts: Sequence[Imported]) -> Imported:
    """Return the files of one run as one. Raises InvalidInput when they cannot be of one run."""
    if not parts:
        raise InvalidInput("file", "none is given", allowed="one result file or more")
    findings = [finding for part in parts for finding in part.findings]
    scores = tuple(score for part in parts for score in part.scores)
    samples = [some for part in parts for some in part.samples]
    if len({(score.task, score.metric) for score in scores}) < len(scores):
        raise InvalidInput("file", "two of them hold the same task", allowed="the files of one run")
    joined = _join(scores, samples, findings)
    for score in joined:
        accuracy.subset(findings, score)
    profiles = _profiles(parts, findings)
    lead = next((part for part in parts if part.scores or part.profiles or part.losses), parts[0])
    return msgspec.structs.replace(
        lead,
        format="+".join(dict.fromkeys(part.format for part in parts)),
        profiles=profiles,
        scores=joined,
        losses=tuple(loss for part in parts for loss in part.losses),
        samples=(),
        findings=tuple(dict.fromkeys(findings)),
    )


def _join(
    scores: tuple[TaskScore, ...], samples: list[Samples], findings: list[Finding]
) -> tuple[TaskScore, ...]:
    """Return the scores with the records of the samples that belong to them; without results, those of the samples."""
    result = {(score.task, score.metric): score for score in scores}
    tasks = dict.fromkeys(score.task for score in scores)
    for some in samples:
        task = some.task
        if tasks and task not in tasks:
            fitting = [name for name in tasks if _fits(result, name, some)]
            task = fitting[0] if len(fitting) == 1 else None
        if task is None:
            raise InvalidInput(
                some.name,
                "does not say which task its samples are of",
                allowed="the name the tool gave it, samples_TASK_TIME.jsonl, or the results of the same run beside it",
            )
        if tasks and not _fits(result, task, some):
            refuse(
                findings,
                "L14",
                f"{some.name}: its items do not give the score that the results state for {task}; not used",
            )
            continue
        for score in some.scores:
            held = result.get((task, score.metric))
            result[task, score.metric] = (
                msgspec.structs.replace(score, task=task)
                if held is None
                else msgspec.structs.replace(
                    held,
                    records=score.records,
                    chance=score.chance,
                    mean_length=score.mean_length,
                    dataset_digest=score.dataset_digest,
                )
            )
    return tuple(result.values())


def _fits(result: dict[tuple[str, str], TaskScore], task: str, samples: Samples) -> bool:
    """Return whether the means of the samples are the scores of the task, wherever the score is a mean of items."""
    for score in samples.scores:
        held = result.get((task, score.metric))
        if (
            held is not None
            and held.bounded
            and score.bounded
            and abs(held.score - score.score) > _SAME_SCORE
        ):
            return False
        if held is not None and held.items is not None and held.items != score.items:
            return False
    return any((task, score.metric) in result for score in samples.scores)


def _profiles(parts: Sequence[Imported], findings: list[Finding]) -> tuple[ProfileDraft, ...]:
    drafts = [draft for part in parts for draft in part.profiles]
    counters = [part.server_requests for part in parts if part.server_requests is not None]
    if counters and not drafts:
        raise InvalidInput(
            "file",
            "server counters alone say nothing",
            allowed="the lifecycle metrics of the same stage beside them",
        )
    judged = [_judged(draft, counters, findings) for draft in drafts]
    logs = [part for part in parts if part.memory is not None]
    if len(logs) > 1:
        raise InvalidInput("file", "two of them are engine logs", allowed="one log")
    for log in logs:
        judged = _with_memory(judged, log, findings)
    return tuple(judged)


def _judged(draft: ProfileDraft, counters: list[int], findings: list[Finding]) -> ProfileDraft:
    timings: list[Timing] = []
    for timing in draft.timings:
        kept = speed.coalesced(findings, timing)
        timings.append(speed.defined_alike(findings, kept))
    doubt = draft.doubt
    sent = [timing.facts.get("requests") for timing in draft.timings]
    if counters and len(sent) == 1 and isinstance(sent[0], int):
        speed.polluted_window(findings, client=sent[0], server=counters[0])
    return msgspec.structs.replace(draft, timings=tuple(timings), doubt=doubt)


def _with_memory(drafts: list[ProfileDraft], log: Imported, findings: list[Finding]) -> list[ProfileDraft]:
    memory, about = log.memory or MemoryUse(), log.memory_draft
    if about is None:
        return drafts
    if not drafts:
        return [about]
    result: list[ProfileDraft] = []
    for draft in drafts:
        if (
            draft.runtime is not None
            and about.runtime is not None
            and draft.runtime.name != about.runtime.name
        ):
            warn(
                findings,
                "L19",
                f"the log is of {about.runtime}, the times are of {draft.runtime}: its memory is not used",
            )
            result.append(draft)
            continue
        timings = tuple(msgspec.structs.replace(timing, memory=memory) for timing in draft.timings)
        result.append(
            msgspec.structs.replace(
                draft,
                timings=timings,
                runtime=draft.runtime or about.runtime,
                devices=draft.devices or about.devices,
                facts={**about.facts, **draft.facts},
                protocol=f"{draft.protocol}. {about.protocol}",
            )
        )
    return result
