from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.domain.architecture import Architecture
from planner.domain.device import DeviceKind
from planner.domain.figure import Basis, Figure, Interval, exact
from planner.domain.outcome import MemoryEstimate
from planner.domain.scenario import Hardware
from planner.domain.scheme import NumberFormat, Precision, Scheme
from planner.domain.units import GIB, Unit
from planner.domain.workload import Workload
from planner.estimate.capacity import capacity_of
from planner.estimate.columns import columns_of, kv_elements
from planner.estimate.memory import Term, estimate_memory, fit_score, kv_bytes, required_score
from planner.estimate.placement import parallel_degree
from planner.estimate.priors import RUNTIMES, runtime_code
from planner.estimate.weights import modelled_weight_bytes
from tests.choose.records import (
    DEEPSEEK_V3,
    DEFAULT_LOAD,
    GEMMA_3_12B,
    LLAMA_2_13B,
    LLAMA_3_8B,
    MISTRAL_24B,
    QWEN_3_30B,
    SCHEMES,
)

SHAPES = (LLAMA_2_13B, LLAMA_3_8B, MISTRAL_24B, GEMMA_3_12B, QWEN_3_30B, DEEPSEEK_V3)
ONE = np.ones(1, dtype=np.int64)


def weights(architecture: Architecture, scheme: str = "bf16") -> Figure:
    size = modelled_weight_bytes(architecture, SCHEMES[scheme]).value
    return exact(size, Unit.BYTES, basis=Basis.MEASURED)


def estimate(
    architecture: Architecture,
    *,
    scheme: str = "bf16",
    load: Workload = DEFAULT_LOAD,
    runtime: str | None = None,
    devices: int = 1,
    memory: int | None = None,
    peak: Figure | None = None,
) -> MemoryEstimate:
    capacity = capacity_of(None, Hardware(memory_bytes=memory)) if memory else None
    return estimate_memory(
        architecture, weights(architecture, scheme), SCHEMES[scheme], load,
        capacity=capacity, runtime=runtime, devices=devices, peak=peak,
    )  # fmt: skip


def kv(
    architecture: Architecture, tokens: int, *, scheme: Scheme = SCHEMES["bf16"], devices: int = 1
) -> float:
    columns = columns_of([(architecture, weights(architecture), scheme, 0)])
    degree = parallel_degree(columns, devices)
    return float(kv_bytes(columns, degree, tokens=tokens, concurrency=1)[0])


def test_kv_cache_of_grouped_queries_equals_what_vllm_reports() -> None:
    assert kv(MISTRAL_24B, 16) / 16 == 163_840


def test_kv_cache_of_latent_attention_is_one_vector_per_layer() -> None:
    assert kv(DEEPSEEK_V3, 16) / 16 == 70_272


def test_latent_cache_is_not_split_by_tensor_parallelism() -> None:
    assert kv(DEEPSEEK_V3, 1024, devices=8) == kv(DEEPSEEK_V3, 1024)


def test_grouped_heads_are_divided_then_replicated() -> None:
    assert kv(LLAMA_3_8B, 1024, devices=4) == kv(LLAMA_3_8B, 1024) / 4
    assert kv(LLAMA_3_8B, 1024, devices=32) == kv(LLAMA_3_8B, 1024) / 8


def test_sliding_layers_stop_growing_at_their_window() -> None:
    per_layer = 2 * 8 * 256 * 2
    assert kv(GEMMA_3_12B, 1024) == 48 * per_layer * 1024
    assert kv(GEMMA_3_12B, 8192) == per_layer * (8 * 8192 + 40 * 1024)


def test_kv_cache_is_counted_in_whole_blocks() -> None:
    assert kv(LLAMA_3_8B, 17) == kv(LLAMA_3_8B, 32)


def test_quantized_cache_costs_its_own_bits() -> None:
    assert kv(LLAMA_3_8B, 1024, scheme=SCHEMES["int4-kv8"]) == kv(LLAMA_3_8B, 1024) / 2


