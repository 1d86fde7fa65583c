"""A point under load: requests in a closed loop, each with its own clock, until the medians are narrow.

The closed loop keeps `concurrency` requests under way: the next is sent when one is done. Requests come in rounds;
throughput is counted while the loop is full, from the first request that is done to the last one that is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np

from planner.domain.profile import Distribution, Fact, Stability
from planner.domain.workload import Workload
from worker.engines.requests import Answer, Request, RequestEngine
from worker.measure.distribution import maybe_distribution, relative_half_width
from worker.measure.latency import Repetition
from worker.measure.stability import judge_stability

PROTOCOL: Final = (
    "greedy, closed loop of concurrent requests, distinct uniformly random prompts, lengths uniform around the point's; a "
    "token counts when it is received; TPOT = (last - first)/(output tokens - 1) of a request, ITL = single gaps; "
    "percentiles over requests that succeeded; throughput while the loop is full; v1"
)
COALESCED: Final = 0.1
"""A median gap below this share of TPOT means that tokens arrive several at a time, so gaps are no gaps between tokens."""
_ROUNDS_OF: Final = 4
"""Requests of a round per concurrent one: half of the round's time the loop is full and past its start."""
_LEAST_ROUNDS: Final = 3
"""Before a point may be called settled; throughput has one sample per round."""
_LEAST_PIECES: Final = 0.9
"""Pieces per token, and tokens per piece, below which a piece is no token."""


class LoadTimings(msgspec.Struct, frozen=True, kw_only=True):
    """What was timed at one point under load; no times when no request succeeded or every round was discarded."""

    ttft_seconds: Distribution | None
    tpot_seconds: Distribution | None
    itl_seconds: Distribution | None
    end_to_end_seconds: Distribution | None
    output_tokens_per_second: Distribution | None
    requests_per_second: Distribution | None
    error_share: float
    stability: Stability
    facts: dict[str, Fact]
    errors: tuple[str, ...]
    """Different errors, in order."""
    started: float
    ended: float
    first_ttft_seconds: float | None = None
    """Of the first request of the first warm-up; None without one."""


def widest(workload: Workload, spread: float) -> Workload:
    """Return the largest request that `draw_requests` makes for the point."""
    return msgspec.structs.replace(
        workload,
        input_tokens=_reach(workload.input_tokens, spread)[1],
        output_tokens=_reach(workload.output_tokens, spread)[1],
    )


def draw_requests(
    workload: Workload, count: int, vocabulary: int, *, spread: float, seed: int
) -> list[Request]:
    """Return `count` requests of random tokens, no two with the same prompt in any round of another seed.

    Lengths are uniform within `spread` (a share) of the point's.
    """
    rng = np.random.default_rng(seed)
    inputs = rng.integers(*_reach(workload.input_tokens, spread), size=count, endpoint=True)
    outputs = rng.integers(*_reach(workload.output_tokens, spread), size=count, endpoint=True)
    return [
        Request(
            prompt=tuple(rng.integers(0, vocabulary, size=int(tokens)).tolist()), output_tokens=int(output)
        )
        for tokens, output in zip(inputs, outputs, strict=True)
    ]


def _reach(tokens: int, spread: float) -> tuple[int, int]:
    return max(1, round(tokens * (1 - spread))), max(1, round(tokens * (1 + spread)))


