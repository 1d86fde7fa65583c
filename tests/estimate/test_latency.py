from __future__ import annotations

from datetime import timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.domain.architecture import Architecture
from planner.domain.device import Device, Peak
from planner.domain.figure import Basis, Figure
from planner.domain.profile import Profile
from planner.domain.variant import Variant
from planner.domain.workload import Workload
from planner.estimate.calibration import Metric
from planner.estimate.columns import columns_of
from planner.estimate.evidence import gather_evidence
from planner.estimate.latency import Speeds, relevant_points
from planner.estimate.priors import runtime_code, runtime_family
from planner.estimate.roofline import Load, modelled_times, weight_bytes_read
from planner.estimate.weights import modelled_weight_bytes
from tests.choose.records import GPU, LLAMA_3_8B, MODELS, NOW, SCHEMES, profile, variant

LOAD = Workload(input_tokens=1024, output_tokens=256, concurrency=1)
LLAMA, QWEN = MODELS[1], MODELS[4]
INT8 = variant(LLAMA, "int8")


def speeds(
    *profiles: Profile,
    load: Workload = LOAD,
    device: Device | None = GPU,
    of: Variant = INT8,
    engine: str | None = None,
    late: int = 0,
) -> Speeds:
    """Return the speeds of one variant."""
    architecture = next(m for m in MODELS if m.id == of.model_id).architecture
    columns = columns_of([(architecture, of.weight_bytes, of.scheme, 0)])
    degree = np.ones(1, dtype=np.int64)
    now = NOW + timedelta(days=late)
    if device is None or not profiles:
        return Speeds(columns, degree, device, points=None, evidence=None, workload=load, now=now)
    evidence = gather_evidence(profiles, device, {of.id: 0})
    _, points = relevant_points(evidence, np.zeros(1, dtype=np.int64), degree, load, engine=engine, now=now)
    return Speeds(columns, degree, device, points=points, evidence=evidence, workload=load, now=now)


def figure(of: Speeds, metric: Metric, quantile: str = "p50") -> Figure:
    found = of.figure(metric, quantile, 0)
    assert found is not None
    return found


def test_a_point_that_was_measured_is_answered_as_it_is() -> None:
    found = figure(speeds(profile(INT8, GPU, {LOAD: (0.2, 0.011)})), "tpot")
    assert found.value == 0.011
    assert found.basis is Basis.MEASURED
    assert found.interval is None
    assert len(found.evidence) == 1


def test_without_evidence_the_roofline_is_modelled_and_wide() -> None:
    found = figure(speeds(), "tpot")
    assert found.basis is Basis.MODELLED
    assert found.interval is not None
    assert found.interval.hi / found.interval.lo > 2.5
    reads = INT8.weight_bytes.value - 2 * LLAMA.architecture.vocab_size * LLAMA.architecture.hidden_size
    assert found.value > reads / 1.0e12


def test_nothing_is_known_without_bandwidth() -> None:
    blind = msgspec.structs.replace(GPU, bandwidth_bytes_per_second=None)
    assert speeds(device=blind).figure("tpot", "p50", 0) is None
    assert speeds(device=None).figure("ttft", "p50", 0) is None


def test_a_measurement_counts_even_where_bandwidth_is_unknown() -> None:
    blind = msgspec.structs.replace(GPU, bandwidth_bytes_per_second=None)
    measured = profile(INT8, blind, {LOAD: (0.2, 0.011)})
    assert figure(speeds(measured, device=blind), "tpot").value == 0.011
    elsewhere = Workload(input_tokens=2048, output_tokens=256)
    carried = figure(speeds(measured, device=blind, load=elsewhere), "tpot")
    assert carried.basis is Basis.MODELLED
    assert carried.value >= 0.011
    assert speeds(device=blind, load=elsewhere).figure("tpot", "p50", 0) is None


def test_prefill_is_unknown_without_matrix_throughput() -> None:
    from planner.domain.device import Peak

    blind = msgspec.structs.replace(GPU, peak=Peak())
    assert speeds(device=blind).figure("ttft", "p50", 0) is None
    assert speeds(device=blind).figure("tpot", "p50", 0) is not None


@pytest.mark.parametrize("quantile", ["p90", "p95", "p99"])
def test_a_median_is_never_shown_as_a_percentile(quantile: str) -> None:
    assert speeds(profile(INT8, GPU, {LOAD: (0.2, 0.011)})).figure("tpot", quantile, 0) is None


def test_a_percentile_is_answered_by_a_distribution_that_holds_it() -> None:
    found = figure(speeds(profile(INT8, GPU, {LOAD: (0.2, 0.011)}, quantile="p95")), "tpot", "p95")
    assert (found.value, found.basis) == (0.011, Basis.MEASURED)


