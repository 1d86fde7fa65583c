from __future__ import annotations

from typing import Any

import msgspec
import pytest
import torch

from planner.domain.figure import Basis
from planner.domain.job import FailureReason
from planner.domain.profile import Profile
from planner.domain.workload import Workload
from planner.errors import InvalidInput
from worker.engines.transformers import TransformersEngine
from worker.failure import JobFailed
from worker.measure.contention import Watch
from worker.measure.latency import Repetition
from worker.measure.profile import Conditions, measure, measure_engine
from worker.measure.weights import count_weights

pytestmark = pytest.mark.worker
POINTS = (
    Workload(input_tokens=16, output_tokens=8),
    Workload(input_tokens=128, output_tokens=8, concurrency=8),
)
QUICK = Conditions(
    workloads=POINTS, device="cpu", threads=1, repetition=Repetition(least=5, most=5, budget_seconds=1)
)


def test_a_profile_is_complete_and_survives_json(built):
    heard: list[float] = []
    directory = built("int8_weight_only")
    measured = measure(directory, "sha256:x", QUICK, report=lambda share, text: heard.append(share))
    profile = measured.profile
    assert measured.weights is not None
    assert msgspec.json.decode(msgspec.json.encode(profile), type=Profile) == profile
    assert profile.basis is Basis.MEASURED
    assert profile.id.startswith("profile:")
    assert [point.workload for point in profile.points] == list(POINTS)
    for point in profile.points:
        for samples in (point.ttft_seconds, point.tpot_seconds, point.end_to_end_seconds):
            assert samples is not None
            assert samples.samples == 5
            assert samples.p50_interval is not None
        assert point.memory.weights_bytes == measured.weights.total_bytes
        assert point.memory.peak_rss_bytes is not None
        assert point.memory.kv_cache_bytes
        assert point.memory.context_bytes is None
        assert point.requests_per_second is not None
        assert point.stability is not None
    assert profile.cold_ttft_seconds
    assert profile.load_seconds
    assert profile.environment.versions["torch"]
    assert profile.environment.facts["threads"] == 1
    bandwidth = profile.environment.facts["copy_bandwidth_bytes_per_second"]
    assert isinstance(bandwidth, float)
    assert bandwidth > 1e8
    assert profile.kernel
    assert measured.device is not None
    assert profile.device_id == measured.device.id
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


def test_weights_are_those_of_the_loaded_tensors(built):
    from worker.engines.loading import load_model, resolve_device

    measured = measure(built("bf16"), "sha256:x", QUICK)
    assert measured.weights == count_weights(load_model(built("bf16"), device=resolve_device("cpu")))


def test_more_context_than_the_model_has_is_refused_before_measuring(built):
    conditions = msgspec.structs.replace(QUICK, workloads=(Workload(input_tokens=255, output_tokens=2),))
    with pytest.raises(InvalidInput, match="needs 257 tokens of context; allowed: at most 256"):
        measure(built("bf16"), "sha256:x", conditions)


def test_a_disturbed_measurement_is_kept_with_its_doubt_or_refused(built, monkeypatch):
    monkeypatch.setattr(Watch, "doubts", property(lambda self: ("thermal slowdown",)))
    assert measure(built("bf16"), "sha256:x", QUICK).profile.doubt == "thermal slowdown"
    with pytest.raises(JobFailed) as caught:
        measure(built("bf16"), "sha256:x", msgspec.structs.replace(QUICK, tainted="refuse"))
    assert caught.value.reason is FailureReason.TAINTED_MEASUREMENT


@pytest.mark.parametrize("change", [{"workloads": ()}, {"threads": 0}])
def test_wrong_conditions_are_named(change):
    with pytest.raises(InvalidInput, match=next(iter(change))):
        Conditions(**change)


class _Failing:
    """An engine that behaves as the real one does until a point asks for more than `most` tokens at once."""

    def __init__(self, engine: TransformersEngine, most: int) -> None:
        self._engine, self._most = engine, most
        self.asked: list[tuple[int, int]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def generate(self, prompts, output_tokens):
        self.asked.append(prompts.shape)
        if prompts.size > self._most:
            raise torch.OutOfMemoryError("out of memory: tried to allocate 80 GiB")
        return self._engine.generate(prompts, output_tokens)


def test_a_loaded_engine_is_measured_and_points_that_do_not_fit_do_not_end_the_others(base):
    workloads = tuple(
        Workload(input_tokens=tokens, output_tokens=4, concurrency=requests)
        for tokens, requests in ((8, 1), (64, 4), (128, 4), (16, 2), (64, 8))
    )
    engine: Any = _Failing(TransformersEngine.load(base, device=torch.device("cpu")), most=100)
    conditions = msgspec.structs.replace(QUICK, workloads=workloads)
    profile = measure_engine(
        lambda: engine, "sha256:x", conditions, synthetic_weights=True, facts={"shape": "tiny"}
    ).profile
    assert [point.workload for point in profile.points] == [workloads[0], workloads[3]]
    assert [(left.workload, left.reason) for left in profile.not_measured] == [
        (workloads[1], "out_of_memory"),
        (workloads[2], "larger_than_memory"),
        (workloads[4], "larger_than_memory"),
    ]
    assert "80 GiB" in (profile.not_measured[0].detail or "")
    assert sum(shape == (4, 64) for shape in engine.asked) == 1
    assert profile.synthetic_weights
    assert profile.environment.facts["shape"] == "tiny"


def test_when_nothing_fits_the_memory_error_comes_through(base):
    engine: Any = _Failing(TransformersEngine.load(base, device=torch.device("cpu")), most=0)
    with pytest.raises(torch.OutOfMemoryError):
        measure_engine(lambda: engine, "sha256:x", QUICK)


def test_what_the_time_does_not_allow_is_named(base):
    conditions = msgspec.structs.replace(QUICK, total_limit_seconds=1e-6)
    profile = measure(base, "sha256:x", conditions).profile
    assert profile.points == ()
    assert [(left.workload, left.reason) for left in profile.not_measured] == [
        (point, "time_limit") for point in POINTS
    ]
    conditions = msgspec.structs.replace(QUICK, point_limit_seconds=1e-6)
    profile = measure(base, "sha256:x", conditions).profile
    assert [point.workload for point in profile.points] == list(POINTS)
    assert all(point.ttft_seconds is None and point.memory.weights_bytes for point in profile.points)
    assert [left.reason for left in profile.not_measured] == ["time_limit", "time_limit"]