def time_load(
    engine: RequestEngine,
    workload: Workload,
    repetition: Repetition,
    *,
    deadline: float,
    spread: float = 0.0,
    judge: Callable[[float, float], str | None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> LoadTimings:
    """Time one point; the engine must be ready for it. No request is sent after `deadline` (`time.perf_counter`).

    `repetition` counts requests, and its warm-up rounds have one request per concurrent one. `judge` says of a round
    whether it must not count.
    """
    concurrency = workload.concurrency
    size = max(repetition.least, _ROUNDS_OF * concurrency if concurrency > 1 else 1)
    seed = 0

    def play(count: int) -> list[Answer]:
        nonlocal seed
        seed += 1
        drawn = draw_requests(workload, count, engine.vocabulary, spread=spread, seed=seed)
        return engine.serve(drawn, concurrency, deadline)

    first: float | None = None
    for _ in range(repetition.warmup):
        warm = play(concurrency)
        first = first if first is not None else next((a.ttft for a in warm if a.ttft is not None), None)
    start = time.perf_counter()
    last = min(deadline, start + repetition.limit_seconds)
    rounds: list[list[Answer]] = []
    discarded, problem = 0, None
    while True:
        begun = time.perf_counter()
        answers = play(size)
        now = time.perf_counter()
        spoilt = judge(begun, now) if judge is not None else None
        if spoilt is None:
            rounds.append(answers)
        else:
            discarded, problem = discarded + len(answers), spoilt
        done = sum(map(len, rounds))
        if progress is not None:
            progress(done)
        enough = done >= repetition.least and len(rounds) >= _LEAST_ROUNDS
        settled = enough and _is_narrow(rounds, repetition.half_width)
        spent = now - start >= repetition.budget_seconds and done >= repetition.least
        if now >= last or done >= repetition.most or settled or spent:
            break
        if len(rounds) > 1 and all(answer.error is not None for answers in rounds for answer in answers):
            break
    timings = _timings(
        rounds,
        workload,
        repetition,
        discarded=discarded,
        problem=problem,
        started=start,
        ended=time.perf_counter(),
    )
    return msgspec.structs.replace(timings, first_ttft_seconds=first)


def _timings(
    rounds: list[list[Answer]],
    workload: Workload,
    repetition: Repetition,
    *,
    discarded: int,
    problem: str | None,
    started: float,
    ended: float,
) -> LoadTimings:
    answers = [answer for answers in rounds for answer in answers]
    good = [answer for answer in answers if answer.error is None]
    series = _series(rounds)
    gaps, dropped = _gaps(good)
    rates = [rate for answers in rounds if (rate := full_rate(answers, workload.concurrency)) is not None]
    tokens = float(np.mean([answer.output_tokens for answer in good])) if good else 0.0
    facts: dict[str, Fact] = {"requests": len(answers)}
    early = sum(answer.output_tokens < answer.request.output_tokens for answer in good)
    if early:
        facts["stopped_early_share"] = round(early / len(good), 4)
    counted = [(answer.input_tokens, len(answer.request.prompt)) for answer in good if answer.input_tokens]
    if counted:
        facts["input_tokens_mean"] = round(float(np.mean([tokens for tokens, _ in counted])), 2)
        facts["input_tokens_over_asked"] = round(
            sum(tokens for tokens, _ in counted) / sum(asked for _, asked in counted), 4
        )
    if good:
        facts["output_tokens_mean"] = round(tokens, 2)
    if dropped:
        facts["itl_left_out"] = dropped
    return LoadTimings(
        ttft_seconds=maybe_distribution(series.get("TTFT", ())),
        tpot_seconds=maybe_distribution(series.get("TPOT", ())),
        itl_seconds=maybe_distribution(gaps),
        end_to_end_seconds=maybe_distribution([a.end_to_end for a in good if a.end_to_end is not None]),
        output_tokens_per_second=maybe_distribution(rates),
        requests_per_second=maybe_distribution([rate / tokens for rate in rates]) if tokens else None,
        error_share=(len(answers) - len(good)) / len(answers) if answers else 0.0,
        stability=judge_stability(
            series,
            half_width=repetition.half_width,
            discarded=discarded,
            discard_reason=problem,
            same_work=False,
        ),
        facts=facts,
        errors=tuple(dict.fromkeys(answer.error for answer in answers if answer.error is not None)),
        started=started,
        ended=ended,
    )


def full_rate(answers: Sequence[Answer], concurrency: int) -> float | None:
    """Return generated tokens per second while the loop was full; over the whole round where it never was for long.

    A piece of several tokens counts as an equal share of its request's tokens.
    """
    good = [answer for answer in answers if answer.times]
    if not good:
        return None
    sent = sorted(answer.sent for answer in answers)
    first_done = min(answer.times[-1] for answer in good)
    start, end = first_done, sent[-1]
    if len(answers) < 2 * concurrency or end <= start:
        start, end = sent[0], max(answer.times[-1] for answer in good)
    tokens = sum(
        answer.output_tokens / len(answer.times) * sum(start < moment <= end for moment in answer.times)
        for answer in good
    )
    return tokens / (end - start) if end > start and tokens else None


def _gaps(good: list[Answer]) -> tuple[list[float], str | None]:
    """Return the gaps between tokens, or none and why they are not gaps between tokens."""
    gaps = [gap for answer in good for gap in answer.gaps]
    tpots = [answer.tpot for answer in good if answer.tpot is not None]
    pieces, tokens = (
        sum(len(answer.times) for answer in good),
        sum(answer.output_tokens for answer in good),
    )
    if not gaps or not tpots:
        return [], None
    if not _LEAST_PIECES <= pieces / tokens <= 1 / _LEAST_PIECES:
        return [], f"{tokens} tokens arrived in {pieces} pieces"
    gap, tpot = float(np.median(gaps)), float(np.median(tpots))
    if gap < COALESCED * tpot:
        return [], f"the median gap is {gap / tpot:.0%} of TPOT: tokens arrive several at a time"
    return gaps, None


def _series(rounds: list[list[Answer]]) -> dict[str, list[float]]:
    good = [answer for answers in rounds for answer in answers if answer.error is None]
    found = {"TTFT": [answer.ttft for answer in good if answer.ttft is not None]}
    tpots = [answer.tpot for answer in good if answer.tpot is not None]
    return found | {"TPOT": tpots} if tpots else found


def _is_narrow(rounds: list[list[Answer]], half_width: float) -> bool:
    widths = [relative_half_width(samples) for samples in _series(rounds).values()]
    return all(width is not None and width <= half_width for width in widths)
