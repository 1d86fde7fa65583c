"""Explanations: why the chosen one is the answer, and why each of the others is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from planner.choose.candidate import UNMEASURED, detail_of, figure_of, unknown_speed
from planner.choose.feasible import CONTEXT, MEMORY, MODEL, Assessment, Judgement
from planner.choose.losses import VERDICTS
from planner.choose.rank import objective_values, token_costs
from planner.domain.constraint import CostLimit, DiskLimit, LatencyLimit, LossLimit, ThroughputFloor
from planner.domain.figure import Figure
from planner.domain.outcome import Candidate, CostAnswer, Elimination, LossAnswer, Placement, Verdict
from planner.domain.scenario import Objective
from planner.domain.units import Unit, format_bytes, format_seconds, format_value
from planner.estimate.columns import Floats, Integers

MAX_LISTED: Final = 100
OBJECTIVE: Final = "objective"
LIKELY_LOSS: Final = 2
"""Tier from which the loss is only likely to satisfy its limit."""
_MADE_FOR: Final = {
    Objective.MOST_ACCURATE: "the least loss",
    Objective.FASTEST: "the least time per output token",
    Objective.SMALLEST: "the fewest weight bytes",
    Objective.CHEAPEST: "the least device memory in total",
    Objective.HIGHEST_THROUGHPUT: "the most tokens per second",
}


_UNKNOWN_OF: Final = {Objective.MOST_ACCURATE: "loss", Objective.CHEAPEST: "cost"}


def _aim(assessment: Assessment) -> str:
    """Return what the objective looks for: of the cheapest, the cost where it is known."""
    scenario = assessment.setting.scenario
    objective = scenario.objective
    if objective is Objective.CHEAPEST and scenario.price is not None and assessment.is_known("per_token"):
        return "the least cost per million output tokens"
    return _MADE_FOR[objective]


def with_interval(figure: Figure) -> str:
    """Return a figure in words with interval and basis: "0.42 % (0.1 % to 0.7 %, measured)"."""
    interval = figure.interval
    if interval is None:
        return f"{figure} (interval unknown, {figure.basis.value})"
    if interval.lo == interval.hi:
        return f"{figure} ({figure.basis.value})"
    ends = " to ".join(format_value(end, figure.unit) for end in (interval.lo, interval.hi))
    return f"{figure} ({ends}, {figure.basis.value})"


def _loss_sentence(loss: LossAnswer) -> str:
    if not loss.tasks:
        return "Loses nothing by definition: it is the baseline at the model's own reference precision."
    over = loss.tasks[0] if len(loss.tasks) == 1 else f"{len(loss.tasks)} tasks"
    verdict = f", {loss.verdict.value} within the limit" if loss.verdict else ""
    return f"{loss.kind.value.capitalize()} loss {with_interval(loss.figure)} in {loss.metric} over {over}{verdict}."


def _cost_sentence(cost: CostAnswer) -> str:
    tokens = cost.per_million_tokens
    rate = f" and {cost.currency} {with_interval(tokens)}" if tokens is not None else ""
    return f"Costs {cost.currency} {cost.per_hour}{rate}, by the price {cost.price.describe()}."


def _first_reason(assessment: Assessment, best: int) -> str:
    """Return what the chosen position is best at, and among how many: those of its own tier."""
    tiers, behind = assessment.count().tiers, assessment.index.standing.order(assessment.rows)
    among = tiers[int(behind[best]) if behind is not None else 0]
    count = int(among.sum())
    if count == 1:
        alone = " and is not deprecated" if int(tiers.sum()) > 1 else ""
        return f"Satisfies every constraint: the only candidate that does{alone}."
    peers = int(among[assessment.tier[best]])
    aim = _aim(assessment)
    if peers == count:
        return f"Has {aim} of {count} candidates that satisfy every constraint."
    what = "loss" if assessment.tier[best] < LIKELY_LOSS else "speed"
    rest = f"the other {count - peers} that may satisfy them are only likely to, by their {what}"
    if peers == 1:
        return f"The only candidate that surely satisfies every constraint; {rest}."
    return f"Has {aim} of {peers} candidates that surely satisfy every constraint; {rest}."


def _placed(assessment: Assessment, chosen: Candidate, placement: Placement) -> list[str]:
    """Return how the candidate lies on the hardware, how much it carries there, and what the request rate needs."""
    sentences: list[str] = []
    workload = assessment.setting.scenario.workload
    if placement.max_context is not None and placement.max_concurrency is not None:
        ways = [
            f"{name} {degree}"
            for name, degree in (
                ("tensor parallel", placement.tensor_parallel),
                ("pipeline parallel", placement.pipeline_parallel),
                ("replicas", placement.replicas),
            )
            if degree > 1
        ]
        how = f"Placed {', '.join(ways)}: each replica holds" if ways else "Holds"
        sentences.append(
            f"{how} up to {placement.max_context:,} tokens of context at concurrency {workload.concurrency:,}, or "
            f"{placement.max_concurrency:,} sequences of {workload.context_tokens:,} tokens."
        )
    serving = chosen.serving
    if serving is not None:
        sentences.append(
            f"{serving.requests_per_second:g} requests/s need {serving.replicas:,} of {serving.available:,} replicas: "
            f"utilization {serving.utilization:.0%}, a request waits with probability {serving.wait_probability:.2g}, "
            f"{serving.mean_wait} on average (M/M/c queue, modelled)."
        )
    return sentences


def reasons(
    assessment: Assessment,
    chosen: Candidate,
    best: int,
    *,
    placement: Placement,
    runner_up: Elimination | None,
) -> tuple[str, ...]:
    """Return why the chosen candidate is the answer, most important first."""
    memory = chosen.memory
    sentences = [_first_reason(assessment, best)]
    if chosen.loss is not None:
        sentences.append(_loss_sentence(chosen.loss))
    parts = ", ".join(
        f"{name} {figure}"
        for name, figure in (
            ("weights", memory.weights),
            ("KV cache", memory.kv_cache),
            ("activations", memory.activations),
            ("overhead", memory.overhead),
        )
    )
    each = f" on each of {memory.devices} devices" if memory.devices > 1 else ""
    if memory.capacity is not None and memory.fit_probability is not None:
        sure = memory.fit_probability > 0.9999
        chance = "above 0.9999" if sure else f"{memory.fit_probability:.4f}"
        sentences.append(
            f"Needs {with_interval(memory.total)} of {memory.capacity}{each} and fits with probability "
            f"{chance}: {parts}."
        )
    else:
        sentences.append(f"Needs {with_interval(memory.total)}{each}: {parts}.")
    speed = chosen.latency
    seen = [
        f"{name} {with_interval(figure)}"
        for name, figure in (("TTFT", speed.ttft), ("TPOT", speed.tpot), ("throughput", speed.throughput))
        if figure is not None
    ]
    if seen:
        under = f" under {speed.runtime}" if speed.runtime else ""
        sentences.append(f"At {assessment.setting.scenario.workload}{under}: {'; '.join(seen)}.")
    sentences += _placed(assessment, chosen, placement)
    if chosen.cost is not None:
        sentences.append(_cost_sentence(chosen.cost))
        if chosen.energy is not None:
            sentences.append(
                f"Takes {chosen.energy} per output token or less, at that throughput: {chosen.energy.note}."
            )
    if runner_up is not None:
        sentences.append(f"Next best is {runner_up.name}: {runner_up.reason}.")
    return tuple(sentences)


def first_failures(assessment: Assessment) -> Integers:
    """Return by position the judgement it fell at first, -1 where it fell at none."""
    return np.where(assessment.accepted, -1, assessment.failures.argmax(axis=0))


def counts(assessment: Assessment, *, chosen: bool) -> Mapping[str, int]:
    """Return how many variants fell at each constraint, those of other models and those merely not best included."""
    census = assessment.count()
    beaten = int(census.tiers.sum()) - 1 if chosen else 0
    found = {
        MODEL: len(assessment.index) - census.rows,
        **{j.key: int(n) for j, n in zip(assessment.judgements, census.fell, strict=True)},
        OBJECTIVE: beaten,
    }
    return {key: count for key, count in found.items() if count}


def elimination_at(assessment: Assessment, judgement: Judgement, position: int) -> Elimination:
    """Return why a position fell at a judgement."""
    variant = assessment.index.records[int(assessment.rows[position])]
    margin = None if judgement.margin is None else float(judgement.margin[position])
    figure = figure_of(assessment, judgement, position)
    return Elimination(
        variant_id=variant.id,
        model_id=variant.model_id,
        name=variant.name,
        key=judgement.key,
        reason=_reason(assessment, judgement, position, figure),
        figure=figure,
        margin=margin if margin is not None and np.isfinite(margin) else None,
    )


def _reason(assessment: Assessment, judgement: Judgement, position: int, figure: Figure | None) -> str:
    verdict = VERDICTS[int(judgement.verdict[position])]
    constraint = judgement.constraint
    match constraint:
        case LossLimit() if figure is None:
            return UNMEASURED
        case LatencyLimit() | ThroughputFloor() if figure is None:
            return unknown_speed(assessment, constraint)
        case LossLimit() | LatencyLimit() | ThroughputFloor() | CostLimit() if figure is not None:
            sure = (
                ""
                if verdict is Verdict.VIOLATED
                else ", not certified"
                if _is_uncertified(constraint, figure)
                else ", though not surely past it"
            )
            return f"{with_interval(figure)} against {judgement.asked}{sure}"
        case DiskLimit() if figure is not None:
            return f"{format_bytes(figure.value, binary=False)} against {judgement.asked}"
        case None if judgement.key == MEMORY and figure is not None:
            capacity = assessment.setting.capacity
            usable = f"{format_bytes(capacity.value)} usable" if capacity else "the memory there is"
            risk = assessment.setting.scenario.risk
            doubt = (
                ""
                if verdict is Verdict.VIOLATED
                else f", and may not fit with a probability above {risk:.3g}"
            )
            return f"needs {with_interval(figure)} of {usable}{doubt}"
        case None if judgement.key == CONTEXT:
            tokens = assessment.setting.scenario.workload.context_tokens
            return f"{detail_of(assessment, judgement, position)} of context, {tokens:,} are asked for"
        case _:
            return detail_of(assessment, judgement, position) or verdict.value


def _is_uncertified(
    constraint: LossLimit | LatencyLimit | ThroughputFloor | CostLimit, figure: Figure
) -> bool:
    return (
        isinstance(constraint, LossLimit) and constraint.certified_only and figure.value <= constraint.limit
    )


def _objective_reason(assessment: Assessment, values: Floats, position: int, chosen: int) -> str:
    row, other = int(assessment.rows[position]), int(assessment.rows[chosen])
    deprecated = assessment.index.standing.stands_behind(row, other)
    if deprecated is not None:
        name = assessment.index.records[other].name
        return f"{deprecated}; {name}, which satisfies everything too, is not deprecated"
    return _compared(assessment, values, position, chosen)


def _compared(assessment: Assessment, values: Floats, position: int, chosen: int) -> str:
    tier = assessment.tier
    index, scenario = assessment.index, assessment.setting.scenario
    best = index.records[int(assessment.rows[chosen])].name
    if tier[position] != tier[chosen]:
        what = "loss" if tier[position] >= LIKELY_LOSS else "speed"
        return f"its {what} is only likely to satisfy the limit, that of {best} surely does"
    own, other = float(values[position]), float(values[chosen])
    match scenario.objective:
        case _ if own == other and not np.isinf(own):
            return (
                f"ties with {best} on {_aim(assessment)}, which wins by {_tie(assessment, position, chosen)}"
            )
        case _ if np.isinf(own):
            what = _UNKNOWN_OF.get(scenario.objective, "speed")
            also = f", nor that of {best}, which wins by {_tie(assessment, position, chosen)}"
            return f"its {what} is not known" + (also if np.isinf(other) else "")
        case Objective.MOST_ACCURATE:
            unit = (
                Unit.RATIO
                if assessment.limit is None or assessment.limit.kind.value == "relative"
                else Unit.POINTS
            )
            return f"loses {format_value(own, unit)}, {best} {format_value(other, unit)}"
        case Objective.FASTEST if np.isfinite(assessment.speeds.of("tpot").value[chosen]):
            return f"takes {format_seconds(own)} per output token, {best} {format_seconds(other)}"
        case Objective.HIGHEST_THROUGHPUT if np.isfinite(assessment.speeds.of("per_token").value[chosen]):
            return f"gives {1 / own:.3g} tokens/s, {best} {1 / other:.3g}"
        case Objective.FASTEST | Objective.HIGHEST_THROUGHPUT:
            return f"reads {format_bytes(own)} of weights per token, {best} {format_bytes(other)}"
        case Objective.CHEAPEST if scenario.price is not None and np.isfinite(
            token_costs(assessment)[chosen]
        ):
            currency = scenario.price.currency
            return f"costs {currency} {own:.3g} per million output tokens, {best} {currency} {other:.3g}"
        case Objective.SMALLEST | Objective.CHEAPEST:
            return f"takes {format_bytes(own)}, {best} {format_bytes(other)}"


def _tie(assessment: Assessment, position: int, chosen: int) -> str:
    index = assessment.index
    own, other = int(assessment.rows[position]), int(assessment.rows[chosen])
    accurate = assessment.setting.scenario.objective is Objective.MOST_ACCURATE
    if accurate and index.parameters[own] != index.parameters[other]:
        return "having more parameters"
    mine, best = float(assessment.loss[position]), float(assessment.loss[chosen])
    unknown = np.isnan(mine)
    if not accurate and mine != best and not (unknown and np.isnan(best)):
        return "losing less"
    if accurate and unknown and index.bits[own] != index.bits[other]:
        return "keeping more bits"
    if assessment.total.value[position] != assessment.total.value[chosen]:
        return "needing less memory"
    return "its files being held" if index.fetchable[own] != index.fetchable[other] else "its id"


def beaten(assessment: Assessment, position: int, chosen: int) -> Elimination:
    """Return why an accepted position is not the answer: the objective decided for the chosen one."""
    variant = assessment.index.records[int(assessment.rows[position])]
    return Elimination(
        variant_id=variant.id,
        model_id=variant.model_id,
        name=variant.name,
        key=OBJECTIVE,
        reason=_objective_reason(assessment, objective_values(assessment), position, chosen),
    )


def outside_selection(assessment: Assessment, position: int) -> Elimination:
    """Return why a variant of another model is not the answer."""
    row = int(assessment.rows[position])
    variant, model = assessment.index.records[row], assessment.index.row_models[row]
    return Elimination(
        variant_id=variant.id,
        model_id=variant.model_id,
        name=variant.name,
        key=MODEL,
        reason=f"is a build of {model.name}, not of {assessment.setting.scenario.model.describe()}",
    )


def eliminations(assessment: Assessment, order: Integers) -> tuple[Elimination, ...]:
    """Return at most MAX_LISTED reasons: the runners-up in rank order, then the rest, nearest misses first."""
    values = objective_values(assessment)
    listed: list[Elimination] = []
    for position in order[1 : MAX_LISTED // 2 + 1].tolist():
        variant = assessment.index.records[int(assessment.rows[position])]
        reason = _objective_reason(assessment, values, position, int(order[0]))
        listed.append(
            Elimination(
                variant_id=variant.id,
                model_id=variant.model_id,
                name=variant.name,
                key=OBJECTIVE,
                reason=reason,
            )
        )
    first = first_failures(assessment)
    listed += [
        elimination_at(assessment, assessment.judgements[int(first[position])], position)
        for position in nearest_misses(assessment, first)[: MAX_LISTED - len(listed)].tolist()
    ]
    return tuple(listed)


def nearest_misses(assessment: Assessment, first: Integers) -> Integers:
    """Return the rejected positions, those first that came furthest, then those least past the bound."""
    rejected = np.flatnonzero(first >= 0)
    fell = first[rejected]
    if len(rejected) > MAX_LISTED:
        as_far = np.bincount(fell)[::-1].cumsum()[::-1]  # how many came at least as far
        last = int(np.flatnonzero(as_far >= MAX_LISTED)[-1])
        rejected = rejected[fell >= last]
        fell = first[rejected]
    margin = np.full(len(rejected), np.inf)
    for number, judgement in enumerate(assessment.judgements):
        if judgement.margin is not None:
            at = fell == number
            margin[at] = judgement.margin[rejected[at]]
    margin = np.nan_to_num(margin, nan=np.inf)
    if len(rejected) > 2 * MAX_LISTED:
        # Whoever came less far than the last one listed is gone; of those that came as far, only the nearest are ordered.
        furthest = fell > fell.min()
        worst = np.partition(margin[~furthest], MAX_LISTED)[MAX_LISTED]
        kept = furthest | (margin <= worst)
        rejected, fell, margin = rejected[kept], fell[kept], margin[kept]
    return rejected[np.lexsort((rejected, margin, -fell))]
