"""Memory: the one estimator of peak device memory, and the probability that it fits.

Peak of one device under tensor parallelism = weights + KV cache + activations + overhead. Terms are added with their
spreads end to end, which is safe under any dependence between them. A peak that was measured replaces the modelled
terms. Formulae follow the tools named in `priors`; `fits` compares the total with the capacity as two independent
normals whose halves may differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from planner.domain.architecture import Architecture
from planner.domain.figure import Basis, Figure, Interval
from planner.domain.outcome import MemoryEstimate
from planner.domain.scheme import Scheme
from planner.domain.units import Unit
from planner.domain.workload import Workload
from planner.estimate.capacity import capacity_of
from planner.estimate.columns import (
    Booleans,
    Columns,
    Floats,
    Integers,
    columns_of,
    kv_elements,
)
from planner.estimate.placement import Split, parallel_degree, stage_weights
from planner.estimate.priors import (
    CONFIDENCE,
    KV_SPREAD,
    LATENT_BYTES_NOTE,
    PEAK_SPREAD,
    RUNTIMES,
    SHARD_SPREAD,
    WEIGHT_SPREAD,
    Prior,
    RuntimePrior,
    Z,
    runtime_code,
)

_NORMAL: Final = NormalDist()
_BLOCKS: Final = np.array([prior.kv_block_tokens for prior in RUNTIMES], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Term:
    """Bytes of one term: middle and both ends at the priors' confidence."""

    value: Floats
    lo: Floats
    hi: Floats

    def __add__(self, other: Term) -> Term:
        return Term(self.value + other.value, self.lo + other.lo, self.hi + other.hi)


@dataclass(frozen=True, slots=True)
class Demand:
    """Workload points as arrays, to ask one variant for its memory at many of them at once."""

    input_tokens: Floats
    context_tokens: Floats
    concurrency: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryTerms:
    """The terms of the peak of one device, for n variants, and how many devices each one is split over."""

    weights: Term
    kv_cache: Term
    activations: Term
    overhead: Term
    total: Term
    degree: Integers
    """Devices of one replica: tensor x pipeline."""
    split: Split
    place: Integers | None = None
    """Where KV cache, activations and overhead of a row stand, when they are kept once per group of alike rows."""

    def placed(self, row: int) -> int:
        """Return where KV cache, activations and overhead of a row stand."""
        return row if self.place is None else int(self.place[row])


def _gather(columns: Columns, values: list[float] | Floats) -> Floats:
    return np.asarray(values, dtype=np.float64)[columns.runtime]


def _ends(priors: list[Prior]) -> Term:
    return Term(*(np.array([getattr(prior, end) for prior in priors]) for end in ("value", "lo", "hi")))


_ACTIVATION_SPREAD: Final = _ends([prior.activation_spread for prior in RUNTIMES])
_OVERHEAD_GPU: Final = _ends([prior.overhead_gpu for prior in RUNTIMES])
_OVERHEAD_CPU: Final = _ends([prior.overhead_cpu for prior in RUNTIMES])
_SEVERAL: Final = _ends([prior.overhead_multi_device for prior in RUNTIMES])
_LOST: Final = _ends([prior.fragmentation for prior in RUNTIMES])


def _spread(columns: Columns, priors: Term) -> Term:
    runtime = columns.runtime
    return Term(priors.value[runtime], priors.lo[runtime], priors.hi[runtime])


def kv_bytes(
    columns: Columns, degree: Integers, *, tokens: Floats | float, concurrency: Floats | float
) -> Floats:
    """Return bytes of KV cache and states on one device for `concurrency` sequences of `tokens` in whole blocks.

    GQA heads are divided over the devices, or replicated once there are more devices than heads; MLA is replicated. States
    of a state space or linear attention do not grow with the tokens; their heads are divided.
    """
    block = _BLOCKS[columns.runtime]
    rounded = np.ceil(tokens / block) * block
    shards = np.where(columns.latent, 1, np.minimum(degree, columns.kv_heads))
    growing = kv_elements(columns, rounded) * columns.kv_bits / 8 / shards
    return (growing + columns.state_bytes / degree) * concurrency


def _again(columns: Columns, *, accelerated: bool) -> tuple[Floats, Floats, Floats]:
    """Return by how much the runtime multiplies the weights, and both ends: a CPU process may hold them once more."""
    if accelerated:
        one = np.ones(len(columns))
        return one, one, one
    priors = [prior.weights_again_cpu for prior in RUNTIMES]
    return tuple(
        1 + _gather(columns, [0.0 if p is None else float(getattr(p, end)) for p in priors])
        for end in ("value", "lo", "hi")
    )  # type: ignore[return-value]  # three ends