@given(shape=st.sampled_from(SHAPES), tokens=st.integers(1, 200_000))
def test_columns_count_cached_elements_as_the_architecture_does(shape: Architecture, tokens: int) -> None:
    columns = columns_of([(shape, weights(shape), SCHEMES["bf16"], 0)])
    assert kv_elements(columns, tokens)[0] == shape.kv_elements(tokens)


@pytest.mark.parametrize(
    ("shape", "devices", "degree"),
    [
        (LLAMA_3_8B, 3, 2),
        (LLAMA_3_8B, 8, 8),
        (LLAMA_3_8B, 16, 16),
        (LLAMA_2_13B, 16, 8),  # ten divides the heads, not the width of the MLP
        (DEEPSEEK_V3, 6, 4),
    ],
)
def test_tensor_parallelism_takes_the_largest_degree_that_divides(
    shape: Architecture, devices: int, degree: int
) -> None:
    assert estimate(shape, devices=devices).devices == degree


def test_terms_add_up_to_the_total() -> None:
    found = estimate(LLAMA_2_13B, scheme="int8", memory=24 * GIB)
    parts = (found.weights, found.kv_cache, found.activations, found.overhead)
    assert found.total.value == pytest.approx(sum(part.value for part in parts))
    assert found.total.interval is not None
    assert found.total.interval.hi == pytest.approx(sum(part.interval.hi for part in parts if part.interval))
    assert found.total.basis is Basis.MODELLED
    assert found.weights.basis is Basis.MEASURED


def test_13b_fits_a_24_gib_card_in_8_bits_and_not_in_16() -> None:
    half, full = estimate(LLAMA_2_13B, scheme="int8", memory=24 * GIB), estimate(LLAMA_2_13B, memory=24 * GIB)
    assert half.fit_probability is not None
    assert half.fit_probability > 0.99
    assert full.fit_probability is not None
    assert full.fit_probability < 0.01


def test_a_recorded_peak_replaces_the_modelled_total() -> None:
    peak = Figure(value=15.0 * GIB, unit=Unit.BYTES, basis=Basis.MEASURED, evidence=("profile:1",))
    found = estimate(LLAMA_2_13B, scheme="int8", memory=24 * GIB, peak=peak)
    assert found.total.value == peak.value
    assert found.total.basis is Basis.MEASURED
    assert found.total.evidence == ("profile:1",)
    parts = (found.weights, found.kv_cache, found.activations, found.overhead)
    assert sum(part.value for part in parts) == pytest.approx(peak.value)


def test_a_modelled_peak_never_replaces_anything() -> None:
    peak = Figure(value=1.0 * GIB, unit=Unit.BYTES, basis=Basis.MODELLED)
    assert estimate(LLAMA_2_13B, peak=peak).total.value > 20 * GIB


def test_unknown_weight_spread_is_assumed_and_said() -> None:
    size = Figure(value=13e9, unit=Unit.BYTES, basis=Basis.PUBLISHED)
    found = estimate_memory(LLAMA_2_13B, size, SCHEMES["int8"], Workload(), capacity=None, runtime=None)
    assert found.weights.interval is not None
    assert found.weights.interval.lo < 13e9 < found.weights.interval.hi
    assert found.weights.note is not None
    assert "assumed" in found.weights.note


@pytest.mark.parametrize("runtime", [None, "transformers", "vllm", "llama.cpp", "HF", "something-new"])
def test_every_runtime_has_priors(runtime: str | None) -> None:
    assert estimate(LLAMA_3_8B, runtime=runtime).overhead.value > 0


def test_vllm_activations_follow_the_published_regression() -> None:
    # llm-d-planner measured 1.89 GiB for Llama 3 (128,256 tokens of vocabulary) and 3.94 GiB for Gemma 3.
    for shape, published in ((LLAMA_3_8B, 1.89), (GEMMA_3_12B, 3.94)):
        interval = estimate(shape, runtime="vllm").activations.interval
        assert interval is not None
        assert interval.lo < published * GIB < interval.hi


