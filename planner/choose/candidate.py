"""Candidates: one position of an assessment with every figure and check behind it, built only when it is shown."""

from __future__ import annotations

import numpy as np

from planner.choose.asked_split import PARALLELISM, as_asked
from planner.choose.categories import category_reason
from planner.choose.feasible import CONTEXT, MEMORY, METRICS, MODEL, RATE, Assessment, Judgement
from planner.choose.losses import VERDICTS
from planner.choose.standing import STATE
from planner.choose.support import SUPPORT, support_of
from planner.domain.constraint import (
    CostBasis,
    CostLimit,
    DiskLimit,
    FormatFilter,
    LatencyLimit,
    LicenseFilter,
    LossLimit,
    RuntimeFilter,
    SchemeFilter,
    Scope,
    ThroughputFloor,
)
from planner.domain.figure import Basis, Figure, Interval, exact
from planner.domain.loss import items_to_settle, verdict
from planner.domain.loss_basis import LossBasis
from planner.domain.outcome import (
    Candidate,
    Check,
    CostAnswer,
    LatencyAnswer,
    LossAnswer,
    MemoryEstimate,
    Verdict,
)
from planner.domain.units import Unit, format_bytes
from planner.estimate.calibration import CENTRAL
from planner.estimate.cost import cost_of, energy_of
from planner.estimate.memory import describe_memory
from planner.estimate.peaks import peak_figure
from planner.estimate.priors import CONFIDENCE as SPREAD_CONFIDENCE
from planner.estimate.priors import RUNTIMES

UNMEASURED = "no loss evidence: measure it"


def memory_of(assessment: Assessment, position: int) -> MemoryEstimate:
    """Return the memory estimate of one position."""
    index = assessment.index
    row = int(assessment.rows[position])
    peak = None
    if assessment.peaks is not None and assessment.evidence is not None:
        peak = peak_figure(assessment.peaks, position, assessment.evidence.profiles)
    return describe_memory(
        assessment.terms,
        position,
        weights=index.records[row].weight_bytes,
        prior=RUNTIMES[int(assessment.columns.runtime[position])],
        capacity=assessment.setting.capacity,
        accelerated=assessment.setting.accelerated,
        latent=index.row_models[row].architecture.mla is not None,
        peak=peak,
        score=assessment.score_at(position),
    )


def _total_of(assessment: Assessment, position: int) -> Figure:
    """Return the peak alone, without building its terms."""
    peaks, evidence = assessment.peaks, assessment.evidence
    recorded = peak_figure(peaks, position, evidence.profiles) if peaks and evidence else None
    if recorded is not None:
        return recorded
    lo, value, hi = (
        float(end[position]) for end in (assessment.total.lo, assessment.total.value, assessment.total.hi)
    )
    return Figure(
        value=value,
        unit=Unit.BYTES,
        basis=Basis.MODELLED,
        interval=Interval(lo=min(lo, value), hi=max(hi, value), confidence=SPREAD_CONFIDENCE),
        evidence=assessment.index.records[int(assessment.rows[position])].weight_bytes.evidence,
    )


def disk_of(assessment: Assessment, position: int) -> Figure:
    """Return the bytes on disk: of the files where they are held, else of the weights alone."""
    variant = assessment.index.records[int(assessment.rows[position])]
    held = variant.disk_bytes
    if held is not None:
        return exact(float(held), Unit.BYTES, basis=Basis.MEASURED)
    weights = variant.weight_bytes
    return Figure(
        value=weights.value,
        unit=Unit.BYTES,
        basis=weights.basis,
        interval=weights.interval,
        evidence=weights.evidence,
        note="weights alone: the files are not held here",
    )


def _loss_answer(assessment: Assessment, position: int) -> LossAnswer | None:
    answer = assessment.losses.answers[int(assessment.rows[position])]
    if answer is None:
        return None
    limit = assessment.limit
    said = verdict(answer.figure, limit.limit, confidence=limit.confidence) if limit else None
    more = _more_items(answer, limit, Verdict(said.value)) if limit and said else None
    return LossAnswer(
        figure=answer.figure,
        kind=answer.kind,
        tasks=answer.tasks,
        metric=answer.metric,
        items=answer.items,
        verdict=said,
        items_to_settle=more,
    )


