"""Peaks: what was needed, what the allocator kept, and what recorded points say between and beyond them."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from planner.domain.figure import Basis
from planner.domain.profile import MemoryUse, Profile
from planner.domain.runtime import Runtime
from planner.domain.units import GIB
from planner.domain.workload import Workload
from planner.estimate.columns import Columns, columns_of
from planner.estimate.evidence import gather_evidence
from planner.estimate.memory import activation_bytes, kv_bytes
from planner.estimate.peaks import Peaks, peak_figure, recorded_peaks
from planner.estimate.priors import RUNTIMES, runtime_code
from tests.choose.records import GPU, LLAMA_3_8B, MODELS, profile, variant

VARIANT = variant(MODELS[1], "int8")
LOADS = [Workload(input_tokens=512, output_tokens=32, concurrency=n) for n in (1, 4, 16)]
ONE = np.ones(1, dtype=np.int64)


def _columns() -> Columns:
    row = (MODELS[1].architecture, VARIANT.weight_bytes, VARIANT.scheme, runtime_code("transformers"))
    return columns_of([row])


def _moves(columns: Columns, load: Workload) -> float:
    """Return what the model says of cache and activations."""
    cache = kv_bytes(columns, ONE, tokens=load.context_tokens, concurrency=load.concurrency)
    live = activation_bytes(columns, input_tokens=load.input_tokens, concurrency=load.concurrency)
    return float((cache + live)[0])


def _profile(rest: dict[Workload, float], *, spare: int = 0) -> Profile:
    """Return a profile whose peaks are weights, a rest, and what the model says of cache and activations."""
    columns = _columns()
    made = profile(VARIANT, GPU, dict.fromkeys(rest, (0.1, 0.01)))
    points = tuple(
        msgspec.structs.replace(
            point,
            memory=MemoryUse(
                peak_device_bytes=round(VARIANT.weight_bytes.value + more + _moves(columns, load)) + spare,
                fragmentation_bytes=spare or None,
            ),
        )
        for point, (load, more) in zip(made.points, rest.items(), strict=True)
    )
    return msgspec.structs.replace(made, points=points)


def _asked(made: Profile, load: Workload) -> Peaks:
    points = gather_evidence([made], GPU, {VARIANT.id: 0}).points
    return recorded_peaks(_columns(), ONE, points, load, accelerated=True, now=None)


def test_what_the_allocator_kept_free_is_no_need_and_is_said() -> None:
    made = _profile({LOADS[0]: GIB}, spare=4 * GIB)
    found = _asked(made, LOADS[0])
    need = VARIANT.weight_bytes.value + GIB + _moves(_columns(), LOADS[0])
    assert found.value[0] == pytest.approx(need, abs=1)
    assert found.spare[0] == 4 * GIB
    figure = peak_figure(found, 0, (made,))
    assert figure is not None
    assert figure.note is not None
    assert "4 GiB" in figure.note
    assert figure.interval is not None
    assert figure.interval.hi < need + 4 * GIB


def test_between_points_what_the_model_misses_is_interpolated() -> None:
    made = _profile({LOADS[0]: 1.0 * GIB, LOADS[2]: 2.0 * GIB})
    found = _asked(made, LOADS[1])
    assert found.inside[0]
    columns = _columns()
    ends = [_moves(columns, load) for load in LOADS]
    part = (ends[1] - ends[0]) / (ends[2] - ends[0])
    assert found.value[0] == pytest.approx(VARIANT.weight_bytes.value + ends[1] + (1 + part) * GIB, rel=1e-9)
    assert found.lo[0] < found.value[0] < found.hi[0]


def test_beyond_the_points_the_nearest_moves_by_the_model() -> None:
    made = _profile({LOADS[0]: 1.0 * GIB, LOADS[1]: 1.5 * GIB})
    found = _asked(made, LOADS[2])
    assert not found.inside[0]
    expected = VARIANT.weight_bytes.value + _moves(_columns(), LOADS[2]) + 1.5 * GIB
    assert found.value[0] == pytest.approx(expected, rel=1e-9)
    nearer = _asked(_profile({LOADS[0]: 1.5 * GIB, LOADS[2]: 1.5 * GIB}), LOADS[1])
    assert found.hi[0] - found.value[0] > nearer.hi[0] - nearer.value[0]


def test_at_its_own_workload_a_peak_stands_as_it_is() -> None:
    found = _asked(_profile(dict.fromkeys(LOADS, 1.0 * GIB)), LOADS[1])
    assert found.exact[0]
    assert found.value[0] == round(VARIANT.weight_bytes.value + GIB + _moves(_columns(), LOADS[1]))


def test_states_of_a_hybrid_grow_with_the_sequences_and_not_with_the_tokens() -> None:
    from planner.domain.architecture import CacheGroup

    caches = (
        CacheGroup(layers=24, fixed=1000, fixed_wide=5000),
        CacheGroup(layers=8, per_token=2 * 8 * 128),
    )
    shape = msgspec.structs.replace(LLAMA_3_8B, caches=caches)
    columns = columns_of([(shape, VARIANT.weight_bytes, VARIANT.scheme, runtime_code("transformers"))])

    def held(tokens: int, concurrency: int = 1, degree: int = 1) -> float:
        return float(kv_bytes(columns, ONE * degree, tokens=tokens, concurrency=concurrency)[0])

    state = 24 * (1000 * 2 + 5000 * 4)
    assert held(1) == state + 8 * 2 * 8 * 128 * 2
    assert held(1001) - held(1) == 1000 * 8 * 2 * 8 * 128 * 2
    assert held(1, concurrency=3) == 3 * held(1)
    assert held(1, degree=2) == held(1) / 2


def _log(load: Workload, memory: MemoryUse, *, runtime: str = "vllm") -> Profile:
    made = profile(VARIANT, GPU, {load: (0.1, 0.01)})
    points = tuple(msgspec.structs.replace(point, memory=memory) for point in made.points)
    return msgspec.structs.replace(made, points=points, runtime=Runtime(name=runtime), basis=Basis.IMPORTED)


def _asked_of_log(made: Profile, load: Workload) -> tuple[Peaks, Columns]:
    name = made.runtime.name
    columns = columns_of([(MODELS[1].architecture, VARIANT.weight_bytes, VARIANT.scheme, runtime_code(name))])
    points = gather_evidence([made], GPU, {VARIANT.id: 0}, columns=columns).points
    return recorded_peaks(columns, ONE, points, load, accelerated=True, now=None), columns


def test_terms_of_an_engine_log_replace_the_priors() -> None:
    weights = round(VARIANT.weight_bytes.value)
    terms = MemoryUse(
        weights_bytes=weights, activation_bytes=GIB, graph_bytes=GIB // 2, context_bytes=GIB // 4,
        kv_cache_bytes=9 * GIB,
    )  # fmt: skip
    made = _log(LOADS[1], terms)
    for load in LOADS[1:]:
        found, columns = _asked_of_log(made, load)
        cache = kv_bytes(columns, ONE, tokens=load.context_tokens, concurrency=load.concurrency)
        # The cache the engine reserved is no need: the one that the workload needs takes its place.
        assert found.value[0] == pytest.approx(weights + 1.75 * GIB + cache[0])
        figure = peak_figure(found, 0, (made,))
        assert figure is not None
        assert figure.basis is Basis.MODELLED
        assert figure.evidence == (made.id,)
        assert "engine prints" in (figure.note or "")


def test_what_an_engine_log_leaves_out_is_taken_at_the_upper_end_of_its_prior() -> None:
    weights = round(VARIANT.weight_bytes.value)
    made = _log(LOADS[0], MemoryUse(weights_bytes=weights, activation_bytes=GIB), runtime="llama.cpp")
    found, columns = _asked_of_log(made, LOADS[0])
    cache = kv_bytes(columns, ONE, tokens=LOADS[0].context_tokens, concurrency=LOADS[0].concurrency)
    overhead = RUNTIMES[runtime_code("llama.cpp")].overhead_gpu.hi
    assert found.value[0] == pytest.approx(weights + GIB + cache[0] + overhead)
    alone = _log(LOADS[0], MemoryUse(weights_bytes=weights))
    assert _asked_of_log(alone, LOADS[0])[0].profile[0] == -1
