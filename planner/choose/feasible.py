"""Feasibility: every constraint judged on every row, in one fixed order.

The order decides at which constraint a rejected candidate is said to fall: its state, runtime, format, scheme, license, context,
memory, disk, loss, latency, throughput, cost. Nothing is skipped, so that near misses, conflicts and relaxations can be read
off the same judgements. Formats that a device cannot compute come before context, replicas for a rate come last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from planner.choose.asked_split import PARALLELISM, asked_parallelism, verdicts
from planner.choose.categories import judge_category
from planner.choose.census import TIERS, Census
from planner.choose.index import Index
from planner.choose.losses import CODE, Losses
from planner.choose.patterns import Patterns, distinct, packed
from planner.choose.placing import in_best_placements
from planner.choose.setting import Setting
from planner.choose.standing import ASKED, STATE
from planner.choose.support import SUPPORT, asked_of, judge_support
from planner.domain.constraint import (
    Constraint,
    CostBasis,
    CostLimit,
    DiskLimit,
    FormatFilter,
    LatencyLimit,
    LatencyMetric,
    LicenseFilter,
    LossLimit,
    RuntimeFilter,
    SchemeFilter,
    Scope,
    ThroughputFloor,
)
from planner.domain.figure import Basis
from planner.domain.loss import LossKind
from planner.domain.outcome import Verdict
from planner.domain.scenario import Objective
from planner.domain.units import format_bytes
from planner.estimate.calibration import CENTRAL, EXACT, STALE, Metric, Speed
from planner.estimate.columns import Booleans, Columns, Floats, Integers
from planner.estimate.cost import per_second_of_token
from planner.estimate.evidence import DeviceEvidence
from planner.estimate.latency import Speeds, relevant_points
from planner.estimate.memory import MemoryTerms, Term, fit_score, memory_terms, required_score
from planner.estimate.peaks import Peaks, recorded_peaks
from planner.estimate.placement import Split
from planner.estimate.priors import runtime_code
from planner.estimate.queueing import HEADROOM
from planner.estimate.roofline import weight_bytes_read

ORDER: Final[tuple[type, ...]] = (
    RuntimeFilter, FormatFilter, SchemeFilter, LicenseFilter, DiskLimit, LossLimit, LatencyLimit, ThroughputFloor,
    CostLimit,
)  # fmt: skip
MEMORY, CONTEXT, MODEL, RATE = "memory", "context", "model", "rate"
METRICS: Final[dict[LatencyMetric, Metric]] = {
    LatencyMetric.TTFT: "ttft",
    LatencyMetric.TPOT: "tpot",
    LatencyMetric.ITL: "itl",
    LatencyMetric.END_TO_END: "end_to_end",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One constraint on n rows: verdict codes, the values held against it (NaN unknown), and how far past the bound."""

    key: str
    asked: str
    constraint: Constraint | None
    verdict: Integers
    value: Floats | None = None
    margin: Floats | None = None

    @property
    def is_of_speed(self) -> bool:
        """Whether time, throughput or what they cost is bounded."""
        return self.key == RATE or isinstance(self.constraint, (LatencyLimit, ThroughputFloor, CostLimit))

    @property
    def is_placed(self) -> bool:
        """Whether the verdict depends on how a variant is placed on the hardware."""
        return self.key in {MEMORY, RATE} or self.is_of_speed

    @property
    def accepted(self) -> Booleans:
        """Rows that may be recommended as far as this constraint goes."""
        return self.verdict <= CODE[Verdict.LIKELY]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """Everything a question needs to know of the rows it is about."""

    index: Index
    setting: Setting
    rows: Integers
    """Row of the index behind each position."""
    columns: Columns
    judgements: tuple[Judgement, ...]
    terms: MemoryTerms
    peaks: Peaks | None
    total: Term
    """Peak memory of one device, recorded or modelled."""
    speeds: Speeds
    evidence: DeviceEvidence | None
    losses: Losses
    """Of all rows of the index, for the first loss limit, or relative loss over all tasks."""
    limit: LossLimit | None
    loss: Floats
    """Loss of each position, NaN unknown."""
    failures: Booleans
    """One row per judgement, one column per position: True where it is not accepted."""
    accepted: Booleans
    tier: Integers
    """0 when everything is certified or met; likely speed adds 1, likely loss 2, so certified loss comes first."""
    census: Census | None = None
    """Counts of all rows asked about, where these rows are only those that can be shown."""
    _scores: list[Floats] = field(default_factory=list["Floats"], init=False, repr=False, compare=False)

    def score_at(self, position: int) -> float | None:
        """Return the `fit_score` of a position, None where no memory is named; all are worked out at once."""
        capacity = self.setting.capacity
        if capacity is None:
            return None
        if not self._scores:
            value = self.total.value
            ends = Term(value, np.minimum(self.total.lo, value), np.maximum(self.total.hi, value))
            self._scores.append(fit_score(ends, capacity))
        return float(self._scores[0][position])

    @property
    def patterns(self) -> Patterns:
        """By position, which judgements it fails (`planner.choose.patterns`)."""
        return packed(self.failures)

    @property
    def known(self) -> Integers:
        """The patterns there are, ascending."""
        return distinct(self.patterns)[0]

    def count(self) -> Census:
        """Return the counts of all rows asked about."""
        if self.census is not None:
            return self.census
        first = np.where(self.accepted, -1, self.failures.argmax(axis=0))
        return Census(
            rows=len(self.rows),
            fell=np.bincount(first[first >= 0], minlength=len(self.judgements)),
            tiers=tally(self.index, self.rows[self.accepted], self.tier[self.accepted]),
            models=len(np.unique(self.index.model[self.rows[self.accepted]])),
        )

    def is_known(self, metric: Metric) -> bool:
        """Return whether a time is known of any accepted row."""
        if self.census is not None and metric in self.census.known:
            return self.census.known[metric]
        return bool(np.isfinite(self.speeds.of(metric).value[self.accepted]).any())

    @property
    def step_bytes(self) -> Floats:
        """Weight bytes one device reads per decode step: what orders speed where no device is named."""
        concurrency = np.float64(self.setting.scenario.workload.concurrency)
        return weight_bytes_read(self.columns, np.asarray(concurrency)) / self.terms.split.tensor