def test_a_mean_only_calibrates_the_median() -> None:
    found = figure(speeds(profile(INT8, GPU, {LOAD: (0.2, 0.011)}, quantile="mean")), "tpot", "p50")
    assert found.basis is Basis.MODELLED
    assert found.value == pytest.approx(0.011)
    assert found.interval is not None
    assert found.note is not None
    assert "middle" in found.note


def test_the_middle_says_which_middle_it_is() -> None:
    assert speeds(profile(INT8, GPU, {LOAD: (0.2, 0.011)}, quantile="mean")).quantile_of("tpot", 0) == "mean"
    assert speeds(profile(INT8, GPU, {LOAD: (0.2, 0.011)})).quantile_of("tpot", 0) == "p50"


def test_between_measured_points_efficiency_is_interpolated() -> None:
    short, long = (
        Workload(input_tokens=512, output_tokens=256),
        Workload(input_tokens=2048, output_tokens=256),
    )
    found = figure(speeds(profile(INT8, GPU, {short: (0.1, 0.010), long: (0.4, 0.012)})), "tpot")
    assert found.basis is Basis.INTERPOLATED
    assert 0.010 < found.value < 0.012
    assert found.interval is not None
    assert found.interval.lo < found.value < found.interval.hi


def test_outside_the_measured_range_is_modelled_and_wider() -> None:
    near, far = Workload(input_tokens=512, output_tokens=256), Workload(input_tokens=600, output_tokens=256)
    grid = {near: (0.1, 0.010), far: (0.12, 0.0102)}
    inside = figure(
        speeds(profile(INT8, GPU, grid), load=Workload(input_tokens=550, output_tokens=256)), "ttft"
    )
    outside = figure(
        speeds(profile(INT8, GPU, grid), load=Workload(input_tokens=8000, output_tokens=256)), "ttft"
    )
    assert inside.basis is Basis.INTERPOLATED
    assert outside.basis is Basis.MODELLED
    assert inside.interval is not None
    assert outside.interval is not None
    assert outside.interval.hi / outside.value > inside.interval.hi / inside.value
    assert outside.note is not None
    assert "outside" in outside.note


@given(efficiency=st.floats(0.05, 0.95), tokens=st.integers(600, 1900))
def test_a_device_of_constant_efficiency_is_predicted_exactly(efficiency: float, tokens: int) -> None:
    def truth(load: Workload) -> tuple[float, float]:
        columns = columns_of([(LLAMA.architecture, INT8.weight_bytes, INT8.scheme, 0)])
        times = modelled_times(columns, np.ones(1, dtype=np.int64), GPU, Load.of(load))
        return float(times.ttft[0]) / efficiency, float(times.tpot[0]) / efficiency

    grid = [Workload(input_tokens=n, output_tokens=256) for n in (512, 1024, 2048)]
    asked = Workload(input_tokens=tokens, output_tokens=256)
    found = figure(speeds(profile(INT8, GPU, {load: truth(load) for load in grid}), load=asked), "ttft")
    assert found.value == pytest.approx(truth(asked)[0], rel=1e-9)


def test_published_figures_do_not_override_measured_ones() -> None:
    measured = profile(INT8, GPU, {LOAD: (0.3, 0.020)})
    published = profile(INT8, GPU, {LOAD: (0.1, 0.005)}, basis=Basis.PUBLISHED, runtime="vllm")
    found = figure(speeds(measured, published), "tpot")
    assert (found.value, found.basis) == (0.020, Basis.MEASURED)
    only = figure(speeds(measured, published, engine="vllm"), "tpot")
    assert (only.value, only.basis) == (0.005, Basis.PUBLISHED)


def test_a_runtime_without_evidence_of_its_own_falls_back_to_the_roofline() -> None:
    found = figure(speeds(profile(INT8, GPU, {LOAD: (0.3, 0.020)}), engine="vllm"), "tpot")
    assert found.basis is Basis.MODELLED
    assert found.evidence == ()


def test_doubted_profiles_are_left_out_and_counted() -> None:
    doubted = profile(INT8, GPU, {LOAD: (0.3, 0.020)}, doubt="clock was throttled")
    assert figure(speeds(doubted), "tpot").basis is Basis.MODELLED
    assert gather_evidence([doubted], GPU, {INT8.id: 0}).doubted == {0: 1}


def test_stale_evidence_is_widened_and_said() -> None:
    measured = profile(INT8, GPU, {LOAD: (0.3, 0.020)})
    fresh, stale = figure(speeds(measured), "tpot"), figure(speeds(measured, late=400), "tpot")
    assert fresh.interval is None
    assert stale.interval is not None
    assert stale.interval.lo < stale.value < stale.interval.hi
    assert stale.note is not None
    assert "stale" in stale.note