def _field(name: str) -> Floats:
    return np.array([float(getattr(prior, name) or 0) for prior in RUNTIMES])


_FIXED: Final = _field("activation_fixed")
_PER_VOCAB: Final = _field("activation_per_vocab")
_PER_CHUNK: Final = _field("logits_per_chunk")
_LOGITS_FIXED: Final = _field("logits_fixed")
_HIDDEN: Final = _field("hidden_copies")
_MLP: Final = _field("mlp_copies")
_CHUNK: Final = _field("chunk_tokens")
_ELEMENT: Final = _field("element_bytes")


def activation_bytes(
    columns: Columns, *, input_tokens: Floats | float, concurrency: Floats | float
) -> Floats:
    """Return activation bytes of prefill, the larger of the two phases; see RuntimePrior for the formula."""
    chunk = np.minimum(input_tokens * concurrency, _gather(columns, _CHUNK))
    own = _gather(columns, _ELEMENT)
    element = np.where(own > 0, own, columns.element_bytes)
    rows = np.where(_gather(columns, _PER_CHUNK) > 0, chunk, concurrency)
    rows = np.where(_gather(columns, _LOGITS_FIXED) > 0, 1.0, rows)
    live = columns.hidden * _gather(columns, _HIDDEN) + columns.mlp_width * _gather(columns, _MLP)
    return (
        _gather(columns, _FIXED)
        + columns.vocab * _gather(columns, _PER_VOCAB) * rows
        + chunk * live * element
    )


def _fullest_stage(columns: Columns, split: Split, cache: Floats) -> tuple[Floats, Floats]:
    """Return weight and cache bytes of a rank of the stage that holds most; `cache` is that of all layers."""
    if (split.devices == 1).all():
        return columns.weight_bytes, cache
    alone = split.devices == 1
    weights = cached = np.zeros(len(columns))
    for stage, layers in stage_weights(columns, split):
        share = cache * (layers / columns.layers)
        more = stage + share > weights + cached
        weights, cached = np.where(more, stage, weights), np.where(more, share, cached)
    return np.where(alone, columns.weight_bytes, weights), cached


def _beside_weights(
    columns: Columns, workload: Workload | Demand, cache: Floats, *, several: Booleans, accelerated: bool
) -> tuple[Term, Term, Term]:
    """Return KV cache, activations and overhead, none of which depends on the weights; `cache` is that of one device."""
    kv_cache = Term(cache, cache * KV_SPREAD.lo, cache * KV_SPREAD.hi)
    live = activation_bytes(columns, input_tokens=workload.input_tokens, concurrency=workload.concurrency)
    spread = _spread(columns, _ACTIVATION_SPREAD)
    activations = Term(live, live * spread.lo, live * spread.hi)
    fixed = _spread(columns, _OVERHEAD_GPU if accelerated else _OVERHEAD_CPU)
    extra = _spread(columns, _SEVERAL)
    lost = _spread(columns, _LOST)
    dynamic = cache + live
    overhead = Term(
        fixed.value + extra.value * several + lost.value * dynamic,
        fixed.lo + extra.lo * several + lost.lo * dynamic,
        fixed.hi + extra.hi * several + lost.hi * dynamic,
    )
    return kv_cache, activations, overhead


def memory_terms(
    columns: Columns,
    workload: Workload | Demand,
    *,
    devices: int,
    accelerated: bool,
    split: Split | None = None,
) -> MemoryTerms:
    """Return the modelled peak of one of `devices`; `accelerated` says that they are GPUs with a memory of their own.

    Without `split`, tensor parallelism takes the largest valid degree. `columns` of one row may be asked at many demands.
    On single devices everything beside the weights is computed once per group of rows that are alike in it.
    """
    if split is None:
        split = Split(parallel_degree(columns, devices), np.ones(len(columns), dtype=np.int64))
    several = split.devices > 1
    if not several.any() and len(columns) > 1:
        return _terms_of_groups(columns, workload, split, accelerated=accelerated)
    whole = kv_bytes(columns, split.tensor, tokens=workload.context_tokens, concurrency=workload.concurrency)
    held, cache = _fullest_stage(columns, split, whole)
    share = held / columns.weight_bytes
    again = _again(columns, accelerated=accelerated)
    weights = Term(
        held * again[0],
        columns.weight_lo * share * again[1] * np.where(several, SHARD_SPREAD.lo, 1.0),
        columns.weight_hi * share * again[2] * np.where(several, SHARD_SPREAD.hi, 1.0),
    )
    parts = _beside_weights(columns, workload, cache, several=several, accelerated=accelerated)
    return MemoryTerms(
        weights=weights,
        kv_cache=parts[0],
        activations=parts[1],
        overhead=parts[2],
        total=weights + (parts[0] + parts[1] + parts[2]),
        degree=split.devices,
        split=split,
    )


