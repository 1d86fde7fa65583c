"""Columns: what the estimators need to know of variants, one NumPy array per fact, one element per variant.

A single variant is a table of one row, so there is one formula for explaining a candidate and for scanning all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from planner.domain.architecture import Architecture
from planner.domain.figure import Figure
from planner.domain.scheme import NumberFormat, Scheme
from planner.estimate.priors import CONFIDENCE, WEIGHT_SPREAD

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

FORMATS: Final = tuple(NumberFormat)
"""Order of the codes in `Columns.compute`."""
_CODE: Final = {number_format: code for code, number_format in enumerate(FORMATS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Facts of n variants. Sizes are elements unless the name says bytes; unbounded facts are infinite."""

    shape: Integers
    """Code of the architecture; equal codes are equal shapes."""
    hidden: Floats
    layers: Floats
    kv_full: Floats
    """Cached elements per token of all layers that cache every token."""
    kv_sliding: Floats
    """The same of all layers that cache the last `window` tokens."""
    window: Floats
    state_bytes: Floats
    """Kept for a sequence whatever its length."""
    heads: Integers
    kv_heads: Integers
    latent: Booleans
    query_width: Floats
    mlp_width: Floats
    """Widest MLP activation of one token: the dense width, or that of all experts it uses."""
    vocab: Floats
    flop_parameters: Floats
    """Parameters multiplied with every token: all of one token's, without embedding and head."""
    input_table_bytes: Floats
    """Bytes of an input embedding of its own, of which a step reads only the rows it needs."""
    routed_bytes: Floats
    """Bytes of all routed experts; 0 without experts."""
    experts: Floats
    experts_active: Floats
    split_width: Integers
    """Largest number that divides the width of every MLP, and so what a tensor-parallel degree must divide."""
    tied: Booleans
    table_bytes: Floats
    """Bytes of one vocabulary table: of the embedding, and as much again of a head that is not tied to it."""
    dense_layers: Floats
    """Leading layers of a mixture that are dense; 0 where all layers are alike."""
    dense_layer_bytes: Floats
    layer_bytes: Floats
    """Bytes of one layer, and of one of the leading dense ones; together with the tables they are the weights."""
    replicated_bytes: Floats
    """Bytes of a layer that every tensor-parallel rank holds: norms, router, the down projections of MLA."""
    kv_projection_bytes: Floats
    """Bytes of a layer's key and value projections, which are held again once ranks outnumber KV heads."""
    max_context: Floats
    weight_bytes: Floats
    weight_lo: Floats
    weight_hi: Floats
    """Spread of the weight bytes at the priors' confidence."""
    kv_bits: Floats
    element_bytes: Floats
    """Bytes of one activation in the compute type."""
    compute: Integers
    """Index in FORMATS of the number format the matrix products run in."""
    number_format: Integers
    """Index in FORMATS of the number format the weights are stored in."""
    runtime: Integers
    """Index in priors.RUNTIMES."""
    group: Integers
    """Code of everything that memory beside the weights depends on; equal codes are equal in it."""

    def __len__(self) -> int:
        return len(self.hidden)

    def take(self, rows: Integers) -> Self:
        """Return the columns of `rows` only, in that order."""
        return type(self)(**{name: getattr(self, name)[rows] for name in NAMES})


NAMES: Final = tuple(field.name for field in fields(Columns))
"""Names of the columns."""


def weight_spread(weights: Figure) -> tuple[float, float]:
    """Return lower and upper weight bytes at the priors' confidence; an unknown interval gets an assumed spread."""
    if weights.interval is None:
        return weights.value * WEIGHT_SPREAD.lo, weights.value * WEIGHT_SPREAD.hi
    if weights.interval.confidence <= CONFIDENCE:
        return weights.interval.lo, weights.interval.hi
    if weights.interval.lo == weights.interval.hi:
        return weights.value, weights.value
    # An interval of higher confidence is wider than needed: using it as it is errs on the safe side.
    return weights.interval.lo, weights.interval.hi


def _architecture_facts(architecture: Architecture) -> dict[str, float]:
    experts = architecture.experts
    mla = architecture.mla
    width = architecture.intermediate_size
    routed = 0
    if experts is not None:
        width = max(width, experts.active * experts.intermediate_size + experts.shared_intermediate_size)
        spare = experts.count - experts.active
        if spare > 0:
            routed = (architecture.parameters - architecture.active_parameters) * experts.count // spare
    return {
        "hidden": architecture.hidden_size,
        "layers": architecture.layers,
        **_cache_facts(architecture),
        "heads": architecture.heads,
        "kv_heads": architecture.kv_heads,
        "latent": mla is not None,
        "query_width": architecture.heads
        * ((mla.nope_head_dim + mla.rope_head_dim) if mla else architecture.head_dim),
        "mlp_width": width,
        "vocab": architecture.vocab_size,
        "flop_parameters": architecture.active_parameters - architecture.embedding_parameters,
        "experts": experts.count if experts else 1,
        "experts_active": experts.active if experts else 1,
        "max_context": architecture.max_context or np.inf,
        "split_width": _split_width(architecture),
        "tied": architecture.tied_embeddings,
        **_layer_facts(architecture),
        "_table": 0 if architecture.tied_embeddings else architecture.vocab_size * architecture.hidden_size,
        "_routed": routed,
        "_parameters": architecture.parameters,
        "_embedding": architecture.embedding_parameters,
    }


def _cache_facts(architecture: Architecture) -> dict[str, float]:
    """Return what a sequence keeps. Windows of several lengths count as the longest, which errs on the safe side."""
    groups = architecture.cache_groups
    fixed, wide = architecture.state_elements
    return {
        "kv_full": sum(group.layers * group.per_token for group in groups if group.window is None),
        "kv_sliding": sum(group.layers * group.per_token for group in groups if group.window is not None),
        "window": max((group.window for group in groups if group.window is not None), default=np.inf),
        "_fixed": fixed,
        "_wide": wide,
    }