def _more_items(answer: LossBasis, limit: LossLimit, said: Verdict) -> int | None:
    if answer.items is None or said not in {Verdict.LIKELY, Verdict.UNLIKELY}:
        return None
    return items_to_settle(answer.figure, limit.limit, answer.items, confidence=limit.confidence)


def latency_of(assessment: Assessment, position: int) -> LatencyAnswer:
    """Return the middle of the distributions of speed at the workload, and which middle it is."""
    speeds = assessment.speeds
    quantile = speeds.quantile_of("tpot" if speeds.of("tpot").rank[position] >= 0 else "ttft", position)
    runtime = speeds.runtime_of(position)
    return LatencyAnswer(
        ttft=speeds.figure("ttft", quantile, position),
        tpot=speeds.figure("tpot", quantile, position),
        throughput=speeds.figure("per_token", CENTRAL, position),
        runtime=runtime or assessment.setting.engine,
        quantile=quantile,
    )


def cost_at(assessment: Assessment, position: int) -> CostAnswer | None:
    """Return what a position costs on the devices it uses; None without a price."""
    price = assessment.setting.scenario.price
    if price is None:
        return None
    throughput = assessment.speeds.figure("per_token", CENTRAL, position)
    return cost_of(price, devices=int(assessment.terms.degree[position]), throughput=throughput)


def _cost_figure(assessment: Assessment, limit: CostLimit, position: int) -> Figure | None:
    cost = cost_at(assessment, position)
    if cost is None:
        return None
    return cost.per_hour if limit.per is CostBasis.HOUR else cost.per_million_tokens


def unknown_cost(assessment: Assessment) -> str:
    """Return why a cost is unknown, and what would make it known."""
    device = assessment.setting.device
    if assessment.setting.scenario.price is None:
        where = f"of {device.name}" if device else "of the hardware"
        return f"no price {where} is given: name one in a price file (`--prices`)"
    return "the throughput on it is not known"


def figure_of(assessment: Assessment, judgement: Judgement, position: int) -> Figure | None:
    """Return the figure a constraint was held against, None for categories and unknowns."""
    constraint = judgement.constraint
    match constraint:
        case DiskLimit():
            return disk_of(assessment, position)
        case LossLimit():
            answer = assessment.index.losses(constraint.kind, constraint.task).answers[
                int(assessment.rows[position])
            ]
            return answer.figure if answer else None
        case LatencyLimit():
            return assessment.speeds.figure(METRICS[constraint.metric], constraint.quantile, position)
        case ThroughputFloor():
            figure = assessment.speeds.figure("per_token", CENTRAL, position)
            concurrency = assessment.setting.scenario.workload.concurrency
            return figure.scaled(1 / concurrency) if figure and constraint.scope is Scope.REQUEST else figure
        case CostLimit():
            return _cost_figure(assessment, constraint, position)
        case _ if judgement.key == MEMORY:
            return _total_of(assessment, position)
        case _:
            return None


def unknown_speed(assessment: Assessment, constraint: LatencyLimit | ThroughputFloor) -> str:
    """Return why a speed is unknown, and what would make it known."""
    device = assessment.setting.device
    if device is None:
        return "speed depends on the device: name one"
    if isinstance(constraint, LatencyLimit) and constraint.quantile in {"p90", "p95", "p99"}:
        return (
            f"no distribution at hand holds its {constraint.quantile}, and a mean or median is not shown as one: "
            f"measure it on {device.name}"
        )
    if device.bandwidth_bytes_per_second is None:
        return f"nothing was measured on {device.name}, whose memory bandwidth is not known"
    return f"nothing was measured on {device.name}, whose matrix throughput is not known"


def detail_of(assessment: Assessment, judgement: Judgement, position: int) -> str | None:
    """Return what a reader should know beside verdict and figure."""
    said = VERDICTS[int(judgement.verdict[position])]
    constraint = judgement.constraint
    row = int(assessment.rows[position])
    match constraint:
        case LossLimit():
            return _loss_detail(assessment, constraint, row, said)
        case LatencyLimit() | ThroughputFloor():
            if said is Verdict.UNKNOWN:
                return unknown_speed(assessment, constraint)
            figure = figure_of(assessment, judgement, position)
            return figure.note if figure else None
        case CostLimit():
            figure = figure_of(assessment, judgement, position)
            return figure.note if figure else unknown_cost(assessment)
        case DiskLimit():
            return None if assessment.index.fetchable[row] else "weights alone: the files are not held here"
        case RuntimeFilter() | FormatFilter() | SchemeFilter() | LicenseFilter():
            return category_reason(assessment.index, constraint, row, said)
        case None:
            return _placed_detail(assessment, judgement, position)


