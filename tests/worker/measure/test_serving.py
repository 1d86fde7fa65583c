from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from planner.domain.job import FailureReason
from planner.domain.profile import Profile
from planner.domain.workload import Workload
from planner.errors import InvalidInput
from tests.worker.engines.openai_server import TOKEN_SECONDS, Server, running
from worker.engines.endpoint import Endpoint
from worker.failure import JobFailed
from worker.measure.latency import Repetition
from worker.measure.profile import Conditions
from worker.measure.serving import measure_continuous, measure_server

pytestmark = pytest.mark.worker
QUICK = Repetition(warmup=1, least=5, budget_seconds=0.3, half_width=0.2)
SWEEP = tuple(Workload(input_tokens=24, output_tokens=8, concurrency=number) for number in (1, 4))
LOAD = Conditions(workloads=SWEEP, device="cpu", threads=1, repetition=QUICK)


@pytest.fixture(scope="module")
def server():
    with running() as server:
        yield server


def _measure(server: Server, base: Path, model: str, conditions: Conditions = LOAD, **settings) -> Profile:
    endpoint = Endpoint(
        url=server.url, model=model, **{"runtime": "vllm", "runtime_version": "0.33", **settings}
    )
    measured = measure_server(endpoint, base, "sha256:x", conditions)
    assert measured.weights is None
    return measured.profile


def test_a_sweep_of_a_server_is_a_curve(server, base):
    profile = _measure(server, base, "steady")
    assert msgspec.json.decode(msgspec.json.encode(profile), type=Profile) == profile
    assert str(profile.runtime) == "vllm 0.33 serving"
    assert [point.workload for point in profile.points] == list(SWEEP)
    rates = []
    for point in profile.points:
        assert point.error_share == 0
        assert point.memory.weights_bytes is None
        assert point.tpot_seconds is not None
        assert (point.tpot_seconds.p50 or 0) >= TOKEN_SECONDS * 0.9
        assert point.requests_per_second is not None
        assert point.output_tokens_per_second is not None
        assert point.output_tokens_per_second.p50 is not None
        rates.append(point.output_tokens_per_second.p50)
    assert rates[1] > 1.5 * rates[0]
    assert profile.cold_ttft_seconds
    assert profile.doubt is None
    assert set(profile.environment.versions) == {"python", "variant-planner"}
    assert profile.environment.facts["prompts"] == "token ids"


def test_a_server_elsewhere_says_nothing_of_this_machine(server, base):
    profile = _measure(server, base, "steady", device_id="gpu:h200-sxm", devices=2)
    assert (profile.device_id, profile.devices) == ("gpu:h200-sxm", 2)
    assert profile.environment.device_name is None
    assert "cpu" not in profile.environment.facts


@pytest.mark.parametrize(
    ("kind", "doubt"), [("flaky", "of the requests failed"), ("early", "ended before the length")]
)
def test_what_is_wrong_with_the_answers_is_a_doubt_or_refused(server, base, kind, doubt):
    profile = _measure(server, base, kind)
    assert doubt in (profile.doubt or "")
    with pytest.raises(JobFailed) as caught:
        _measure(server, base, kind, msgspec.structs.replace(LOAD, tainted="refuse"))
    assert caught.value.reason is FailureReason.TAINTED_MEASUREMENT


def test_gaps_of_a_server_that_sends_several_tokens_at_a_time_are_left_out(server, base):
    point = _measure(server, base, "lumpy").points[0]
    assert point.itl_seconds is None
    assert "several at a time" in str(point.facts["itl_left_out"])
    assert point.tpot_seconds is not None


def test_a_point_of_which_every_request_failed_is_left_out(server, base):
    profile = _measure(server, base, "breaking")
    assert profile.points == ()
    assert [(left.reason, left.detail) for left in profile.not_measured] == [
        ("failed", "the stream broke off")
    ] * 2


def test_continuous_batching_gives_curve_and_memory(base):
    conditions = msgspec.structs.replace(LOAD, batching="continuous")
    measured = measure_continuous(base, "sha256:x", conditions)
    profile = measured.profile
    assert profile.runtime.mode == "continuous"
    assert profile.environment.facts["length_spread"] == 0.5
    for point in profile.points:
        assert point.error_share == 0
        assert point.requests_per_second is not None
        assert point.memory.kv_cache_bytes
        assert measured.weights is not None
        assert point.memory.weights_bytes == measured.weights.total_bytes
    with pytest.raises(InvalidInput, match="at most 256"):
        measure_continuous(
            base,
            "sha256:x",
            msgspec.structs.replace(conditions, workloads=(Workload(input_tokens=200, output_tokens=8),)),
        )