def tally(index: Index, rows: Integers, tier: Integers) -> Integers:
    """Return how many rows are current, and how many deprecated, by tier: two rows of counts."""
    behind = index.standing.order(rows)
    grade = tier if behind is None else tier + TIERS * behind.astype(np.int64)
    return np.bincount(grade, minlength=2 * TIERS).reshape(2, TIERS)


def doubts(judgements: Iterable[Judgement], count: int) -> tuple[Booleans, Booleans]:
    """Return by position whether speed, and whether loss, is only likely to satisfy its limits."""
    speed, loss = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
    for judgement in judgements:
        if judgement.is_of_speed:
            speed |= judgement.verdict == CODE[Verdict.LIKELY]
        elif isinstance(judgement.constraint, LossLimit):
            loss |= judgement.verdict == CODE[Verdict.LIKELY]
    return speed, loss


def baselines_stand_back(objective: Objective, *, likely: bool, evident: bool) -> bool:
    """Return whether baselines count as likely: some accepted loss is, and no other is certified by evidence.

    A baseline's loss is certain by definition and not by evidence. Unless accuracy itself is asked for, it therefore does
    not outrank candidates whose loss is likely: it stands beside the certified ones where evidence certifies any.
    """
    return objective is not Objective.MOST_ACCURATE and likely and not evident


def tiers(
    judgements: Iterable[Judgement], baseline: Booleans, *, baselines_back: bool | None = None
) -> Integers:
    """Return the tier of each position; `baselines_back` says whether baselines count as likely."""
    speed, loss = doubts(judgements, len(baseline))
    return speed + 2 * (loss | baseline if baselines_back else loss)


def _tiers(
    judgements: list[Judgement], accepted: Booleans, baseline: Booleans, objective: Objective
) -> Integers:
    _, loss = doubts(judgements, len(accepted))
    likely, evident = (loss & accepted).any(), (accepted & ~baseline & ~loss).any()
    back = baselines_stand_back(objective, likely=bool(likely), evident=bool(evident))
    return tiers(judgements, baseline, baselines_back=back)


def _code(verdict: Verdict) -> int:
    return CODE[verdict]


def _judge_state(index: Index, rows: Integers) -> list[Judgement]:
    withheld = index.standing.withheld
    if withheld is None:
        return []
    verdict = np.where(withheld[rows], _code(Verdict.VIOLATED), _code(Verdict.MET))
    return [Judgement(key=STATE, asked=ASKED, constraint=None, verdict=verdict)]


def _judge_memory(setting: Setting, total: Term) -> Judgement | None:
    capacity = setting.capacity
    if capacity is None:
        return None
    score = fit_score(total, capacity)
    needed = required_score(setting.scenario.risk)
    verdict = np.where(
        score >= needed,
        _code(Verdict.MET),
        np.where(total.value > capacity.value, _code(Verdict.VIOLATED), _code(Verdict.UNLIKELY)),
    )
    hardware = setting.scenario.hardware
    return Judgement(
        key=MEMORY,
        asked=f"fits {hardware.describe() if hardware else format_bytes(capacity.value)}",
        constraint=None,
        verdict=verdict,
        value=total.value,
        margin=np.maximum(total.hi, total.value) / capacity.value - 1,
    )


