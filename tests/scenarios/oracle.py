"""The answer to a scenario by brute force: plain loops over every variant in every valid placement.

Figures (memory with its spread, seconds with theirs, losses) come from the estimators; which placements there are, what
satisfies a constraint, which placement of a variant is best and which variant wins is decided here again, from the
documented rules and without any of the planner's own verdicts, masks or sort keys.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from planner.choose.categories import permits_commerce
from planner.choose.feasible import Assessment, assess_split
from planner.choose.index import LOADED_BY, Index
from planner.choose.losses import is_baseline
from planner.choose.setting import Setting, resolve
from planner.domain.architecture import Architecture
from planner.domain.constraint import (
    Constraint,
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
from planner.domain.figure import Basis
from planner.domain.loss import LossKind, LossVerdict, verdict
from planner.domain.profile import Profile
from planner.domain.runtime import canonical
from planner.domain.scenario import Objective, Scenario
from planner.domain.support import capability_of, supported
from planner.estimate.calibration import EXACT, STALE, Metric
from planner.estimate.placement import Split
from planner.estimate.priors import Z, runtime_code
from planner.estimate.queueing import HEADROOM

METRIC: dict[str, Metric] = {"ttft": "ttft", "tpot": "tpot", "itl": "itl", "e2e": "end_to_end"}
NO, LIKELY, SURE = "no", "likely", "sure"


@dataclass(frozen=True)
class Placed:
    """One variant in one placement, judged."""

    row: int
    tensor: int
    pipeline: int
    fails: frozenset[str]
    speed_likely: bool
    loss_likely: bool
    baseline: bool
    peak: float
    step_bytes: float
    tpot: float
    per_token: float

    @property
    def devices(self) -> int:
        return self.tensor * self.pipeline


@dataclass(frozen=True)
class Answer:
    """What wins, how many satisfy everything, and at least one constraint that each other candidate fails."""

    chosen: str | None
    tensor: int
    pipeline: int
    accepted: int
    fails: dict[str, frozenset[str]]


def profiles_of(index: Index) -> Mapping[str, Sequence[Profile]]:
    """Return the recordings by device, which the planner keeps to itself."""
    return index._profiles  # pyright: ignore[reportPrivateUsage]


def divides(shape: Architecture, ranks: int) -> bool:
    """Whether a layer can be cut into equal ranks."""
    if ranks == 1:
        return True
    widths = [shape.intermediate_size]
    if shape.experts:
        widths = [shape.experts.intermediate_size, shape.experts.shared_intermediate_size]
        widths += [shape.intermediate_size] if shape.experts.dense_layers else []
    if shape.heads % ranks or any(width % ranks for width in widths):
        return False
    return shape.mla is not None or shape.kv_heads % ranks == 0 or ranks % shape.kv_heads == 0


def ways(shape: Architecture, setting: Setting) -> list[tuple[int, int]]:
    """Return every (tensor, pipeline) split of a model over the devices."""
    if not setting.splittable:
        return [(1, 1)]
    found: list[tuple[int, int]] = []
    for tensor in range(1, setting.devices // setting.nodes + 1):
        for stages in range(1, setting.devices // tensor + 1):
            if stages & (stages - 1) and stages != setting.nodes:
                continue
            if divides(shape, tensor) and stages <= shape.layers:
                found.append((tensor, stages))
    return found


def fits(setting: Setting, value: float, lo: float, hi: float) -> bool:
    """Whether the peak is within the capacity with probability 1 - risk."""
    capacity = setting.capacity
    assert capacity is not None
    span = capacity.interval
    room = capacity.value - value
    own = (hi - value) / Z if room >= 0 else (value - lo) / Z
    other = 0.0
    if span is not None:
        other = ((capacity.value - span.lo) if room >= 0 else (span.hi - capacity.value)) / Z
    deviation = math.hypot(own, other)
    if deviation == 0:
        return room >= 0
    return room / deviation >= NormalDist().inv_cdf(1 - setting.scenario.risk)


def timed(assessment: Assessment, metric: Metric, quantile: str, at: int, limit: float) -> str:
    """Whether a time is at most `limit`: surely when it was recorded at this very point, likely when modelled."""
    speed = assessment.speeds.of(metric, quantile)
    rank, value = int(speed.rank[at]), float(speed.value[at])
    if rank < 0:
        return NO
    flags, lo, hi = int(speed.flags[at]), float(speed.lo[at]), float(speed.hi[at])
    recorded = rank <= Basis.IMPORTED.rank and flags & EXACT and not flags & STALE
    if value > limit:
        return NO
    if recorded and (math.isnan(hi) or hi <= limit):
        return SURE
    return NO if lo > limit else LIKELY


def judged(  # noqa: C901 - one rule per kind of constraint
    constraint: Constraint, index: Index, row: int, assessment: Assessment, at: int
) -> str:
    """Return whether one constraint holds for the variant in `row`."""
    variant, model = index.records[row], index.row_models[row]
    match constraint:
        case RuntimeFilter():
            name = canonical(constraint.name)
            recorded = {canonical(own) for own in variant.runtimes}
            proven = {
                canonical(profile.runtime.name)
                for own in profiles_of(index).values()
                for profile in own
                if profile.variant_id == variant.id and not profile.synthetic_weights
            }
            if name in recorded | proven:
                return SURE
            return SURE if not recorded and name in LOADED_BY[variant.file_format] else NO
        case FormatFilter():
            return SURE if variant.file_format.value == constraint.name else NO
        case SchemeFilter():
            words = variant.scheme.terms()
            return SURE if any(word in words for word in constraint.words) is not constraint.exclude else NO
        case LicenseFilter():
            text = (model.license or "").casefold()
            if constraint.name == "commercial":
                return SURE if model.license and permits_commerce(model.license) else NO
            return SURE if text.startswith(constraint.name) else NO
        case DiskLimit():
            return SURE if (variant.disk_bytes or variant.weight_bytes.value) <= constraint.limit else NO
        case LossLimit():
            answer = index.losses(constraint.kind, constraint.task).answers[row]
            said = verdict(
                answer.figure if answer else None, constraint.limit, confidence=constraint.confidence
            )
            if said is LossVerdict.CERTIFIED:
                return SURE
            return LIKELY if said is LossVerdict.LIKELY and not constraint.certified_only else NO
        case LatencyLimit():
            return timed(
                assessment, METRIC[constraint.metric.value], constraint.quantile, at, constraint.limit
            )
        case ThroughputFloor():
            users = assessment.setting.scenario.workload.concurrency
            total = constraint.limit * (users if constraint.scope is Scope.REQUEST else 1)
            return timed(assessment, "per_token", "central", at, 1 / total)
        case _:
            raise AssertionError(constraint)


def judge(index: Index, setting: Setting, assessment: Assessment, at: int) -> Placed:
    """Return one variant in the placement of `assessment`, every constraint judged."""
    scenario, row = setting.scenario, int(assessment.rows[at])
    variant, model = index.records[row], index.row_models[row]
    tensor, pipeline = (
        int(part[at]) for part in (assessment.terms.split.tensor, assessment.terms.split.pipeline)
    )
    peak = tuple(float(getattr(assessment.total, end)[at]) for end in ("value", "lo", "hi"))
    verdicts = {c.key: judged(c, index, row, assessment, at) for c in scenario.constraints}
    longest = model.architecture.max_context
    if longest is not None and scenario.workload.context_tokens > longest:
        verdicts["context"] = NO
    if setting.capacity is not None and not fits(setting, *peak):
        verdicts["memory"] = NO
    runtime = next((c for c in scenario.constraints if isinstance(c, RuntimeFilter)), None)
    device, version = setting.device, runtime.version if runtime else None
    capability = capability_of(device.compute_capability) if device else None
    there: set[str] = {p.variant_id for p in profiles_of(index).get(device.id, ())} if device else set[str]()
    runs = supported(variant.scheme, capability=capability, runtime=setting.engine, version=version).runs
    if not runs and (version is not None or variant.id not in there):
        verdicts["support"] = NO
    if scenario.rate is not None:
        slots = scenario.workload.concurrency * (setting.devices // (tensor * pipeline))
        verdicts["rate"] = timed(assessment, "end_to_end", "central", at, slots * HEADROOM / scenario.rate)
    loss_keys = {c.key for c in scenario.constraints if isinstance(c, LossLimit)}
    times = {name: float(assessment.speeds.of(name).value[at]) for name in ("tpot", "per_token")}
    return Placed(
        row=row,
        tensor=tensor,
        pipeline=pipeline,
        fails=frozenset(key for key, said in verdicts.items() if said == NO),
        speed_likely=any(said == LIKELY for key, said in verdicts.items() if key not in loss_keys),
        loss_likely=any(said == LIKELY for key, said in verdicts.items() if key in loss_keys),
        baseline=is_baseline(variant, model),
        peak=peak[0],
        step_bytes=float(assessment.step_bytes[at]),
        tpot=times["tpot"] if not math.isnan(times["tpot"]) else math.inf,
        per_token=times["per_token"] if not math.isnan(times["per_token"]) else math.inf,
    )


def every_placement(scenario: Scenario, index: Index) -> dict[int, list[Placed]]:
    """Return every variant whose model is meant in every valid placement."""
    setting = resolve(scenario, index, now=None)
    meant = [row for row, model in enumerate(index.row_models) if scenario.model.selects(model)]
    by_way: dict[tuple[int, int], list[int]] = {}
    for row in meant:
        for way in ways(index.row_models[row].architecture, setting):
            by_way.setdefault(way, []).append(row)
    found: dict[int, list[Placed]] = {row: [] for row in meant}
    for (tensor, stages), members in sorted(by_way.items()):
        rows = np.array(members, dtype=np.int64)
        columns = index.columns.take(rows)
        if setting.engine is not None:
            columns.runtime.setflags(write=True)
            columns.runtime[:] = runtime_code(setting.engine)
        split = Split(np.full(len(rows), tensor), np.full(len(rows), stages))
        assessment = assess_split(index, setting, rows, columns, split)
        for at, row in enumerate(members):
            found[row].append(judge(index, setting, assessment, at))
    return found


def placement_key(placed: Placed, objective: Objective) -> tuple[float, ...]:
    """Return what placements of one variant are compared by, smaller first."""
    good: tuple[float, float]
    match objective:
        case _ if placed.fails:
            good = (placed.peak, 0.0)
        case Objective.FASTEST:
            good = (placed.tpot, placed.step_bytes)
        case Objective.HIGHEST_THROUGHPUT:
            good = (placed.per_token, placed.step_bytes)
        case Objective.CHEAPEST:
            good = (placed.peak * placed.devices, 0.0)
        case _:
            good = (0.0, 0.0)
    uncertain = placed.speed_likely and not placed.fails
    return (bool(placed.fails), uncertain, *good, placed.pipeline > 1, -placed.tensor, placed.pipeline)


def answer(scenario: Scenario, index: Index) -> Answer:
    """Return the winner over all variants and placements."""
    objective = scenario.objective
    limits = [c for c in scenario.constraints if isinstance(c, LossLimit)]
    losses = index.losses(limits[0].kind, limits[0].task) if limits else index.losses(LossKind.RELATIVE, None)
    best = {
        row: min(options, key=lambda placed: placement_key(placed, objective))
        for row, options in every_placement(scenario, index).items()
    }
    accepted = [placed for placed in best.values() if not placed.fails]
    fails = {index.records[row].id: placed.fails for row, placed in best.items() if placed.fails}
    if not accepted:
        return Answer(None, 0, 0, 0, fails)
    any_likely = any(placed.loss_likely for placed in accepted)
    any_evident = any(not placed.loss_likely and not placed.baseline for placed in accepted)
    back = objective is not Objective.MOST_ACCURATE and any_likely and not any_evident
    known = {
        "tpot": any(math.isfinite(placed.tpot) for placed in accepted),
        "per_token": any(math.isfinite(placed.per_token) for placed in accepted),
    }

    def key(placed: Placed) -> tuple[object, ...]:
        variant, model = index.records[placed.row], index.row_models[placed.row]
        own = losses.answers[placed.row]
        loss = own.figure.value if own else math.inf
        tier = placed.speed_likely + 2 * (placed.loss_likely or (back and placed.baseline))
        tail = (placed.peak, not variant.is_fetchable, variant.id)
        match objective:
            case Objective.MOST_ACCURATE:
                bits = variant.effective_bits or variant.weight_bytes.value * 8 / (
                    variant.parameters or model.parameters
                )
                return (tier, max(loss, 0.0), -model.parameters, 0.0 if own else -bits, *tail)
            case Objective.SMALLEST:
                return (tier, variant.weight_bytes.value, loss, *tail)
            case Objective.CHEAPEST:
                return (tier, placed.peak * placed.devices, loss, *tail)
            case Objective.FASTEST:
                return (tier, placed.tpot if known["tpot"] else placed.step_bytes, loss, *tail)
            case Objective.HIGHEST_THROUGHPUT:
                return (tier, placed.per_token if known["per_token"] else placed.step_bytes, loss, *tail)

    winner = min(accepted, key=key)
    return Answer(index.records[winner.row].id, winner.tensor, winner.pipeline, len(accepted), fails)