def test_synthetic_weights_are_said() -> None:
    found = figure(speeds(profile(INT8, GPU, {LOAD: (0.3, 0.02)}, synthetic=True)), "tpot")
    assert found.note is not None
    assert "synthetic" in found.note


def test_tails_of_gaps_are_not_taken_from_tpot() -> None:
    known = speeds(profile(INT8, GPU, {LOAD: (0.2, 0.011)}, quantile="p95"))
    assert known.figure("itl", "p95", 0) is None
    assert figure(speeds(profile(INT8, GPU, {LOAD: (0.2, 0.011)})), "itl").basis is Basis.MODELLED
    assert figure(speeds(profile(INT8, GPU, {LOAD: (0.2, 0.011)})), "itl", "mean").value == 0.011


def test_throughput_follows_from_ttft_and_tpot() -> None:
    found = speeds(profile(INT8, GPU, {LOAD: (0.2, 0.01)}))
    whole = figure(found, "end_to_end")
    assert whole.value == pytest.approx(0.2 + 255 * 0.01)
    assert whole.basis is Basis.MODELLED
    assert figure(found, "per_token").value == pytest.approx(256 / whole.value)


def test_a_mixture_reads_only_the_experts_its_batch_hits() -> None:
    sparse = variant(QWEN, "bf16")
    columns = columns_of([(QWEN.architecture, sparse.weight_bytes, sparse.scheme, 0)])
    one, many = (float(weight_bytes_read(columns, np.asarray(float(batch)))[0]) for batch in (1, 10_000))
    table = 2 * QWEN.architecture.vocab_size * QWEN.architecture.hidden_size
    assert many == pytest.approx(sparse.weight_bytes.value - table)
    assert one == pytest.approx(2 * QWEN.architecture.active_parameters - table, rel=0.01)


def test_weight_only_formats_compute_at_the_sixteen_bit_rate() -> None:
    load = Load.of(Workload(input_tokens=8192))
    times = {}
    for scheme in ("int8", "int8-dynamic"):
        made = variant(LLAMA, scheme)
        columns = columns_of([(LLAMA.architecture, made.weight_bytes, made.scheme, 0)])
        times[scheme] = float(modelled_times(columns, np.ones(1, dtype=np.int64), GPU, load).ttft[0])
    assert times["int8"] > 1.8 * times["int8-dynamic"]


def test_what_is_asked_first_does_not_change_what_is_asked_next() -> None:
    near = profile(INT8, GPU, {Workload(input_tokens=512, output_tokens=256): (0.1, 0.010)}, quantile="mean")
    often = speeds(near)
    for quantile in ("central", "mean", "p50", "mean"):
        assert figure(often, "tpot", quantile).value == figure(speeds(near), "tpot", quantile).value
    assert figure(often, "tpot", "p50").value == figure(often, "tpot", "mean").value
    assert figure(often, "end_to_end").value == figure(speeds(near), "end_to_end").value


def _prefill(family: int, *, device: Device, tokens: int, shape: Architecture = LLAMA_3_8B) -> float:
    weights = modelled_weight_bytes(shape, SCHEMES["bf16"])
    columns = columns_of([(shape, weights, SCHEMES["bf16"], family)])
    load = Load.of(Workload(input_tokens=tokens, output_tokens=2))
    return float(modelled_times(columns, np.ones(1, dtype=np.int64), device, load).ttft[0])


def test_fp16_accumulation_has_its_own_rate_where_the_runtime_uses_it() -> None:
    slow = msgspec.structs.replace(GPU, peak=Peak(fp16=1e14, bf16=1e14))
    fast = msgspec.structs.replace(slow, peak=Peak(fp16=1e14, bf16=1e14, fp16_accumulate=2e14))
    llama, vllm = runtime_code("llama.cpp"), runtime_code("vllm")
    assert _prefill(llama, device=fast, tokens=4096) < 0.6 * _prefill(llama, device=slow, tokens=4096)
    assert _prefill(vllm, device=fast, tokens=4096) == _prefill(vllm, device=slow, tokens=4096)


def test_a_short_prompt_waits_for_its_dispatch_where_prefill_is_not_replayed() -> None:
    replayed = runtime_family("transformers", "compiled")
    short, long = (_prefill(replayed, device=GPU, tokens=tokens) for tokens in (16, 65_536))
    assert short == pytest.approx(LLAMA_3_8B.layers * 1e-3)
    assert long > 10 * short


def test_every_chunk_of_a_prompt_reads_the_weights_once() -> None:
    slow = msgspec.structs.replace(GPU, bandwidth_bytes_per_second=1e9, peak=Peak(fp16=1e18, bf16=1e18))
    one, four = (_prefill(runtime_code("llama.cpp"), device=slow, tokens=tokens) for tokens in (512, 2048))
    assert four == pytest.approx(4 * one, rel=0.01)
