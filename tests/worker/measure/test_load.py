from __future__ import annotations

import time
from contextlib import nullcontext

import numpy as np
import pytest

from planner.domain.runtime import Runtime
from planner.domain.workload import Workload
from worker.engines.requests import Answer, Request
from worker.measure.latency import Repetition
from worker.measure.load import draw_requests, full_rate, time_load, widest

pytestmark = pytest.mark.worker
POINT = Workload(input_tokens=32, output_tokens=10, concurrency=3)
QUICK = Repetition(warmup=1, least=6, budget_seconds=0.2, half_width=0.5)


class Loop:
    """An exact closed loop on a clock of its own: first token after 100 ms, 10 ms a token, no noise."""

    runtime = Runtime(name="loop", mode="serving")
    vocabulary = 1000
    max_context = None

    def __init__(self, *, pieces: int = 1, failing: int = 0, short: bool = False) -> None:
        self.pieces, self.failing, self.short = pieces, failing, short
        self.served: list[Request] = []

    def ready(self, *, concurrency: int, input_tokens: int, context_tokens: int) -> nullcontext[None]:
        return nullcontext()

    def serve(self, requests, concurrency, deadline) -> list[Answer]:
        time.sleep(0.001)
        free = [0.0] * concurrency
        answers = []
        for request in requests:
            lane = int(np.argmin(free))
            sent = free[lane]
            self.served.append(request)
            count = request.output_tokens // 2 if self.short else request.output_tokens
            times = tuple(
                sent + 0.1 + 0.01 * (number // self.pieces * self.pieces) for number in range(count)
            )
            if self.failing and len(self.served) % self.failing == 0:
                answers.append(Answer(request=request, sent=sent, error="HTTP 503"))
                free[lane] = sent + 0.01
                continue
            answers.append(
                Answer(
                    request=request,
                    sent=sent,
                    times=times,
                    output_tokens=count,
                    input_tokens=len(request.prompt),
                )
            )
            free[lane] = times[-1]
        return answers


def _time(engine: Loop, repetition: Repetition = QUICK, **settings):
    return time_load(engine, POINT, repetition, deadline=time.perf_counter() + 60, **settings)


def test_a_closed_loop_without_noise_is_read_exactly():
    engine = Loop()
    timings = _time(engine)
    assert timings.ttft_seconds is not None
    assert timings.ttft_seconds.p50 == pytest.approx(0.1)
    assert timings.tpot_seconds is not None
    assert timings.tpot_seconds.p50 == pytest.approx(0.01)
    assert timings.itl_seconds is not None
    assert timings.itl_seconds.p50 == pytest.approx(0.01)
    assert timings.end_to_end_seconds is not None
    assert timings.end_to_end_seconds.p50 == pytest.approx(0.19)
    # three at a time, ten tokens each in 0.19 s
    assert timings.output_tokens_per_second is not None
    assert timings.output_tokens_per_second.p50 == pytest.approx(3 * 10 / 0.19, rel=0.02)
    assert timings.requests_per_second is not None
    assert timings.requests_per_second.p50 == pytest.approx(3 / 0.19, rel=0.02)
    assert timings.error_share == 0
    assert timings.first_ttft_seconds == pytest.approx(0.1)
    assert timings.stability.is_stable
    prompts = [request.prompt for request in engine.served]
    assert len(set(prompts)) == len(prompts)


def test_failures_are_a_share_and_times_are_the_survivors():
    timings = _time(Loop(failing=4))
    assert timings.error_share == pytest.approx(0.25, abs=0.08)
    assert timings.errors == ("HTTP 503",)
    assert timings.ttft_seconds is not None
    assert timings.ttft_seconds.samples < timings.facts["requests"]
    nothing = _time(Loop(failing=1))
    assert nothing.ttft_seconds is None
    assert nothing.error_share == 1
    assert nothing.stability.verdict == "unstable"


def test_tokens_that_come_several_at_a_time_have_no_gaps():
    timings = _time(Loop(pieces=5))
    assert timings.itl_seconds is None
    assert "several at a time" in str(timings.facts["itl_left_out"])
    assert timings.tpot_seconds is not None


def test_an_early_end_is_a_share():
    assert _time(Loop(short=True)).facts["stopped_early_share"] == 1.0
    assert "stopped_early_share" not in _time(Loop()).facts


def test_a_round_on_a_slowed_device_does_not_count():
    reasons = iter(["hardware slowdown", None, None, None, None, None, None, None, None])
    timings = _time(Loop(), judge=lambda *_: next(reasons))
    assert timings.stability.discarded == 12
    assert timings.ttft_seconds is not None
    assert timings.ttft_seconds.samples == timings.facts["requests"]


def test_lengths_spread_around_the_points_and_stay_within_the_widest():
    requests = draw_requests(POINT, 400, 1000, spread=0.5, seed=1)
    largest = widest(POINT, 0.5)
    inputs = [len(request.prompt) for request in requests]
    assert (min(inputs), max(inputs), largest.input_tokens) == (16, 48, 48)
    assert np.mean(inputs) == pytest.approx(32, abs=1.5)
    outputs = [request.output_tokens for request in requests]
    assert (min(outputs), max(outputs), largest.output_tokens) == (5, 15, 15)
    again, other = (draw_requests(POINT, 400, 1000, spread=0.5, seed=seed) for seed in (1, 2))
    assert again == requests
    assert not {request.prompt for request in other} & {request.prompt for request in requests}
    assert widest(POINT, 0.0) == POINT


def test_a_rate_needs_tokens_and_counts_pieces_by_their_tokens():
    request = Request(prompt=(1,), output_tokens=10)
    assert full_rate([Answer(request=request, sent=0.0, error="x")], 1) is None
    one = Answer(request=request, sent=0.0, times=(1.0, 2.0), output_tokens=10)
    assert full_rate([one], 1) == pytest.approx(5.0)
