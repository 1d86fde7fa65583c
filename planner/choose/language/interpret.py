"""What the clauses of a query mean together: a scenario, with the origin of every part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from planner.choose.language import words
from planner.choose.language.amounts import contradiction, pointing_at, refuse_bound, whole
from planner.choose.language.clauses import (
    AnyHardware,
    BareNumber,
    Clause,
    ObjectiveNamed,
    PresetNamed,
    Refused,
    RequestRateStated,
    RiskStated,
    Separator,
    WorkloadPart,
    WorkloadStated,
)
from planner.choose.language.gathered import Limits, constraint_order
from planner.choose.language.limits import read_limits
from planner.choose.language.selection import select_hardware, select_model
from planner.choose.language.text import Source
from planner.choose.language.vocabulary import Vocabulary
from planner.domain.constraint import Constraint, Direction, LossLimit
from planner.domain.scenario import (
    DEFAULT_RISK,
    Hardware,
    ModelSelector,
    Objective,
    Origin,
    Preset,
    Scenario,
    SelectorKind,
)
from planner.domain.workload import Workload

C = TypeVar("C", bound=Clause)

_MAX_TOKENS: Final = 100_000_000
_MAX_CONCURRENCY: Final = 1_000_000


def interpret(source: Source, clauses: Sequence[Clause], vocabulary: Vocabulary) -> Scenario:
    """Return the scenario meant by `clauses`. Raises InvalidQuery on contradictions and impossible numbers."""
    _refuse(source, clauses)
    preset = _preset(source, clauses, vocabulary)
    origins: dict[str, Origin] = {}
    model = select_model(source, clauses, vocabulary)
    hardware = select_hardware(source, clauses, vocabulary)
    says_hardware = hardware is not None or bool(_of(clauses, AnyHardware))
    origins["model"] = Origin.DEFAULT if model is None else Origin.ASKED
    origins["hardware"] = Origin.ASKED if says_hardware else Origin.DEFAULT
    workload = _workload(source, clauses, preset, origins)
    workload = _within_context(workload, model, vocabulary, origins)
    limits = read_limits(source, clauses)
    constraints = _constraints(limits, preset, origins)
    objective = _objective(source, clauses, origins)
    if objective is None and preset is not None:
        objective, origins["objective"] = preset.objective, Origin.PRESET
    risk = _risk(source, clauses, origins)
    return Scenario(
        model=model or ModelSelector(),
        hardware=hardware,
        workload=workload,
        constraints=constraints,
        objective=objective or default_objective(hardware, constraints),
        risk=risk,
        rate=_rate(source, clauses, origins),
        preset=None if preset is None else preset.id,
        origins=origins,
    )


def default_objective(hardware: Hardware | None, constraints: Sequence[Constraint]) -> Objective:
    """Return what is optimized when nobody says: the quantity the question leaves unbounded.

    Hardware bounds memory, so accuracy is left; without it, a loss limit bounds accuracy, so size is left.
    """
    if hardware is None and any(isinstance(constraint, LossLimit) for constraint in constraints):
        return Objective.SMALLEST
    return Objective.MOST_ACCURATE


def _of(clauses: Sequence[Clause], kind: type[C]) -> list[C]:
    return [clause for clause in clauses if isinstance(clause, kind)]


def _refuse(source: Source, clauses: Sequence[Clause]) -> None:
    """Raise InvalidQuery on a query without content and on clauses that are understood but cannot be answered."""
    if all(isinstance(clause, Separator) for clause in clauses):
        raise source.error("nothing is asked for", 0, len(source.text), expected=words.CLAUSES)
    for refused in _of(clauses, Refused):
        why, instead = words.REFUSALS[refused.reason]
        text = source.original_slice(refused.start, refused.end)
        raise source.error(f"`{text}`: {why}", refused.start, refused.end, suggestion=instead)
    for number in _of(clauses, BareNumber):
        text = source.original_slice(number.start, number.end)
        meanings = ("B` (model size)", "GB` (memory)", "%` (loss)", " users`", " tokens`")
        raise source.error(
            f"`{text}` does not say what it counts",
            number.start,
            number.end,
            expected=tuple(f"`{text}{meaning}" for meaning in meanings),
        )


def _preset(source: Source, clauses: Sequence[Clause], vocabulary: Vocabulary) -> Preset | None:
    named = _of(clauses, PresetNamed)
    for other in named[1:]:
        if other.preset_id != named[0].preset_id:
            raise contradiction(source, "preset", named[0], other)
    return vocabulary.preset(named[0].preset_id) if named else None


# -- workload


def _within_context(
    workload: Workload, model: ModelSelector | None, vocabulary: Vocabulary, origins: dict[str, Origin]
) -> Workload:
    """Return the workload with default input tokens cut to what the model asked for can hold; asked ones stand."""
    if (
        model is None
        or model.kind is not SelectorKind.MODEL
        or origins["workload.input_tokens"] is not Origin.DEFAULT
    ):
        return workload
    context = next((m.architecture.max_context for m in vocabulary.models if m.id == model.value), None)
    if context is None or workload.context_tokens <= context or workload.output_tokens >= context:
        return workload
    return msgspec.structs.replace(workload, input_tokens=context - workload.output_tokens)


def _workload(
    source: Source, clauses: Sequence[Clause], preset: Preset | None, origins: dict[str, Origin]
) -> Workload:
    base = Workload() if preset is None else preset.workload
    base_origin = Origin.DEFAULT if preset is None else Origin.PRESET
    said = _stated_workload(source, clauses)
    values: dict[str, int] = {}
    for name, part in _PARTS.items():
        asked = part in said
        values[name] = said[part][1] if asked else getattr(base, name)
        origins[f"workload.{name}"] = Origin.ASKED if asked else base_origin
    if WorkloadPart.CONTEXT in said:
        _fit_context(source, said, values, origins)
    return Workload(**values)


_PARTS: Final = {
    "input_tokens": WorkloadPart.INPUT,
    "output_tokens": WorkloadPart.OUTPUT,
    "concurrency": WorkloadPart.CONCURRENCY,
}


def _stated_workload(
    source: Source, clauses: Sequence[Clause]
) -> dict[WorkloadPart, tuple[WorkloadStated, int]]:
    said: dict[WorkloadPart, tuple[WorkloadStated, int]] = {}
    for clause in _of(clauses, WorkloadStated):
        if clause.part in said:
            raise contradiction(source, clause.part.value, said[clause.part][0], clause)
        top = _MAX_CONCURRENCY if clause.part is WorkloadPart.CONCURRENCY else _MAX_TOKENS
        said[clause.part] = (clause, whole(source, clause.amount, f"workload.{clause.part.value}", top=top))
    return said


def _fit_context(
    source: Source,
    said: dict[WorkloadPart, tuple[WorkloadStated, int]],
    values: dict[str, int],
    origins: dict[str, Origin],
) -> None:
    """Split a context between input and output: the part that was not asked for takes what the other leaves."""
    clause, context = said[WorkloadPart.CONTEXT]
    if WorkloadPart.INPUT in said and WorkloadPart.OUTPUT in said:
        if values["input_tokens"] + values["output_tokens"] != context:
            raise source.error(
                f"{values['input_tokens']} input and {values['output_tokens']} output tokens are not a context of {context}",
                clause.start,
                clause.end,
                expected=(
                    f"a context of {values['input_tokens'] + values['output_tokens']}",
                    "two of the three",
                ),
            )
        return
    filled, kept = (
        ("output_tokens", "input_tokens") if WorkloadPart.INPUT in said else ("input_tokens", "output_tokens")
    )
    if context <= values[kept]:
        raise source.error(
            f"a context of {context} tokens leaves none beside {values[kept]} {kept.replace('_', ' ')}",
            clause.start,
            clause.end,
            expected=(f"more than {values[kept]} tokens", f"fewer {kept.replace('_', ' ')}"),
        )
    values[filled] = context - values[kept]
    origins[f"workload.{filled}"] = Origin.ASKED


# -- constraints, objective, risk


def _constraints(limits: Limits, preset: Preset | None, origins: dict[str, Origin]) -> tuple[Constraint, ...]:
    chosen = dict(limits.asked)
    origins.update(dict.fromkeys(limits.asked, Origin.ASKED), **limits.origins)
    for constraint in () if preset is None else preset.constraints:
        if constraint.key not in chosen and constraint.key not in limits.unlimited:
            adjusted = _adjusted(constraint, limits)
            chosen[constraint.key] = adjusted
            origins[constraint.key] = Origin.PRESET if adjusted == constraint else Origin.ASKED
    place = limits.certified or (limits.confidence[0] if limits.confidence else None)
    if place is not None and not any(isinstance(constraint, LossLimit) for constraint in chosen.values()):
        raise limits.source.error(
            "there is no loss limit to certify", place.start, place.end, expected=("`≤1% loss certified`",)
        )
    return tuple(chosen[key] for key in sorted(chosen, key=constraint_order))


def _adjusted(constraint: Constraint, limits: Limits) -> Constraint:
    """Return a preset's loss limit with the certainty the query asks of every loss limit."""
    if not isinstance(constraint, LossLimit):
        return constraint
    return msgspec.structs.replace(
        constraint,
        certified_only=constraint.certified_only or limits.certified is not None,
        confidence=limits.confidence[1] if limits.confidence else constraint.confidence,
    )