def _judge_context(setting: Setting, columns: Columns) -> Judgement:
    tokens = setting.scenario.workload.context_tokens
    fits = columns.max_context >= tokens
    return Judgement(
        key=CONTEXT,
        asked=f"holds {tokens:,} tokens of context",
        constraint=None,
        verdict=np.where(fits, _code(Verdict.MET), _code(Verdict.VIOLATED)),
        value=columns.max_context,
        margin=tokens / columns.max_context - 1,
    )


def _judge_disk(index: Index, limit: DiskLimit, rows: Integers) -> Judgement:
    size = index.disk_bytes[rows]
    below = np.where(index.fetchable[rows], _code(Verdict.MET), _code(Verdict.LIKELY))
    return Judgement(
        key=limit.key,
        asked=limit.describe(),
        constraint=limit,
        verdict=np.where(size <= limit.limit, below, _code(Verdict.VIOLATED)),
        value=size,
        margin=size / max(limit.limit, 1) - 1,
    )


def _judge_loss(index: Index, limit: LossLimit, rows: Integers) -> Judgement:
    losses = index.losses(limit.kind, limit.task)
    verdict = losses.verdicts(limit.limit, confidence=limit.confidence, rows=rows)
    if limit.certified_only:
        verdict = np.where(verdict == _code(Verdict.LIKELY), _code(Verdict.UNLIKELY), verdict)
    value = losses.value[rows]
    return Judgement(
        key=limit.key,
        asked=limit.describe(),
        constraint=limit,
        verdict=verdict,
        value=value,
        margin=(value - limit.limit) / limit.limit if limit.limit > 0 else np.where(value > 0, np.inf, 0.0),
    )


def judge_by_row(index: Index, judgement: Judgement, rows: Integers) -> Judgement:
    """Return the judgement of rows on state, file size or loss, whichever `judgement` is on."""
    match judgement.constraint:
        case LossLimit():
            return _judge_loss(index, judgement.constraint, rows)
        case DiskLimit():
            return _judge_disk(index, judgement.constraint, rows)
        case _:
            return _judge_state(index, rows)[0]


def judge_speed(speed: Speed, limit: float | Floats) -> Integers:
    """Return verdict codes on "seconds <= limit", which may differ from row to row.

    Met or violated needs a fresh recording of ours or of another tool at this very workload, with the known end of its
    interval on the same side. Everything weaker is likely or unlikely, unless its whole interval is past the limit.
    """
    rank, flags = speed.rank, speed.flags
    firm = (rank <= Basis.IMPORTED.rank) & (flags & EXACT > 0) & (flags & STALE == 0)
    below = speed.value <= limit
    verdict = np.where(below, _code(Verdict.LIKELY), _code(Verdict.UNLIKELY))
    verdict[(speed.lo > limit) | (firm & ~below & np.isnan(speed.lo))] = _code(Verdict.VIOLATED)
    verdict[firm & below & (np.isnan(speed.hi) | (speed.hi <= limit))] = _code(Verdict.MET)
    verdict[rank < 0] = _code(Verdict.UNKNOWN)
    return verdict


def throughput_seconds(floor: ThroughputFloor, concurrency: int) -> float:
    """Return the seconds per token over all requests at which `floor` is just met; infinite for a floor of zero."""
    aggregate = floor.limit * (concurrency if floor.scope is Scope.REQUEST else 1)
    return 1 / aggregate if aggregate > 0 else np.inf


def _judge_speed(constraint: LatencyLimit | ThroughputFloor, speeds: Speeds, concurrency: int) -> Judgement:
    if isinstance(constraint, LatencyLimit):
        speed, limit = speeds.of(METRICS[constraint.metric], constraint.quantile), constraint.limit
    else:
        speed, limit = speeds.of("per_token", CENTRAL), throughput_seconds(constraint, concurrency)
    return Judgement(
        key=constraint.key,
        asked=constraint.describe(),
        constraint=constraint,
        verdict=judge_speed(speed, limit),
        value=speed.value,
        margin=speed.value / limit - 1 if limit > 0 else np.where(np.isnan(speed.value), np.nan, np.inf),
    )