def _terms_of_groups(
    columns: Columns, workload: Workload | Demand, split: Split, *, accelerated: bool
) -> MemoryTerms:
    rows = len(columns)
    last = np.full(int(columns.group.max()) + 1, -1, dtype=np.int64)
    last[columns.group] = np.arange(rows)
    present = np.flatnonzero(last >= 0)
    alike = columns.take(last[present])
    place = np.empty(len(last), dtype=np.int64)
    place[present] = np.arange(len(present))
    place = place[columns.group]
    one = np.ones(len(present), dtype=np.int64)
    cache = kv_bytes(alike, one, tokens=workload.context_tokens, concurrency=workload.concurrency)
    parts = _beside_weights(alike, workload, cache, several=one > 1, accelerated=accelerated)
    rest = parts[0] + parts[1] + parts[2]
    weights = Term(columns.weight_bytes, columns.weight_lo, columns.weight_hi)
    if not accelerated:
        again = _again(columns, accelerated=False)
        weights = Term(weights.value * again[0], weights.lo * again[1], weights.hi * again[2])
    return MemoryTerms(
        weights=weights,
        kv_cache=parts[0],
        activations=parts[1],
        overhead=parts[2],
        total=weights + Term(rest.value[place], rest.lo[place], rest.hi[place]),
        degree=split.devices,
        split=split,
        place=place,
    )