@given(
    shape=st.sampled_from(SHAPES),
    tokens=st.integers(1, 50_000),
    more=st.integers(0, 50_000),
    concurrency=st.integers(1, 64),
    extra=st.integers(0, 64),
    runtime=st.sampled_from([None, "transformers", "vllm", "llama.cpp"]),
)
def test_memory_grows_with_context_and_concurrency(
    *, shape: Architecture, tokens: int, more: int, concurrency: int, extra: int, runtime: str | None
) -> None:
    small = estimate(shape, load=Workload(input_tokens=tokens, concurrency=concurrency), runtime=runtime)
    large = estimate(
        shape, load=Workload(input_tokens=tokens + more, concurrency=concurrency + extra), runtime=runtime
    )
    assert large.total.value >= small.total.value
    assert small.total.interval is not None
    assert large.total.interval is not None
    assert large.total.interval.hi >= small.total.interval.hi


@given(
    total=st.floats(1e6, 1e12),
    below=st.floats(0, 0.5),
    above=st.floats(0, 0.5),
    memory=st.integers(64, 2**40 // 2**20).map(lambda mib: mib * 2**20),
    more=st.integers(0, 2**40),
    cpu=st.booleans(),
    risk=st.sampled_from([0.001, 0.01, 0.1]),
)
def test_more_memory_never_turns_a_fit_into_a_misfit(
    *, total: float, below: float, above: float, memory: int, more: int, cpu: bool, risk: float
) -> None:
    kind = DeviceKind.CPU if cpu else DeviceKind.GPU
    term = Term(np.array([total]), np.array([total * (1 - below)]), np.array([total * (1 + above)]))
    small = capacity_of(None, Hardware(memory_bytes=memory, kind=kind))
    large = capacity_of(None, Hardware(memory_bytes=memory + more, kind=kind))
    assert small is not None
    assert large is not None
    if fit_score(term, small)[0] >= required_score(risk):
        assert fit_score(term, large)[0] >= required_score(risk)


def test_without_any_spread_a_fit_is_certain() -> None:
    term = Term(np.array([1.0]), np.array([1.0]), np.array([1.0]))
    room = exact(1.0, Unit.BYTES, basis=Basis.PUBLISHED)
    assert fit_score(term, room)[0] == math.inf
    assert fit_score(term, exact(0.5, Unit.BYTES, basis=Basis.PUBLISHED))[0] == -math.inf


def test_fit_probability_is_the_normal_tail_of_both_spreads() -> None:
    term = Term(np.array([10.0]), np.array([9.0]), np.array([10.0 + 1.959964]))
    room = Figure(
        value=11.0,
        unit=Unit.BYTES,
        basis=Basis.MODELLED,
        interval=Interval(lo=11.0, hi=11.0, confidence=0.95),
    )
    assert fit_score(term, room)[0] == pytest.approx(1.0, abs=1e-6)


def test_every_prior_names_its_source_and_holds_its_value() -> None:
    for runtime in RUNTIMES:
        for field in (
            "activation_spread",
            "overhead_gpu",
            "overhead_cpu",
            "fragmentation",
            "decode_efficiency",
        ):
            prior = getattr(runtime, field)
            assert prior.lo <= prior.value <= prior.hi
            assert prior.source
            assert prior.figure().basis is Basis.MODELLED
    assert runtime_code("hf") == runtime_code("transformers")


@pytest.mark.parametrize(
    ("kv_format", "group", "bits"),
    [("fp8", None, 8), ("q8_0", None, 8.5), ("q4_0", None, 4.5), ("nvfp4", None, 4.5), ("int8", 32, 8.5)],
)
def test_block_scales_of_a_quantized_cache_are_counted(
    kv_format: str, group: int | None, bits: float
) -> None:
    cache = Precision(format=NumberFormat(kv_format), group_size=group)
    scheme = Scheme(weight=Precision(format=NumberFormat.BF16), kv=cache)
    assert kv(LLAMA_3_8B, 1024, scheme=scheme) == kv(LLAMA_3_8B, 1024) * bits / 16