def _judge_support(
    index: Index, setting: Setting, rows: Integers, evidence: DeviceEvidence | None
) -> Judgement | None:
    verdict = judge_support(index, setting, rows, evidence)
    if verdict is None:
        return None
    return Judgement(key=SUPPORT, asked=asked_of(setting), constraint=None, verdict=verdict)


def _judge_rate(setting: Setting, rate: float, speeds: Speeds, degree: Integers) -> Judgement:
    """Return whether the replicas the hardware holds serve the rate with headroom, by the time a request takes."""
    available = setting.devices // degree
    slots = setting.scenario.workload.concurrency * HEADROOM / rate
    speed = speeds.of("end_to_end", CENTRAL)
    needed = speed.value / slots
    return Judgement(
        key=RATE,
        asked=f"serves {rate:g} requests/s at utilization ≤ {HEADROOM:g}",
        constraint=None,
        verdict=judge_speed(speed, np.asarray(available * slots, dtype=np.float64)),
        value=needed,
        margin=needed / available - 1,
    )


def _judge_cost(limit: CostLimit, setting: Setting, speeds: Speeds, degree: Integers) -> Judgement:
    """Return the judgement of a cost: a rate of hours is certain, one of tokens as certain as the throughput."""
    price = setting.scenario.price
    if price is None:
        unknown = np.full(len(degree), _code(Verdict.UNKNOWN), dtype=np.int64)
        return Judgement(key=limit.key, asked=limit.describe(), constraint=limit, verdict=unknown)
    per_hour: Floats = np.asarray(price.per_hour * degree, dtype=np.float64)
    if limit.per is CostBasis.HOUR:
        value = per_hour
        verdict = np.where(value <= limit.limit, _code(Verdict.MET), _code(Verdict.VIOLATED))
    else:
        speed, rate = speeds.of("per_token", CENTRAL), per_second_of_token(1.0) * per_hour
        value, verdict = speed.value * rate, judge_speed(speed, limit.limit / rate)
    return Judgement(
        key=limit.key,
        asked=limit.describe(),
        constraint=limit,
        verdict=verdict,
        value=value,
        margin=value / limit.limit - 1 if limit.limit > 0 else np.where(np.isnan(value), np.nan, np.inf),
    )


def _place(
    index: Index, setting: Setting, rows: Integers, columns: Columns, split: Split, *, recorded: bool
) -> tuple[MemoryTerms, Peaks | None, Term, Speeds, DeviceEvidence | None]:
    """Return memory and speed of the rows on the hardware of the setting."""
    workload, device = setting.scenario.workload, setting.device
    terms = memory_terms(
        columns, workload, devices=setting.devices, accelerated=setting.accelerated, split=split
    )
    # Profiles are of tensor parallelism alone: none speaks for a rank that holds some of the layers.
    measured = np.where(split.pipeline > 1, -1, terms.degree)
    evidence = index.evidence(device) if device else None
    peaks, total, points = None, terms.total, None
    if recorded and evidence is not None and len(evidence.points):
        position = np.full(len(index), -1, dtype=np.int64)
        position[rows] = np.arange(len(rows))
        every, points = relevant_points(
            evidence, position, measured, workload, engine=setting.engine, now=setting.now
        )
        peaks = recorded_peaks(
            columns, terms.degree, every, workload, accelerated=setting.accelerated, now=setting.now
        )
        has = peaks.profile >= 0
        total = Term(
            np.where(has, peaks.value, terms.total.value),
            np.where(has, peaks.lo, terms.total.lo),
            np.where(has, peaks.hi, terms.total.hi),
        )
    speeds = Speeds(
        columns, split.tensor, device, points=points, evidence=evidence, workload=workload, now=setting.now
    )
    return terms, peaks, total, speeds, evidence


def _judge(
    index: Index,
    setting: Setting,
    constraint: Constraint,
    rows: Integers,
    *,
    speeds: Speeds,
    degree: Integers,
) -> Judgement:
    match constraint:
        case DiskLimit():
            return _judge_disk(index, constraint, rows)
        case LossLimit():
            return _judge_loss(index, constraint, rows)
        case LatencyLimit() | ThroughputFloor():
            return _judge_speed(constraint, speeds, setting.scenario.workload.concurrency)
        case CostLimit():
            return _judge_cost(constraint, setting, speeds, degree)
        case RuntimeFilter() | FormatFilter() | SchemeFilter() | LicenseFilter():
            verdict = judge_category(index, constraint, rows)
            return Judgement(
                key=constraint.key, asked=constraint.describe(), constraint=constraint, verdict=verdict
            )


