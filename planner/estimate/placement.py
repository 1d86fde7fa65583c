"""Placement: how a model is split over devices, which splits are valid, and what the fullest device of one holds.

Tensor parallelism (TP) cuts every layer over the devices of one node, pipeline parallelism (PP) gives each stage a run of
layers, replicas repeat the whole. A rank of the fullest stage decides whether the split fits, so that is what is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from planner.estimate.columns import Booleans, Columns, Floats, Integers

VOCABULARY_BLOCK: Final = 64
"""Rows the vocabulary is padded to before it is cut over ranks (vLLM: DEFAULT_VOCAB_PADDING_SIZE)."""


@dataclass(frozen=True, slots=True)
class Split:
    """Tensor-parallel degree and pipeline stages of n variants."""

    tensor: Integers
    pipeline: Integers

    @property
    def devices(self) -> Integers:
        """Devices of one replica."""
        return self.tensor * self.pipeline

    @classmethod
    def whole(cls, count: int) -> Split:
        """Return `count` variants that are not split."""
        one = np.ones(count, dtype=np.int64)
        return cls(one, one)


def splits_heads(heads: int, kv_heads: int, width: int, degree: int) -> bool:
    """Return whether a layer can be cut into `degree` equal ranks.

    Heads and the widths of the MLPs are divided; KV heads are divided or, with more ranks than heads, held again; they are
    0 for MLA, whose cache every rank holds. The vocabulary is padded to whole blocks and never stands in the way.
    """
    replicates = kv_heads == 0 or kv_heads % degree == 0 or degree % kv_heads == 0
    return heads % degree == 0 and width % degree == 0 and replicates


def _by_shape(columns: Columns) -> tuple[Integers, Integers, Integers]:
    """Return heads, KV heads (0 for MLA) and MLP width by code of the shape."""
    count = int(columns.shape.max(initial=-1)) + 1
    heads, kv_heads, width = (np.ones(count, dtype=np.int64) for _ in range(3))
    heads[columns.shape] = columns.heads
    kv_heads[columns.shape] = np.where(columns.latent, 0, columns.kv_heads)
    width[columns.shape] = columns.split_width
    return heads, kv_heads, width


def valid_tensor(columns: Columns, degree: int) -> Booleans:
    """Return by row whether a tensor-parallel degree divides the variant."""
    if degree == 1:
        return np.ones(len(columns), dtype=np.bool_)
    heads, kv_heads, width = (fact.tolist() for fact in _by_shape(columns))
    valid = [splits_heads(*facts, degree) for facts in zip(heads, kv_heads, width, strict=True)]
    return np.array(valid, dtype=np.bool_)[columns.shape]


def parallel_degree(columns: Columns, devices: int) -> Integers:
    """Return the largest valid tensor-parallel degree of at most `devices`."""
    if devices == 1:
        return np.ones(len(columns), dtype=np.int64)
    best = [
        next(
            degree
            for degree in range(max(min(devices, heads), 1), 0, -1)
            if splits_heads(heads, kv_heads, width, degree)
        )
        for heads, kv_heads, width in zip(*(fact.tolist() for fact in _by_shape(columns)), strict=True)
    ]
    return np.array(best, dtype=np.int64)[columns.shape]


def placements(
    columns: Columns, devices: int, *, nodes: int = 1, stages: int | None = None
) -> Iterator[tuple[Split, Booleans]]:
    """Yield every split of at most `devices` in equal `nodes`, each with the rows it is valid for; preferred ones first.

    The largest tensor-parallel degree of each row comes first. Then all degrees within one node, larger first, each
    with 1, 2, 4 … pipeline stages, one stage per node, or `stages`, as long as every stage has a layer.
    """
    rows, per_node = len(columns), devices // nodes
    largest = parallel_degree(columns, per_node)
    one = np.ones(rows, dtype=np.int64)
    yield Split(largest, one), np.ones(rows, dtype=np.bool_)
    numbers = sorted({2**power for power in range(devices.bit_length())} | {nodes, stages or 1})
    for degree in range(min(per_node, int(columns.heads.max(initial=1))), 0, -1):
        valid = valid_tensor(columns, degree)
        if not valid.any():
            continue
        for stage in numbers:
            if degree * stage > devices:
                break
            possible = valid & (columns.layers >= stage)
            if stage == 1:
                possible &= largest != degree
            if possible.any():
                yield Split(np.where(possible, degree, 1), np.where(possible, stage, 1)), possible


def stage_layers(layers: Floats, stages: Integers) -> tuple[Floats, Floats, Floats]:
    """Return how many layers the first, a middle and the last stage run; a middle of 0 is none.

    vLLM's `get_pp_indices` deals equal runs and gives what is left to the stages before the last, from the back.
    """
    base, left = np.divmod(layers, stages)
    single = stages == 1
    first = np.where(single, layers, base + (left == stages - 1) * (left > 0))
    middle = np.where(stages > 2, base + (left > 0), 0.0)
    last = np.where(single, 0.0, base)
    return first, middle, last


def stage_weights(columns: Columns, split: Split) -> tuple[tuple[Floats, Floats], ...]:
    """Return (weight bytes, layers) of one rank of the first, a middle and the last stage.

    Embedding and head are cut over the ranks by rows of the padded vocabulary; a tied table stands on both end stages.
    """
    tensor, single = split.tensor, split.pipeline == 1
    padded = np.where(tensor > 1, np.ceil(columns.vocab / VOCABULARY_BLOCK) * VOCABULARY_BLOCK, columns.vocab)
    table = columns.table_bytes * padded / columns.vocab / tensor
    copies = np.minimum(tensor, np.maximum(columns.kv_heads, 1))
    extra = columns.replicated_bytes * (1 - 1 / tensor)
    extra = extra + columns.kv_projection_bytes * (1 / copies - 1 / tensor)
    first, middle, last = stage_layers(columns.layers, split.pipeline)
    dense = np.minimum(columns.dense_layers, first)
    body = dense * columns.dense_layer_bytes + (first - dense) * columns.layer_bytes
    tables = np.where(single & ~columns.tied, 2.0, 1.0)
    at_first = np.where(single, columns.weight_bytes - _tables(columns), body) / tensor + first * extra
    at_first = at_first + tables * table
    at_middle = middle * (columns.layer_bytes / tensor + extra)
    at_last = last * (columns.layer_bytes / tensor + extra) + np.where(single, 0.0, table)
    return (at_first, first), (at_middle, middle), (at_last, last)


def _tables(columns: Columns) -> Floats:
    return np.minimum(columns.table_bytes * np.where(columns.tied, 1, 2), columns.weight_bytes)
