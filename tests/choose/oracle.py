"""The planner's answer a second time, as a plain loop over records in pure Python, with none of its columns or masks.

Formulae are written out again from the documentation of `planner.estimate`, so that a slip in either shows.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from planner.choose.losses import is_baseline, zero_loss
from planner.domain.constraint import (
    DiskLimit,
    FormatFilter,
    LatencyLimit,
    LossLimit,
    RuntimeFilter,
    SchemeFilter,
    ThroughputFloor,
)
from planner.domain.device import Device
from planner.domain.evaluation import Evaluation
from planner.domain.loss import LossKind, LossVerdict, verdict
from planner.domain.loss_basis import LossBasis, assess
from planner.domain.model import Model
from planner.domain.profile import Profile
from planner.domain.scenario import Objective, Scenario
from planner.domain.scheme import NumberFormat
from planner.domain.variant import FileFormat, Variant
from planner.domain.workload import Workload
from planner.estimate.calibration import widths_of
from planner.estimate.capacity import capacity_of
from planner.estimate.columns import FORMATS
from planner.estimate.conformal import Distance
from planner.estimate.effects import DEVICE_SPREADS, NOISE
from planner.estimate.learned import EFFECTS
from planner.estimate.priors import (
    GENERAL,
    KV_SPREAD,
    LLAMA_CPP,
    RUNTIMES,
    SHARD_SPREAD,
    STEP_OVERHEAD,
    TRANSFORMERS,
    VLLM,
    RuntimePrior,
    Z,
    runtime_family,
)
from tests.choose.records import Records

_PRIORS = {"transformers": TRANSFORMERS, "vllm": VLLM, "llama.cpp": LLAMA_CPP}


@dataclass(frozen=True)
class Answer:
    chosen: str | None
    fell: Counter[str]


def degree_of(model: Model, devices: int) -> int:
    shape = model.architecture
    for degree in range(devices, 1, -1):
        splits = shape.mla is not None or shape.kv_heads % degree == 0 or degree % shape.kv_heads == 0
        if shape.heads % degree == 0 and splits:
            return degree
    return 1


def peak_bytes(
    variant: Variant, model: Model, load: Workload, prior: RuntimePrior, devices: int, *, gpu: bool
) -> tuple[float, float, float]:
    """Return (value, lo, hi) of the peak of one device."""
    shape, degree = model.architecture, degree_of(model, devices)
    interval = variant.weight_bytes.interval
    ends = [variant.weight_bytes.value] * 3
    if interval is not None:
        ends = [variant.weight_bytes.value, interval.lo, interval.hi]
    else:
        ends = [ends[0], ends[0] * 0.95, ends[0] * 1.05]
    weights = [end / degree for end in ends]
    if degree > 1:
        weights[2] *= SHARD_SPREAD.hi
    tokens = math.ceil(load.context_tokens / prior.kv_block_tokens) * prior.kv_block_tokens
    wide = 32 if variant.scheme.weight.format is NumberFormat.FP32 else 16
    bits = variant.scheme.kv.bits if variant.scheme.kv else wide
    shards = 1 if shape.mla else min(degree, shape.kv_heads)
    cache = shape.kv_elements(tokens) * load.concurrency * bits / 8 / shards
    chunk = min(load.input_tokens * load.concurrency, prior.chunk_tokens)
    width = shape.intermediate_size
    if shape.experts:
        width = max(
            width,
            shape.experts.active * shape.experts.intermediate_size + shape.experts.shared_intermediate_size,
        )
    rows = 1 if prior.logits_fixed else chunk if prior.logits_per_chunk else load.concurrency
    live = prior.activation_fixed + shape.vocab_size * prior.activation_per_vocab * rows
    element = prior.element_bytes or wide / 8
    live += chunk * (shape.hidden_size * prior.hidden_copies + width * prior.mlp_copies) * element
    fixed = prior.overhead_gpu if gpu else prior.overhead_cpu
    result = []
    for weight, kv, spread, over, extra, lost in (
        (weights[0], 1.0, 1.0, fixed.value, prior.overhead_multi_device.value, prior.fragmentation.value),
        (weights[1], KV_SPREAD.lo, prior.activation_spread.lo, fixed.lo, prior.overhead_multi_device.lo, prior.fragmentation.lo),
        (weights[2], KV_SPREAD.hi, prior.activation_spread.hi, fixed.hi, prior.overhead_multi_device.hi, prior.fragmentation.hi),
    ):  # fmt: skip
        shared = extra if degree > 1 else 0.0
        result.append(weight + cache * kv + live * spread + over + shared + lost * (cache + live))
    return result[0], result[1], result[2]


def fits(peak: tuple[float, float, float], capacity_value: float, lo: float, hi: float, risk: float) -> bool:
    value, low, high = peak
    room = capacity_value - value
    own, other = (high - value, capacity_value - lo) if room >= 0 else (value - low, hi - capacity_value)
    deviation = math.hypot(own / Z, other / Z)
    return room >= 0 if deviation == 0 else room / deviation >= NormalDist().inv_cdf(1 - risk)


def roofline(
    variant: Variant, model: Model, device: Device, *, load: Workload, prior: RuntimePrior
) -> tuple[float, float]:
    """Return modelled (TTFT, TPOT) seconds without tensor parallelism."""
    assert device.bandwidth_bytes_per_second is not None
    shape = model.architecture
    uniform = variant.scheme.is_reference or variant.scheme.weight.format.is_gguf
    weights = variant.weight_bytes.value
    per_table = weights / shape.parameters if uniform else 2.0
    table = 0.0 if shape.tied_embeddings else shape.vocab_size * shape.hidden_size * per_table
    per_linear = (weights - shape.embedding_parameters * per_table) / (
        shape.parameters - shape.embedding_parameters
    )
    missed = 0.0
    if shape.experts:
        count, active = shape.experts.count, shape.experts.active
        routed = (shape.parameters - shape.active_parameters) * count // (count - active)
        missed = routed * per_linear * (1 - active / count) ** load.concurrency
    compute = device.peak.of(variant.scheme.compute_format) or device.peak.bf16
    assert compute is not None
    peak = compute * prior.prefill_efficiency.value
    reach = device.bandwidth_bytes_per_second * prior.decode_efficiency.value
    step = STEP_OVERHEAD.value + shape.layers * prior.layer_overhead_gpu.value
    width = shape.heads * shape.head_dim
    multiplied = shape.active_parameters - shape.embedding_parameters
    tokens = load.input_tokens * load.concurrency
    prefill = tokens * (2 * multiplied + 2 * load.input_tokens * width * shape.layers)
    ttft = max(prefill / peak, (weights - table) / reach) + step
    context = load.input_tokens + load.output_tokens / 2
    bits = variant.scheme.kv.bits if variant.scheme.kv else 16
    full = shape.layers - shape.sliding_layers
    window = min(context, shape.sliding_window or context)
    cached = shape.kv_elements_per_token * (full * context + shape.sliding_layers * window)
    reads = (weights - table - missed + cached * load.concurrency * bits / 8) / reach
    compute_step = load.concurrency * (2 * multiplied + 4 * context * width * shape.layers) / peak
    return ttft, max(reads, compute_step) + step


def unseen_seconds(
    metric: str, variant: Variant, device: Device, grouped: Grouped, *, prior: RuntimePrior, load: Workload
) -> tuple[float, float]:
    """Return (seconds, half width in log space) for a variant without recordings, from those of others on the device.

    The effects are written as one dense linear prediction over all recordings (kriging) in place of the tree. A profile
    of `generate` has one point, at `load`.
    """
    own = RUNTIMES.index(prior)
    cell = (own, variant.scheme.weight.format)
    general = EFFECTS[metric]
    models, by_id = grouped.models, {v.id: v for v in grouped.variants}
    cells, ratios = [], []
    for profile in grouped.records.profiles:
        if profile.device_id != device.id:
            continue
        point, other = profile.points[0], by_id[profile.variant_id]
        distribution = point.ttft_seconds if metric == "ttft" else point.tpot_seconds
        assert distribution is not None
        family = runtime_family(profile.runtime.name, profile.runtime.mode)
        times = roofline(other, models[other.model_id], device, load=load, prior=RUNTIMES[family])
        recorded = distribution.p50 if distribution.p50 is not None else distribution.mean
        cells.append((family, other.scheme.weight.format))
        level = float(general.at(np.array([family]), np.array([FORMATS.index(cells[-1][1])]))[0])
        ratios.append(math.log(recorded / times[metric != "ttft"]) - level)
    value = roofline(variant, models[variant.model_id], device, load=load, prior=prior)[metric != "ttft"]
    value *= math.exp(float(general.at(np.array([own]), np.array([FORMATS.index(cell[1])]))[0]))
    distance = Distance.DEVICE
    if cells:
        whole, by_family, by_cell, by_variant = (spread**2 for spread in DEVICE_SPREADS)

        def shared(one: tuple[int, NumberFormat], two: tuple[int, NumberFormat]) -> float:
            return whole + by_family * (one[0] == two[0]) + by_cell * (one == two)

        kernel = np.array([[shared(a, b) for b in cells] for a in cells])
        kernel += np.eye(len(cells)) * (by_variant + NOISE**2)
        weights = np.linalg.solve(kernel, np.array(ratios))
        value *= math.exp(float(np.array([shared(cell, other) for other in cells]) @ weights))
        if cell in cells:
            distance = Distance.VARIANT
        elif own in {family for family, _ in cells}:
            distance = Distance.SCHEME
    return value, widths_of(metric)[distance].half


def _speed_verdict(
    limit: LatencyLimit,
    variant: Variant,
    model: Model,
    device: Device | None,
    *,
    load: Workload,
    profiles: list[Profile],
    prior: RuntimePrior,
    grouped: Grouped,
) -> str:
    """Return met, likely or no, for devices with known bandwidth and profiles at the very workload."""
    if device is None:
        return "no"
    metric = limit.metric.value
    for profile in profiles:
        point = profile.points[0]
        distribution = point.ttft_seconds if metric == "ttft" else point.tpot_seconds
        assert distribution is not None
        value = distribution.quantile(limit.quantile)
        if value is not None:
            return "met" if value <= limit.limit else "no"
        if limit.quantile in {"p90", "p95", "p99"}:
            return "no"
        stand_in = distribution.mean
        modelled = roofline(variant, model, device, load=load, prior=prior)[metric != "ttft"]
        assert modelled > 0
        # At its own workload a stand-in calibrates the roofline to itself.
        return "likely" if stand_in <= limit.limit else "no"
    if limit.quantile in {"p90", "p95", "p99"} or device.bandwidth_bytes_per_second is None:
        return "no"
    value, half = unseen_seconds(metric, variant, device, grouped, prior=prior, load=load)
    if value * math.exp(-half) > limit.limit:
        return "no"
    return "likely" if value <= limit.limit else "no"


@dataclass(frozen=True)
class Grouped:
    """Records by what a loop looks them up with, made once."""

    records: Records
    models: dict[str, Model]
    variants: list[Variant]
    evaluations: dict[str, list[Evaluation]]
    profiles: dict[str, list[Profile]]

    @classmethod
    def of(cls, records: Records) -> Grouped:
        evaluations: dict[str, list[Evaluation]] = {}
        for evaluation in sorted(records.evaluations, key=lambda e: e.id):
            evaluations.setdefault(evaluation.variant_id, []).append(evaluation)
        profiles: dict[str, list[Profile]] = {}
        for profile in sorted(records.profiles, key=lambda p: p.id):
            profiles.setdefault(profile.variant_id, []).append(profile)
        models = {model.id: model for model in records.models}
        return cls(records, models, sorted(records.variants, key=lambda v: v.id), evaluations, profiles)


def answer(scenario: Scenario, records: Records) -> Answer:
    """Return the chosen variant and how many fell at each constraint, by the documented rules."""
    return answer_from(scenario, Grouped.of(records))


def answer_from(scenario: Scenario, grouped: Grouped) -> Answer:  # noqa: C901, PLR0912, PLR0915 - one plain loop
    """Return the same from records that are grouped already."""
    records, models, evaluations = grouped.records, grouped.models, grouped.evaluations
    hardware, load = scenario.hardware, scenario.workload

    def profiles_of(variant: Variant) -> list[Profile]:
        return [
            p
            for p in grouped.profiles.get(variant.id, [])
            if hardware and p.device_id == hardware.device_id and p.devices == hardware.count
        ]

    device = next((d for d in records.devices if hardware and d.id == hardware.device_id), None)
    capacity = capacity_of(device, hardware)
    by_type = {type(c): c for c in scenario.constraints}
    runtime, file_format = by_type.get(RuntimeFilter), by_type.get(FormatFilter)
    scheme, disk = by_type.get(SchemeFilter), by_type.get(DiskLimit)
    losses = [c for c in scenario.constraints if isinstance(c, LossLimit)]
    speeds = sorted(
        (c for c in scenario.constraints if isinstance(c, LatencyLimit)), key=scenario.constraints.index
    )
    assert not any(isinstance(c, ThroughputFloor) for c in scenario.constraints)
    first = losses[0] if losses else None
    fell: Counter[str] = Counter()
    found: list[tuple[int, tuple[object, ...], str, bool]] = []
    for variant in grouped.variants:
        model = models[variant.model_id]
        if not scenario.model.selects(model):
            fell["model"] += 1
            continue
        gguf = variant.file_format is FileFormat.GGUF
        if isinstance(runtime, RuntimeFilter):
            known = {"llama.cpp", "ollama"} if gguf else {"transformers", "vllm", "sglang", "tgi"}
            proven = {p.runtime.name for p in grouped.profiles.get(variant.id, [])}
            if runtime.name not in (set(variant.runtimes) or known) | proven:
                fell["runtime"] += 1
                continue
        if isinstance(file_format, FormatFilter) and variant.file_format.value != file_format.name:
            fell["format"] += 1
            continue
        if isinstance(scheme, SchemeFilter) and not scheme.admits(variant.scheme):
            fell["scheme"] += 1
            continue
        longest = model.architecture.max_context
        if longest is not None and load.context_tokens > longest:
            fell["context"] += 1
            continue
        asked = runtime.name if isinstance(runtime, RuntimeFilter) else None
        prior = _PRIORS.get(asked, GENERAL) if asked else LLAMA_CPP if gguf else GENERAL
        gpu = (device.kind if device else hardware.kind if hardware else None) in {None, "gpu"}
        count = hardware.count if hardware else 1
        peak = peak_bytes(variant, model, load, prior, count, gpu=gpu)
        if capacity is not None:
            interval = capacity.interval
            assert interval is not None
            if not fits(peak, capacity.value, interval.lo, interval.hi, scenario.risk):
                fell["memory"] += 1
                continue
        size = variant.disk_bytes or variant.weight_bytes.value
        if isinstance(disk, DiskLimit) and size > disk.limit:
            fell["disk"] += 1
            continue
        rejected, tier = None, 0
        for limit in losses:
            basis = _loss(variant, model, evaluations.get(variant.id, []), limit.kind, limit.task)
            said = verdict(basis.figure if basis else None, limit.limit, confidence=limit.confidence)
            if said is LossVerdict.LIKELY and not limit.certified_only:
                tier |= 2
            elif said is not LossVerdict.CERTIFIED:
                rejected = rejected or limit.key
        for latency in speeds:
            speaking = [
                p
                for p in profiles_of(variant)
                if not isinstance(runtime, RuntimeFilter) or p.runtime.name == runtime.name
            ]
            said_speed = _speed_verdict(
                latency, variant, model, device, load=load, profiles=speaking, prior=prior, grouped=grouped
            )
            if said_speed == "no":
                rejected = rejected or latency.key
            elif said_speed == "likely":
                tier |= 1
        if rejected:
            fell[rejected] += 1
            continue
        shown = _loss(
            variant, model, evaluations.get(variant.id, []),
            first.kind if first else LossKind.RELATIVE, first.task if first else None,
        )  # fmt: skip
        loss = shown.figure.value if shown else math.inf
        key: tuple[object, ...]
        total = peak[0] * degree_of(model, count)
        held = not variant.is_fetchable
        match scenario.objective:
            case Objective.MOST_ACCURATE:
                bits = 0.0 if shown else -(variant.weight_bytes.value * 8 / model.parameters)
                key = (max(loss, 0.0), -model.parameters, bits, peak[0], held, variant.id)
            case Objective.SMALLEST:
                key = (variant.weight_bytes.value, loss, peak[0], held, variant.id)
            case Objective.CHEAPEST:
                key = (total, loss, peak[0], held, variant.id)
            case _:
                raise AssertionError(scenario.objective)
        fell["objective"] += 1
        found.append((tier, key, variant.id, is_baseline(variant, model)))
    if not found:
        return Answer(None, +fell)
    # Certain by definition counts as certified only beside what evidence certifies, or where accuracy is asked for.
    likely = any(tier & 2 for tier, *_ in found)
    certified = any(not tier & 2 and not baseline for tier, _, _, baseline in found)
    if likely and not certified and scenario.objective is not Objective.MOST_ACCURATE:
        found = [(tier | 2 if baseline else tier, key, name, baseline) for tier, key, name, baseline in found]
    fell["objective"] -= 1
    return Answer(min(found)[2], +fell)


def _loss(
    variant: Variant, model: Model, evaluations: list[Evaluation], kind: LossKind, task: str | None
) -> LossBasis | None:
    if is_baseline(variant, model):
        return zero_loss(kind)
    return assess(evaluations, kind=kind, task=task) if evaluations else None
