"""Explanation: every constraint of a question on one variant, with evidence, and why another one is ranked before it.

A constraint is shown as it was asked, as it was in effect, and with the figure it was held against; a failing one comes
with the least change that would let this variant pass it, on the grid that relaxations are offered on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from planner.choose.candidate import candidate_at, check_of
from planner.choose.feasible import MEMORY, MODEL, Assessment, Judgement, assess_rows, assess_selected
from planner.choose.index import Index
from planner.choose.loosen import loosen
from planner.choose.rank import objective_values, rank, ranking_keys
from planner.choose.setting import resolve
from planner.domain.constraint import LossLimit
from planner.domain.evaluation import Evaluation
from planner.domain.explanation import EvidenceLink, Finding, Needed, Outranked
from planner.domain.figure import Figure
from planner.domain.outcome import Candidate
from planner.domain.profile import Profile
from planner.domain.scenario import Objective, Origin, Scenario
from planner.domain.units import Unit, format_bytes, format_ratio, format_seconds, format_value
from planner.estimate.columns import Integers

_ORIGINS: Final = {"context": "workload.input_tokens", "memory": "hardware", "parallelism": "hardware"}
_TIERS: Final = ("certain", "speed only likely", "loss only likely", "loss and speed only likely")
_WORDS: Final = {
    "standing": "whether it is deprecated",
    "certainty": "how surely the limits are kept",
    "parameters": "parameters of the model",
    "bits": "bits kept, the loss not being known",
    "loss": "loss",
    "memory": "peak memory",
    "files": "whether the files are held",
    "id": "the id, everything else being equal",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One variant in one question."""

    candidate: Candidate
    chosen: bool
    findings: tuple[Finding, ...]
    outranked: Outranked | None
    needed: tuple[Needed, ...]


def explain(scenario: Scenario, index: Index, variant_id: str, *, now: datetime | None = None) -> Explanation:
    """Return how a variant fares in `scenario`. Raises NotFound for an unknown variant, device or model."""
    row = index.row_of(variant_id)
    setting = resolve(scenario, index, now=now)
    if setting.means(row):
        assessment = assess_selected(index, setting)
        position = int(np.searchsorted(assessment.rows, row))
    else:
        assessment, position = assess_rows(index, setting, np.array([row], dtype=np.int64)), 0
    candidate = candidate_at(assessment, position)
    findings = tuple(_findings(assessment, position, candidate))
    satisfies = not any(finding.fails for finding in findings)
    order = rank(assessment, at_least=1) if setting.means(row) else np.zeros(0, dtype=np.int64)
    chosen = bool(len(order)) and int(order[0]) == position
    return Explanation(
        candidate=candidate,
        chosen=chosen,
        findings=findings,
        outranked=_outranked(assessment, position, int(order[0])) if satisfies and not chosen else None,
        needed=tuple(_needed(assessment, position)),
    )


def _findings(assessment: Assessment, position: int, candidate: Candidate) -> Iterator[Finding]:
    """Yield the model, then every constraint in the order in which it is judged."""
    scenario = assessment.setting.scenario
    model = next(check for check in candidate.checks if check.key == MODEL)
    yield Finding(
        key=MODEL,
        asked=model.asked,
        origin=scenario.origin(MODEL),
        effective=model.asked,
        verdict=model.verdict,
        detail=model.detail,
    )
    for judgement in assessment.judgements:
        check = check_of(assessment, judgement, position)
        yield Finding(
            key=judgement.key,
            asked=judgement.asked,
            origin=_origin(scenario, judgement.key),
            effective=_effective(assessment, judgement),
            verdict=check.verdict,
            figure=check.figure,
            margin=_margin(judgement, position),
            detail=check.detail,
            evidence=evidence_links(assessment, position, check.figure),
        )


def _origin(scenario: Scenario, key: str) -> Origin:
    return scenario.origin(_ORIGINS.get(key, key))


def _margin(judgement: Judgement, position: int) -> float | None:
    if judgement.margin is None:
        return None
    margin = float(judgement.margin[position])
    return margin if np.isfinite(margin) else None


def _effective(assessment: Assessment, judgement: Judgement) -> str:
    """Return the bound as it was really held against a figure."""
    constraint, setting = judgement.constraint, assessment.setting
    if isinstance(constraint, LossLimit):
        how = "certified only" if constraint.certified_only else "certified, else likely"
        over = f"of {constraint.task}" if constraint.task else "over all tasks measured on both sides"
        return (
            f"{constraint.kind.value} loss {over}, {how} at {format_ratio(constraint.confidence)} one-sided"
        )
    if judgement.key == MEMORY and setting.capacity is not None:
        usable = format_bytes(setting.capacity.value)
        why = f" ({setting.capacity.note})" if setting.capacity.note else ""
        risk = format_ratio(setting.scenario.risk)
        return f"peak ≤ {usable} usable{why}, exceeded with a probability of at most {risk}"
    if judgement.key == "context":
        workload = setting.scenario.workload
        return f"{workload.input_tokens:,} tokens in and {workload.output_tokens:,} out"
    device = setting.device
    where = f" on {device.name}" if device is not None and judgement.value is not None else ""
    return f"{judgement.asked}{where}"