def assess_rows(index: Index, setting: Setting, rows: Integers, *, recorded: bool = True) -> Assessment:
    """Return the assessment of `rows` in this setting, each in its best placement (see `planner.choose.placing`).

    Which models are meant is the caller's business. Without `recorded`, the rows are judged as if nothing had been
    recorded of them themselves; what their device is known to do still counts.
    """
    whole = len(rows) == len(index) and bool((rows[1:] > rows[:-1]).all())
    columns = under_engine(setting, index.columns if whole else index.columns.take(rows))
    taken: list[
        tuple[Integers, Columns]
    ] = []  # the last positions asked about: most placements are valid for the same

    def assess(at: Integers | None, split: Split) -> Assessment:
        if at is None:
            return assess_split(index, setting, rows, columns, split, recorded=recorded)
        if not taken or not np.array_equal(taken[0][0], at):
            taken[:] = [(at, columns.take(at))]
        return assess_split(index, setting, rows[at], taken[0][1], split, recorded=recorded)

    return in_best_placements(setting, columns, assess)


def judge_placed(
    index: Index, setting: Setting, rows: Integers, wanted: Sequence[Judgement]
) -> list[Judgement]:
    """Return the judgements of rows on what `wanted` are on: memory, times, or what follows from them.

    The rows are not split, and judged as if nothing had been recorded of them themselves.
    """
    columns, split = under_engine(setting, index.columns.take(rows)), Split.whole(len(rows))
    workload, device = setting.scenario.workload, setting.device
    evidence = index.evidence(device) if device else None
    speeds = Speeds(
        columns, split.tensor, device, points=None, evidence=evidence, workload=workload, now=setting.now
    )
    found: list[Judgement | None] = []
    for judgement in wanted:
        if judgement.constraint is not None:
            found.append(
                _judge(index, setting, judgement.constraint, rows, speeds=speeds, degree=split.devices)
            )
        elif judgement.key == MEMORY:
            terms = memory_terms(
                columns, workload, devices=setting.devices, accelerated=setting.accelerated, split=split
            )
            found.append(_judge_memory(setting, terms.total))
        else:
            found.append(_judge_rate(setting, setting.scenario.rate or np.inf, speeds, split.devices))
    return [judgement for judgement in found if judgement is not None]


def under_engine(setting: Setting, columns: Columns) -> Columns:
    """Return the columns with the runtime that is asked for."""
    if setting.engine is None:
        return columns
    code = np.full(len(columns), runtime_code(setting.engine), dtype=np.int64)
    return replace(columns, runtime=code)


def assess_split(
    index: Index, setting: Setting, rows: Integers, columns: Columns, split: Split, *, recorded: bool = True
) -> Assessment:
    """Return the assessment of `rows`, whose facts are `columns`, each split as `split` says."""
    scenario = setting.scenario
    terms, peaks, total, speeds, evidence = _place(index, setting, rows, columns, split, recorded=recorded)
    judgements = _judge_state(index, rows)
    asked = asked_parallelism(scenario)
    if asked is not None:
        split_as_asked = verdicts(setting, split)
        judgements.append(Judgement(key=PARALLELISM, asked=asked, constraint=None, verdict=split_as_asked))
    for kind in ORDER:
        if kind is DiskLimit:
            memory = _judge_memory(setting, total)
            runs = _judge_support(index, setting, rows, evidence if recorded else None)
            judgements += [part for part in (runs, _judge_context(setting, columns), memory) if part]
        judgements += [
            _judge(index, setting, constraint, rows, speeds=speeds, degree=terms.degree)
            for constraint in scenario.constraints
            if type(constraint) is kind
        ]
    if scenario.rate is not None:
        judgements.append(_judge_rate(setting, scenario.rate, speeds, terms.degree))
    limit = next((c for c in scenario.constraints if isinstance(c, LossLimit)), None)
    losses = index.losses(limit.kind, limit.task) if limit else index.losses(LossKind.RELATIVE, None)
    failures = np.stack([~judgement.accepted for judgement in judgements])
    accepted: Booleans = np.logical_not(np.logical_or.reduce(failures, axis=0))
    return Assessment(
        index=index,
        setting=setting,
        rows=rows,
        columns=columns,
        judgements=tuple(judgements),
        terms=terms,
        peaks=peaks,
        total=total,
        speeds=speeds,
        evidence=evidence,
        losses=losses,
        limit=limit,
        loss=losses.value[rows],
        failures=failures,
        accepted=accepted,
        tier=_tiers(judgements, accepted, index.baseline[rows], scenario.objective),
    )


def assess_selected(index: Index, setting: Setting) -> Assessment:
    """Return the assessment of every row whose model is meant."""
    return assess_rows(index, setting, np.flatnonzero(setting.selected))