def _placed_detail(assessment: Assessment, judgement: Judgement, position: int) -> str | None:
    """Return the same of what no constraint asks for: context, memory, the format on the device, the request rate."""
    if judgement.key == CONTEXT:
        longest = float(assessment.columns.max_context[position])
        return "the longest context is not known" if np.isinf(longest) else f"at most {longest:,.0f} tokens"
    if judgement.key == PARALLELISM:
        return _split_detail(assessment, position)
    if judgement.key == STATE:
        return assessment.index.standing.words(int(assessment.rows[position]))
    if judgement.key == SUPPORT:
        return support_of(assessment.index, assessment.setting, int(assessment.rows[position])).detail
    if judgement.key == RATE:
        return _rate_detail(assessment, judgement, position)
    capacity = assessment.setting.capacity
    return f"of {format_bytes(capacity.value)} usable" if capacity else None


def _split_detail(assessment: Assessment, position: int) -> str:
    """Return how a position is split, or what its shape has that an asked degree must divide."""
    columns, split = assessment.columns, assessment.terms.split
    if as_asked(assessment.setting, split)[position]:
        return f"tensor parallel {split.tensor[position]}, pipeline parallel {split.pipeline[position]}"
    heads = f"{columns.heads[position]} heads" + (
        "" if columns.latent[position] else f" and {columns.kv_heads[position]} KV heads"
    )
    return f"its {heads} and {columns.layers[position]:.0f} layers cannot be split so on these devices"


def _rate_detail(assessment: Assessment, judgement: Judgement, position: int) -> str:
    if judgement.value is None or np.isnan(judgement.value[position]):
        return "the time a request takes is not known"
    needed = max(1, int(np.ceil(judgement.value[position])))
    available = assessment.setting.devices // int(assessment.terms.degree[position])
    return f"needs {needed:,} replicas (M/M/c queue, modelled), the hardware holds {available:,}"


def _loss_detail(assessment: Assessment, limit: LossLimit, row: int, said: Verdict) -> str | None:
    answer = assessment.index.losses(limit.kind, limit.task).answers[row]
    if answer is None:
        return UNMEASURED
    if not answer.tasks:
        return answer.figure.note
    parts = [f"{answer.metric} on {', '.join(answer.tasks[:4])}" + (" …" if len(answer.tasks) > 4 else "")]
    if answer.figure.interval is None:
        parts.append("its interval is not known")
    more = _more_items(answer, limit, said)
    if more:
        parts.append(f"about {more:,} more items would settle it")
    return "; ".join(parts)


def check_of(assessment: Assessment, judgement: Judgement, position: int) -> Check:
    """Return one constraint on one position as a check."""
    return Check(
        key=judgement.key,
        asked=judgement.asked,
        verdict=VERDICTS[int(judgement.verdict[position])],
        figure=figure_of(assessment, judgement, position),
        detail=detail_of(assessment, judgement, position),
    )


def _model_check(assessment: Assessment, position: int) -> Check:
    row = int(assessment.rows[position])
    meant = assessment.setting.means(row)
    return Check(
        key=MODEL,
        asked=assessment.setting.scenario.model.describe(),
        verdict=Verdict.MET if meant else Verdict.VIOLATED,
        detail=assessment.index.row_models[row].name,
    )


def candidate_at(assessment: Assessment, position: int) -> Candidate:
    """Return a position as a candidate with its memory, loss, speed and every check."""
    row = int(assessment.rows[position])
    variant = assessment.index.records[row]
    return Candidate(
        variant_id=variant.id,
        model_id=variant.model_id,
        name=variant.name,
        scheme=variant.scheme.name,
        memory=memory_of(assessment, position),
        disk=disk_of(assessment, position),
        loss=_loss_answer(assessment, position),
        latency=latency_of(assessment, position),
        cost=cost_at(assessment, position),
        energy=energy_of(
            assessment.setting.device,
            devices=int(assessment.terms.degree[position]),
            throughput=assessment.speeds.figure("per_token", CENTRAL, position),
        ),
        checks=(
            _model_check(assessment, position),
            *(check_of(assessment, judgement, position) for judgement in assessment.judgements),
        ),
        fetchable=variant.is_fetchable,
    )