def evidence_links(assessment: Assessment, position: int, figure: Figure | None) -> tuple[EvidenceLink, ...]:
    """Return where the evidence behind a figure of a position can be read."""
    if figure is None:
        return ()
    row = int(assessment.rows[position])
    index = assessment.index
    known: dict[str, Evaluation | Profile] = {each.id: each for each in index.evaluations_of(row)}
    if assessment.evidence is not None:
        known |= {each.id: each for each in assessment.evidence.profiles if each.id in figure.evidence}
    variant = index.records[row]
    return tuple(_link(each, known.get(each), variant.id) for each in figure.evidence)


def _link(identity: str, found: Evaluation | Profile | None, variant_id: str) -> EvidenceLink:
    if found is None:
        return EvidenceLink(id=identity, kind="source", citation=identity)
    kind, table = ("evaluation", "evaluations") if isinstance(found, Evaluation) else ("profile", "profiles")
    return EvidenceLink(
        id=identity,
        kind=kind,
        basis=found.basis,
        citation=found.citation,
        route=f"/api/v1/{table}?variant={found.variant_id or variant_id}",
    )


def _outranked(assessment: Assessment, position: int, chosen: int) -> Outranked:
    """Return which key of the ranking decided for the chosen position, and both values."""
    order: Integers = rank(assessment, at_least=len(assessment.rows))
    pair = np.array([position, chosen])
    values = objective_values(assessment)
    keys = ranking_keys(
        assessment,
        pair,
        tier=assessment.tier[pair],
        values=values[pair],
        loss=assessment.loss[pair],
        total=assessment.total.value[pair],
    )
    name = next(name for name, key in keys if key[0] != key[1])
    variant = assessment.index.records[int(assessment.rows[chosen])]
    objective = assessment.setting.scenario.objective
    title = f"objective {objective.value}" if name == "objective" else _WORDS[name]
    return Outranked(
        variant_id=variant.id,
        name=variant.name,
        key=title,
        own=_shown(assessment, name, position),
        theirs=_shown(assessment, name, chosen),
        place=int(np.flatnonzero(order == position)[0]) + 1,
        of=len(order),
    )


def _shown(assessment: Assessment, name: str, position: int) -> str:
    index, row = assessment.index, int(assessment.rows[position])
    match name:
        case "standing":
            return index.standing.words(row)
        case "certainty":
            return _TIERS[int(assessment.tier[position])]
        case "parameters":
            return f"{index.parameters[row] / 1e9:.3g} billion"
        case "bits":
            return f"{index.bits[row]:.3g} bits"
        case "memory":
            return format_bytes(float(assessment.total.value[position]))
        case "files":
            return "held" if index.fetchable[row] else "not held"
        case "id":
            return index.records[row].id
        case "loss":
            return _loss(assessment, float(assessment.loss[position]))
        case _:
            return _objective(assessment, position, float(objective_values(assessment)[position]))


def _loss(assessment: Assessment, value: float) -> str:
    if np.isnan(value):
        return "not known"
    limit = assessment.limit
    absolute = limit is not None and limit.kind.value == "absolute"
    return format_value(value, Unit.POINTS if absolute else Unit.RATIO)


def _objective(assessment: Assessment, position: int, value: float) -> str:
    if np.isinf(value):
        return "not known"
    speeds = assessment.speeds
    match assessment.setting.scenario.objective:
        case Objective.MOST_ACCURATE:
            return _loss(assessment, value)
        case Objective.FASTEST if value == speeds.of("tpot").value[position]:
            return f"{format_seconds(value)} per output token"
        case Objective.HIGHEST_THROUGHPUT if value == speeds.of("per_token").value[position]:
            return f"{1 / value:.3g} tokens/s"
        case _ if value == assessment.total.value[position] * assessment.terms.degree[position]:
            return f"{format_bytes(value)} of device memory"
        case Objective.CHEAPEST:
            price = assessment.setting.scenario.price
            return f"{price.currency if price else ''} {value:.4g} per million generated tokens".strip()
        case Objective.SMALLEST:
            return f"{format_bytes(value)} of weights"
        case _:
            return f"{format_bytes(value)} of weights read per token"


def _needed(assessment: Assessment, position: int) -> Iterator[Needed]:
    """Yield the least change of each constraint that this position fails."""
    at = np.array([position], dtype=np.int64)
    failing: Sequence[Judgement] = [
        judgement
        for judgement, failed in zip(assessment.judgements, assessment.failures[:, position], strict=True)
        if failed
    ]
    for judgement in failing:
        change = next(iter(loosen(assessment, judgement, at)), None)
        if change is not None:
            yield Needed(key=change.key, before=change.before, after=change.after, change=change.amount)