def _split_width(architecture: Architecture) -> int:
    experts = architecture.experts
    if experts is None:
        return architecture.intermediate_size
    dense = architecture.intermediate_size if experts.dense_layers else 0
    return math.gcd(dense, experts.intermediate_size, experts.shared_intermediate_size)


def _layer_facts(architecture: Architecture) -> dict[str, float]:
    """Return parameters of one layer by what becomes of them when the model is split over devices."""
    layers, mla = architecture.layers, architecture.mla
    inner = architecture.linear_parameters + architecture.norm_parameters
    dense_layers = architecture.experts.dense_layers if architecture.experts else 0
    dense = (
        architecture.attention_parameters
        + (3 if architecture.gated_mlp else 2) * architecture.hidden_size * architecture.intermediate_size
        + architecture.norms_per_layer * architecture.hidden_size
    )
    rest = max(inner - dense_layers * dense, 0)
    replicated = architecture.norms_per_layer * architecture.hidden_size
    if architecture.experts is not None:
        replicated += architecture.hidden_size * architecture.experts.count
    if mla is not None:
        down = mla.kv_lora_rank + mla.rope_head_dim + (mla.query_lora_rank or 0)
        replicated += architecture.hidden_size * down
    projected = 0 if mla else 2 * architecture.hidden_size * architecture.kv_heads * architecture.head_dim
    return {
        "dense_layers": dense_layers,
        "_one_table": architecture.vocab_size * architecture.hidden_size,
        "_dense": dense,
        "_sparse": rest / max(layers - dense_layers, 1),
        "_replicated": replicated,
        "_projected": projected,
    }


def _scheme_facts(facts: dict[str, float], weights: Figure, scheme: Scheme) -> dict[str, float]:
    """Return the facts that depend on the precision: what weights, cache and activations cost in bytes."""
    lo, hi = weight_spread(weights)
    average = weights.value / facts["_parameters"]
    reference = 4.0 if scheme.weight.format is NumberFormat.FP32 else 2.0
    uniform = scheme.is_reference or scheme.weight.format.is_gguf
    table = average if uniform else min(reference, weights.value / max(facts["_embedding"], 1))
    linear = max(weights.value - facts["_embedding"] * table, 0.0) / max(
        facts["_parameters"] - facts["_embedding"], 1
    )
    one_table = facts["_one_table"] * table
    body = max(weights.value - one_table * (1 if facts["tied"] else 2), 0.0)
    dense_layers, layers = facts["dense_layers"], facts["layers"]
    each = body / max(dense_layers * facts["_dense"] + (layers - dense_layers) * facts["_sparse"], 1)
    # The cache follows the compute type unless the scheme says otherwise.
    kv_bits = scheme.kv.bits if scheme.kv is not None else 8 * reference
    return {
        "input_table_bytes": min(facts["_table"] * table, weights.value),
        "routed_bytes": min(facts["_routed"] * linear, weights.value),
        "table_bytes": one_table,
        "dense_layer_bytes": facts["_dense"] * each,
        "layer_bytes": facts["_sparse"] * each,
        "replicated_bytes": facts["_replicated"] * each,
        "kv_projection_bytes": facts["_projected"] * each,
        "weight_bytes": weights.value,
        "weight_lo": min(lo, weights.value),
        "weight_hi": max(hi, weights.value),
        "kv_bits": kv_bits,
        "state_bytes": facts["_fixed"] * reference + facts["_wide"] * 4,
        "element_bytes": reference,
        "compute": _CODE[scheme.compute_format],
        "number_format": _CODE[scheme.weight.format],
    }


def columns_of(rows: Iterable[tuple[Architecture, Figure, Scheme, int]]) -> Columns:
    """Return the columns of variants given as (architecture, weight bytes, scheme, runtime code)."""
    known: dict[Architecture, dict[str, float]] = {}
    table: list[list[float]] = []
    groups: dict[tuple[float, ...], int] = {}
    for architecture, weights, scheme, runtime in rows:
        facts = known.get(architecture)
        if facts is None:
            facts = known[architecture] = {**_architecture_facts(architecture), "shape": len(known)}
        values = {**facts, **_scheme_facts(facts, weights, scheme), "runtime": runtime}
        alike = (values["shape"], values["kv_bits"], values["element_bytes"], runtime)
        values["group"] = groups.setdefault(alike, len(groups))
        table.append([values[name] for name in NAMES])
    matrix = np.array(table, dtype=np.float64).reshape(len(table), len(NAMES)).T
    kinds = {
        "shape": np.int64,
        "heads": np.int64,
        "kv_heads": np.int64,
        "compute": np.int64,
        "number_format": np.int64,
        "runtime": np.int64,
        "latent": np.bool_,
        "tied": np.bool_,
        "split_width": np.int64,
        "group": np.int64,
    }
    columns: dict[str, Any] = {
        name: np.ascontiguousarray(column.astype(kinds.get(name, np.float64)))
        for name, column in zip(NAMES, matrix, strict=True)
    }
    for column in columns.values():
        column.setflags(write=False)  # shared by every question
    return Columns(**columns)


def kv_elements(columns: Columns, tokens: Floats | float) -> Floats:
    """Return cached elements of one sequence of `tokens`, as `Architecture.kv_elements` counts them."""
    return columns.kv_full * tokens + columns.kv_sliding * np.minimum(tokens, columns.window)


__all__ = [
    "FORMATS", "Booleans", "Columns", "Floats", "Integers", "columns_of", "kv_elements", "weight_spread",
]  # fmt: skip
