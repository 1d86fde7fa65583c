"""The evidence a gate judges: gathered by whoever has it, and sorted here into what counts, what is stale, and what does not count."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from planner.domain.evaluation import Evaluation
from planner.domain.profile import Environment, Profile
from planner.domain.runtime import Runtime, canonical
from planner.domain.variant import Variant
from planner.gate.policy import DAY_SECONDS, EvidenceRule

_FIRST: Final = re.compile(r"\[:\d+\]$")
"""What the worker adds to the name of a task of which only the first items were used."""


@dataclass(frozen=True)
class Evidence:
    """What is known of a build and of what it is held against. Evaluations of the wanted tasks come with their records."""

    variant: Variant
    evaluations: tuple[Evaluation, ...]
    profiles: tuple[Profile, ...]
    reference: Variant | None = None
    reference_evaluations: tuple[Evaluation, ...] | None = None
    """None where the reference is the base, with which the build's own evaluations are paired."""
    reference_profiles: tuple[Profile, ...] = ()
    noise: tuple[Evaluation, ...] = ()
    """The base against itself."""
    no_bases: Mapping[str, str] = field(default_factory=dict[str, str])
    """Names of registered variants, by id, that evaluations are counted from and that are no base: they are quantized
    themselves, or of another model."""
    stored: frozenset[str] = frozenset()
    """sha256 of data sets that the store holds, which a worker can fetch."""

    def is_direct(self, evaluation: Evaluation) -> bool:
        """Return whether an evaluation of the build is itself one against what the build is held against."""
        if self.reference_evaluations is None:
            return evaluation.baseline_variant_id not in self.no_bases
        return self.reference is not None and evaluation.baseline_variant_id == self.reference.id


@dataclass
class Sorted:
    """Evaluations or profiles by whether they count."""

    usable: list[Evaluation] = field(default_factory=list[Evaluation])
    stale: list[str] = field(default_factory=list[str])
    refused: list[str] = field(default_factory=list[str])


def task_name(task: str) -> str:
    """Return the task without the mark of how many of its first items were used, casefolded."""
    return _FIRST.sub("", task).casefold()


def sort_evaluations(evaluations: Iterable[Evaluation], rule: EvidenceRule, *, now: datetime) -> Sorted:
    """Return the evaluations that count, newest first, and why others do not."""
    found = Sorted()
    for each in sorted(evaluations, key=_when, reverse=True):
        if each.basis not in rule.allowed:
            found.refused.append(f"{each.basis.value} evidence does not count here")
        elif each.doubt is not None:
            found.refused.append(f"{each.id} is in doubt: {each.doubt}")
        elif (reason := staleness(each.measured_at, each.environment, None, rule, now=now)) is not None:
            found.stale.append(reason)
        else:
            found.usable.append(each)
    return found


def staleness(
    measured_at: datetime | None,
    environment: Environment,
    runtime: Runtime | None,
    rule: EvidenceRule,
    *,
    now: datetime,
) -> str | None:
    """Return why evidence is too old or of another version, None when it is neither."""
    most = rule.max_age_seconds
    if most is not None:
        if measured_at is None:
            return f"it does not say when it was measured, and at most {rule.max_age} is allowed"
        age = (now - measured_at).total_seconds()
        if age > most:
            return f"it is {age / DAY_SECONDS:.1f} days old, at most {rule.max_age} is allowed"
    if not rule.versions:
        return None
    known = {canonical(name): version for name, version in environment.versions.items()}
    if runtime is not None and runtime.version is not None:
        known[canonical(runtime.name)] = runtime.version
    said = [name for name in rule.versions if canonical(name) in known]
    if not said:
        wanted = ", ".join(f"{name} {version}" for name, version in rule.versions.items())
        return f"it names none of the versions asked for ({wanted})"
    for name in said:
        if known[canonical(name)] != rule.versions[name]:
            return f"it is of {name} {known[canonical(name)]}, {rule.versions[name]} is asked for"
    return None


def asked_alike(first: Evaluation, other: Evaluation) -> bool:
    """Return whether two evaluations are of the same metric, data and protocol, whatever number of items they used."""
    return (task_name(first.task), first.metric, first.dataset_digest, first.protocol) == (
        task_name(other.task),
        other.metric,
        other.dataset_digest,
        other.protocol,
    )


def _when(evaluation: Evaluation) -> tuple[float, str]:
    return (evaluation.measured_at.timestamp() if evaluation.measured_at else 0.0, evaluation.id)