def fit_score(total: Term, capacity: Figure) -> Floats:
    """Return by how many standard deviations the capacity exceeds each total; it fits with probability Phi(score).

    Both spreads are read as normal halves: of the total the half towards the capacity, of the capacity that towards the
    total. Without any spread the score is plus or minus infinity.
    """
    value = capacity.value
    half = capacity.interval
    below = (value - half.lo) / Z if half else 0.0
    above = (half.hi - value) / Z if half else 0.0
    room = value - total.value
    fits = room >= 0
    deviation = np.hypot(
        np.where(fits, total.hi - total.value, total.value - total.lo) / Z, np.where(fits, below, above)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        score = room / deviation
    return np.where(deviation > 0, score, np.where(fits, np.inf, -np.inf))


def required_score(risk: float) -> float:
    """Return the score at which a total fits with probability 1 - `risk`."""
    return _NORMAL.inv_cdf(1 - risk)


def probability(score: float) -> float:
    """Return Phi(`score`)."""
    return 1.0 if score == math.inf else 0.0 if score == -math.inf else _NORMAL.cdf(score)


def _figure(
    term: Term, row: int, *, basis: Basis, evidence: tuple[str, ...] = (), note: str | None = None
) -> Figure:
    lo, value, hi = float(term.lo[row]), float(term.value[row]), float(term.hi[row])
    interval = Interval(lo=min(lo, value), hi=max(hi, value), confidence=CONFIDENCE)
    return Figure(value=value, unit=Unit.BYTES, basis=basis, interval=interval, evidence=evidence, note=note)


def peak_term(peak: Figure) -> tuple[float, float, float]:
    """Return value, lo and hi of a recorded peak; without an interval its repeatability is assumed."""
    if peak.interval is not None:
        return peak.value, peak.interval.lo, peak.interval.hi
    return peak.value, peak.value * PEAK_SPREAD.lo, peak.value * PEAK_SPREAD.hi


def _explained_by(peak: Figure, terms: MemoryTerms, row: int) -> tuple[float, float, float, float]:
    """Split a measured peak into (weights, kv, activations, overhead) so that the parts add up to it."""
    rest = peak.value
    parts: list[float] = []
    at = terms.placed(row)
    for term, where in ((terms.weights, row), (terms.kv_cache, at), (terms.overhead, at)):
        part = min(rest, float(term.value[where]))
        parts.append(part)
        rest -= part
    weights, cache, overhead = parts
    return weights, cache, rest, overhead


def _split_in_words(degree: int, stages: int) -> str:
    if stages == 1:
        return f", one of {degree} shards" if degree > 1 else ""
    shards = f", one of {degree} shards" if degree > 1 else ""
    return f", the fullest of {stages} pipeline stages{shards}"


def describe_memory(
    terms: MemoryTerms,
    row: int,
    *,
    weights: Figure,
    prior: RuntimePrior,
    capacity: Figure | None,
    accelerated: bool,
    latent: bool = False,
    peak: Figure | None = None,
    score: float | None = None,
) -> MemoryEstimate:
    """Return the estimate of one row as figures. `weights` is the figure of the whole model that the row was built from.

    `score` is the `fit_score` of the total where it is known already.
    """
    at = terms.placed(row)
    degree, stages = int(terms.split.tensor[row]), int(terms.split.pipeline[row])
    split = _split_in_words(degree, stages)
    assumed = "" if weights.interval else f"; {WEIGHT_SPREAD.source}"
    fixed = prior.overhead_gpu if accelerated else prior.overhead_cpu
    kv_note = LATENT_BYTES_NOTE if latent and degree > 1 else None
    if peak is None:
        parts = {
            "weights": _figure(
                terms.weights,
                row,
                basis=weights.basis,
                evidence=weights.evidence,
                note=f"{weights.note or ''}{split}{assumed}".strip(",; ") or None,
            ),
            "kv_cache": _figure(terms.kv_cache, at, basis=Basis.MODELLED, note=kv_note),
            "activations": _figure(
                terms.activations,
                at,
                basis=Basis.MODELLED,
                note=f"{prior.name}: {prior.activation_spread.source}",
            ),
            "overhead": _figure(
                terms.overhead, at, basis=Basis.MODELLED, note=f"{prior.name}: {fixed.source}"
            ),
        }
        total = _figure(
            terms.total,
            row,
            basis=max((part.basis for part in parts.values()), key=lambda basis: basis.rank),
            evidence=weights.evidence,
        )
    else:
        value, lo, hi = peak_term(peak)
        shares = _explained_by(peak, terms, row)
        names = ("weights", "kv_cache", "activations", "overhead")
        parts = {
            name: Figure(
                value=share,
                unit=Unit.BYTES,
                basis=weights.basis if name == "weights" else Basis.MODELLED,
                evidence=weights.evidence if name == "weights" else (),
                note="share of the recorded peak; the rest of it after the other terms"
                if name == "activations"
                else None,
            )
            for name, share in zip(names, shares, strict=True)
        }
        total = Figure(
            value=value,
            unit=Unit.BYTES,
            basis=peak.basis,
            interval=Interval(
                lo=lo, hi=hi, confidence=peak.interval.confidence if peak.interval else CONFIDENCE
            ),
            evidence=peak.evidence,
            note=peak.note or (None if peak.interval else PEAK_SPREAD.source),
        )
    chance: float | None = None
    if capacity is not None and score is None:
        lo, hi = (total.interval.lo, total.interval.hi) if total.interval else (total.value, total.value)
        term = Term(np.array([total.value]), np.array([lo]), np.array([hi]))
        score = float(fit_score(term, capacity)[0])
    if capacity is not None and score is not None:
        chance = probability(score)
    return MemoryEstimate(
        **parts,
        total=total,
        capacity=capacity,
        fit_probability=chance,
        devices=degree * stages,
        tensor_parallel=degree,
        pipeline_parallel=stages,
    )


def estimate_memory(
    architecture: Architecture,
    weight_bytes: Figure,
    scheme: Scheme,
    workload: Workload,
    *,
    capacity: Figure | None,
    runtime: str | None,
    devices: int = 1,
    peak: Figure | None = None,
    accelerated: bool = True,
) -> MemoryEstimate:
    """Return the peak memory of one device, term by term, and the probability that it fits into `capacity`.

    `weight_bytes` covers the whole model; `peak` is a recorded peak of one device at this very workload and replaces the
    modelled total unless its basis is modelled too. `accelerated` is False for CPUs and boards. Tensor parallelism uses
    the largest degree of at most `devices` that divides the heads; the estimate's `devices` says which.
    """
    columns = columns_of([(architecture, weight_bytes, scheme, runtime_code(runtime))])
    terms = memory_terms(columns, workload, devices=devices, accelerated=accelerated)
    return describe_memory(
        terms,
        0,
        weights=weight_bytes,
        prior=RUNTIMES[int(columns.runtime[0])],
        capacity=capacity,
        accelerated=accelerated,
        latent=architecture.mla is not None,
        peak=peak if peak is not None and peak.basis is not Basis.MODELLED else None,
    )


__all__ = [
    "Demand", "MemoryTerms", "Term", "activation_bytes", "capacity_of", "describe_memory", "estimate_memory", "fit_score", "kv_bytes",
    "memory_terms", "peak_term", "probability", "required_score",
]  # fmt: skip