def _objective(source: Source, clauses: Sequence[Clause], origins: dict[str, Origin]) -> Objective | None:
    named = _of(clauses, ObjectiveNamed)
    for other in named[1:]:
        if other.objective is not named[0].objective:
            raise contradiction(source, "objective", named[0], other)
    origins["objective"] = Origin.ASKED if named else Origin.DEFAULT
    return named[0].objective if named else None


def _risk(source: Source, clauses: Sequence[Clause], origins: dict[str, Origin]) -> float:
    stated = _of(clauses, RiskStated)
    if len(stated) > 1:
        raise contradiction(source, "risk", stated[0], stated[1])
    if not stated:
        origins["risk"] = Origin.DEFAULT
        return DEFAULT_RISK
    amount = stated[0].amount
    refuse_bound(source, amount, Direction.UP, "risk is bounded from above", f"risk ≤ {amount.number:f}%")
    origins["risk"] = Origin.ASKED
    risk = float(amount.number / 100)
    with pointing_at(source, amount):
        Scenario(risk=risk)
    return risk


def _rate(source: Source, clauses: Sequence[Clause], origins: dict[str, Origin]) -> float | None:
    stated = _of(clauses, RequestRateStated)
    for other in stated[1:]:
        if other.amount.number != stated[0].amount.number:
            raise contradiction(source, "request rate", stated[0], other)
    if not stated:
        return None
    amount = stated[0].amount
    refuse_bound(
        source, amount, Direction.DOWN, "a request rate is what has to be served", "20 requests per second"
    )
    origins["rate"] = Origin.ASKED
    rate = float(amount.number)
    with pointing_at(source, amount):
        Scenario(rate=rate)
    return rate
