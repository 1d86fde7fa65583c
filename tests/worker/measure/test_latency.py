from __future__ import annotations

import numpy as np
import pytest

from planner.domain.profile import Stability
from planner.domain.runtime import Runtime
from planner.domain.workload import Workload
from planner.errors import InvalidInput
from worker.engines import Generation
from worker.measure.latency import Repetition, prompts_for, time_point

pytestmark = pytest.mark.worker


class ScriptedEngine:
    """An engine whose clock is the test's: TTFT 100 ms and 10 ms a token, give or take `jitter`."""

    runtime = Runtime(name="scripted")
    vocabulary = 100
    max_context = None

    def __init__(self, jitter: float) -> None:
        self.rng = np.random.default_rng(0)
        self.jitter = jitter
        self.calls = 0
        self.now = 0.0

    def generate(self, prompts: np.ndarray, output_tokens: int) -> Generation:
        self.calls += 1
        steps = np.array([0.1, *[0.01] * (output_tokens - 1)]) * (1 + self.jitter * self.rng.random())
        seconds = tuple(np.cumsum(steps).tolist())
        self.now += seconds[-1]
        return Generation(seconds=seconds, tokens=np.zeros((prompts.shape[0], output_tokens), dtype=np.int64))


POINT = Workload(input_tokens=8, output_tokens=11, concurrency=4)


def test_a_steady_engine_is_measured_with_the_least_repeats():
    engine = ScriptedEngine(jitter=0.0)
    timings = time_point(engine, POINT, Repetition(warmup=3, least=6), clock=lambda: engine.now)
    assert engine.calls == 9
    assert timings.converged
    assert timings.ttft_seconds is not None
    assert timings.ttft_seconds.p50 == pytest.approx(0.1)
    assert timings.tpot_seconds is not None
    assert timings.tpot_seconds.p50 == pytest.approx(0.01)
    assert timings.itl_seconds is not None
    assert timings.itl_seconds.samples == 6 * 10
    assert timings.end_to_end_seconds is not None
    assert timings.end_to_end_seconds.p50 == pytest.approx(0.2)
    assert timings.output_tokens_per_second is not None
    assert timings.output_tokens_per_second.p50 == pytest.approx(4 * 11 / 0.2)


def test_a_noisy_engine_is_repeated_until_narrow():
    engine = ScriptedEngine(jitter=0.3)
    timings = time_point(
        engine, POINT, Repetition(budget_seconds=1e4, half_width=0.02, most=5000), clock=lambda: engine.now
    )
    assert timings.converged
    assert timings.ttft_seconds is not None
    assert timings.ttft_seconds.samples > 20
    interval = timings.ttft_seconds.p50_interval
    assert interval is not None
    assert (interval.hi - interval.lo) / 2 <= 0.02 * (timings.ttft_seconds.p50 or 0)


def test_the_budget_ends_a_point_that_does_not_settle():
    engine = ScriptedEngine(jitter=2.0)
    repetition = Repetition(warmup=0, budget_seconds=3.0, half_width=0.0001)
    timings = time_point(engine, POINT, repetition, clock=lambda: engine.now)
    assert not timings.converged
    assert engine.now < 3.0 + 0.6


def test_the_least_repeats_are_made_whatever_they_take():
    engine = ScriptedEngine(jitter=2.0)
    timings = time_point(engine, POINT, Repetition(least=7, budget_seconds=0.01), clock=lambda: engine.now)
    assert timings.ttft_seconds is not None
    assert timings.ttft_seconds.samples == 7


def test_an_engine_that_is_far_too_slow_is_not_repeated_for_ever():
    engine = ScriptedEngine(jitter=0.1)
    repetition = Repetition(warmup=5, least=50, budget_seconds=1.0, limit_seconds=0.9)
    timings = time_point(engine, POINT, repetition, clock=lambda: engine.now)
    assert timings.ttft_seconds is not None
    assert timings.ttft_seconds.samples in {4, 5}  # 0.2 s each
    assert engine.calls <= 10
    assert not timings.converged


def test_a_steady_point_is_stable_and_a_scattered_one_is_not():
    engine = ScriptedEngine(jitter=0.0)
    steady = time_point(engine, POINT, Repetition(least=6), clock=lambda: engine.now).stability
    assert steady == Stability(verdict="stable")
    engine = ScriptedEngine(jitter=0.5)
    repetition = Repetition(budget_seconds=1e4, half_width=0.02, most=5000)
    timings = time_point(engine, POINT, repetition, clock=lambda: engine.now)
    assert timings.converged
    assert timings.stability.verdict == "unstable"
    assert "scatters" in (timings.stability.reason or "")
    engine = ScriptedEngine(jitter=0.0)
    few = time_point(engine, POINT, Repetition(least=3, most=3), clock=lambda: engine.now).stability
    assert few.reason == "3 samples, of which 5 are needed"


def test_samples_of_a_slowed_device_are_discarded_and_counted():
    engine = ScriptedEngine(jitter=0.0)
    pauses: list[float] = []
    hot_until = 1.01

    def judge(start: float, end: float) -> str | None:
        return "hardware thermal slowdown" if end <= hot_until else None

    timings = time_point(
        engine,
        POINT,
        Repetition(warmup=0, least=6),
        judge=judge,
        sleep=pauses.append,
        clock=lambda: engine.now,
    )
    assert timings.ttft_seconds is not None
    assert timings.ttft_seconds.samples == 6
    assert timings.stability == Stability(verdict="stable", discarded=5)
    assert pauses == sorted(pauses)
    assert len(pauses) == 5


def test_when_every_sample_is_discarded_there_are_no_times():
    engine = ScriptedEngine(jitter=0.0)
    timings = time_point(
        engine,
        POINT,
        Repetition(warmup=0, limit_seconds=2.0),
        judge=lambda *_: "hardware slowdown",
        sleep=lambda _: None,
        clock=lambda: engine.now,
    )
    assert timings.ttft_seconds is None
    assert timings.output_tokens_per_second is None
    assert timings.stability.verdict == "unstable"
    assert timings.stability.reason == "10 of 10 samples discarded: hardware slowdown"


def test_a_single_token_has_no_time_per_output_token():
    engine = ScriptedEngine(jitter=0.0)
    point = Workload(input_tokens=8, output_tokens=1)
    timings = time_point(engine, point, Repetition(), clock=lambda: engine.now)
    assert timings.tpot_seconds is None
    assert timings.itl_seconds is None
    assert timings.converged


def test_prompts_are_varied_and_repeatable():
    prompts = prompts_for(POINT, 100)
    assert prompts.shape == (4, 8)
    assert np.array_equal(prompts, prompts_for(POINT, 100))
    assert len(np.unique(prompts)) > 10


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("limit_seconds", 0),
        ("least", 0),
        ("most", 1),
        ("budget_seconds", 0),
        ("half_width", 2),
        ("warmup", -1),
    ],
)
def test_a_wrong_repetition_is_named(setting, value):
    with pytest.raises(InvalidInput, match=f"repetition.{setting}"):
        Repetition(**{setting: value})
