"""Which splits are valid and what the fullest rank holds, against sums over layers written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.domain.architecture import Architecture
from planner.domain.figure import Basis, exact
from planner.domain.units import Unit
from planner.domain.workload import Workload
from planner.estimate.columns import Columns, columns_of
from planner.estimate.memory import memory_terms
from planner.estimate.placement import Split, placements, splits_heads, stage_layers, stage_weights
from tests.choose.records import (
    DEEPSEEK_V3,
    GEMMA_3_12B,
    LLAMA_2_13B,
    LLAMA_3_8B,
    MISTRAL_24B,
    QWEN_3_30B,
    SCHEMES,
)

SHAPES = (DEEPSEEK_V3, GEMMA_3_12B, LLAMA_2_13B, LLAMA_3_8B, MISTRAL_24B, QWEN_3_30B)


def columns(shape: Architecture) -> Columns:
    weights = exact(2.0 * shape.parameters, Unit.BYTES, basis=Basis.MEASURED)
    return columns_of([(shape, weights, SCHEMES["bf16"], 0)])


def split(tensor: int, stages: int) -> Split:
    return Split(np.array([tensor]), np.array([stages]))


def held(shape: Architecture, tensor: int, stages: int) -> list[float]:
    return [float(weights[0]) for weights, _ in stage_weights(columns(shape), split(tensor, stages))]


def vllm_partition(layers: int, stages: int) -> list[int]:
    """The partition as vLLM's documentation of pipeline parallelism words it: leftovers from the last but one, back."""
    parts = [layers // stages] * stages
    for number in range(2, layers % stages + 2):
        parts[-number] += 1
    return parts


@given(layers=st.integers(1, 130), stages=st.integers(1, 32))
def test_stages_are_those_of_the_runtime(layers: int, stages: int) -> None:
    if stages > layers:
        return
    parts = vllm_partition(layers, stages)
    first, middle, last = (
        float(part[0]) for part in stage_layers(np.array([float(layers)]), np.array([stages]))
    )
    assert first == parts[0]
    if stages > 1:
        assert last == parts[-1]
    if stages > 2:
        assert middle == max(parts[1:-1])


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.hidden_size}x{shape.layers}")
def test_one_device_holds_all_weights(shape: Architecture) -> None:
    assert sum(held(shape, 1, 1)) == pytest.approx(2 * shape.parameters, rel=1e-12)


@pytest.mark.parametrize("shape", [LLAMA_2_13B, LLAMA_3_8B, MISTRAL_24B])
@pytest.mark.parametrize("stages", [2, 4, 8])
def test_stages_of_dense_models_add_up_to_the_weights(shape: Architecture, stages: int) -> None:
    first, middle, last = held(shape, 1, stages)
    table = 2 * shape.vocab_size * shape.hidden_size
    layer = (2 * shape.parameters - 2 * table) / shape.layers
    parts = vllm_partition(shape.layers, stages)
    assert first == pytest.approx(parts[0] * layer + table)
    assert last == pytest.approx(parts[-1] * layer + table)
    assert middle == pytest.approx((max(parts[1:-1]) if stages > 2 else 0) * layer)


def test_a_tied_table_stands_on_both_end_stages() -> None:
    table = 2 * GEMMA_3_12B.vocab_size * GEMMA_3_12B.hidden_size
    first, _, last = held(GEMMA_3_12B, 1, 2)
    assert first + last == pytest.approx(2 * GEMMA_3_12B.parameters + table)


def test_leading_dense_layers_are_on_the_first_stage_only() -> None:
    first, middle, last = held(DEEPSEEK_V3, 1, 8)
    assert first < middle  # three of its layers are dense, and a table does not make up for 256 experts
    assert last < middle


def test_ranks_beyond_the_kv_heads_hold_them_again() -> None:
    shape = LLAMA_3_8B  # 8 KV heads
    eight, sixteen = held(shape, 8, 1)[0], held(shape, 16, 1)[0]
    projections = shape.layers * 2 * 2 * shape.hidden_size * shape.kv_heads * shape.head_dim
    assert sixteen > eight / 2
    assert sixteen - eight / 2 == pytest.approx(projections / 16, rel=0.05)


def test_the_vocabulary_is_padded_before_it_is_cut() -> None:
    odd = Architecture(
        hidden_size=64, layers=2, heads=8, kv_heads=8, head_dim=8, intermediate_size=128, vocab_size=1001
    )
    rank = held(odd, 2, 1)[0]
    tables = 2 * 2 * math.ceil(1001 / 64) * 64 * 64 / 2
    rest = 2 * (odd.parameters - odd.embedding_parameters)
    assert rank == pytest.approx(tables + rest / 2, rel=0.01)


@pytest.mark.parametrize(
    ("heads", "kv_heads", "width", "degree", "valid"),
    [
        (32, 8, 14336, 8, True), (32, 8, 14336, 16, True), (32, 8, 14336, 3, False), (28, 4, 18944, 7, False),
        (28, 4, 18944, 4, True), (40, 40, 13824, 5, False), (128, 0, 2048, 16, True), (128, 0, 2048, 6, False),
    ],
)  # fmt: skip
def test_heads_kv_heads_and_width_must_divide(
    heads: int, kv_heads: int, width: int, degree: int, valid: bool
) -> None:
    assert splits_heads(heads, kv_heads, width, degree) is valid


@given(shape=st.sampled_from(SHAPES), devices=st.integers(1, 32), nodes=st.sampled_from([1, 2, 4]))
def test_placements_are_valid_distinct_and_within_the_hardware(
    shape: Architecture, devices: int, nodes: int
) -> None:
    devices *= nodes
    seen: set[tuple[int, int]] = set()
    for option, valid in placements(columns(shape), devices, nodes=nodes):
        if not valid[0]:
            continue
        pair = int(option.tensor[0]), int(option.pipeline[0])
        assert pair not in seen
        seen.add(pair)
        assert pair[0] <= devices // nodes
        assert pair[0] * pair[1] <= devices
        assert pair[1] <= shape.layers
    assert (1, 1) in seen


@given(
    shape=st.sampled_from(SHAPES),
    tokens=st.integers(1, 200_000),
    more=st.integers(0, 50_000),
    stages=st.sampled_from([1, 2, 4]),
)
def test_longer_contexts_never_need_less(shape: Architecture, tokens: int, more: int, stages: int) -> None:
    def peak(input_tokens: int) -> float:
        load = Workload(input_tokens=input_tokens)
        terms = memory_terms(columns(shape), load, devices=stages, accelerated=True, split=split(1, stages))
        return float(terms.total.value[0])

    assert peak(tokens) <= peak(tokens + more)


def test_cache_is_rounded_up_to_whole_blocks() -> None:
    def cache(tokens: int) -> float:
        load = Workload(input_tokens=tokens - 1, output_tokens=1)
        return float(memory_terms(columns(LLAMA_3_8B), load, devices=1, accelerated=True).kv_cache.value[0])

    assert cache(17) == cache(32)
    assert cache(33) == cache(32) * 1.5
    assert (
        cache(16) == 16 * 2 * 8 * 128 * 32 * 2
    )  # tokens x (keys, values) x KV heads x head x layers x bytes


def test_sliding_layers_hold_their_window_and_full_ones_all() -> None:
    load = Workload(input_tokens=32_768 - 256, output_tokens=256)
    cache = memory_terms(columns(GEMMA_3_12B), load, devices=1, accelerated=True).kv_cache.value[0]
    assert cache == 2 * 8 * 256 * 2 * (8 * 32_768 + 40 * 1_024)
