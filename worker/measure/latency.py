"""Latency and throughput at workload points: warm up, then repeat until the medians are narrow or the budget is spent."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from planner.domain.profile import Distribution, Stability
from planner.domain.workload import Workload
from planner.errors import InvalidInput
from worker.engines import Engine, Generation
from worker.measure.distribution import maybe_distribution, relative_half_width
from worker.measure.stability import judge_stability

PROTOCOL: Final = (
    "greedy, fixed output length, uniformly random prompt tokens, all requests of a point in one batch; a token counts "
    "when it is on the host; TPOT = (last - first)/(output tokens - 1) of a batch, ITL = single gaps; samples of a hot or "
    "slowed device discarded; v2"
)


_PAUSE: Final = 0.05
_PAUSE_GROWTH: Final = 1.5
_MOST_PAUSE: Final = 2.0
"""How a device is given time to recover; start and growth are NVBench's."""


class Repetition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to stop repeating a point: narrow enough after `least`, at `most`, or when `budget_seconds` are spent.

    `warmup` runs come first and are not timed; a profile takes the point's memory in the last of them.
    "Narrow enough" is a 90 % interval of the median within `half_width` (a share) for both TTFT and TPOT. After
    `limit_seconds` no further run starts, whatever `least` says: some kernels are a hundred times slower than others, and
    a few slow samples say so well enough.
    """

    warmup: int = 2
    least: int = 5
    most: int = 200
    budget_seconds: float = 10.0
    half_width: float = 0.02
    limit_seconds: float = 60.0

    def __post_init__(self) -> None:
        for field, low, high in (
            ("warmup", 0, 1000),
            ("least", 1, 100_000),
            ("most", self.least, 100_000),
            ("budget_seconds", 0.01, 86_400),
            ("half_width", 0, 1),
            ("limit_seconds", 0.01, 86_400),
        ):
            value = getattr(self, field)
            if not low <= value <= high:
                raise InvalidInput(
                    f"repetition.{field}", f"{value} is out of range", allowed=f"{low} to {high}"
                )


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """What was timed at one workload point; no times when every sample was discarded."""

    ttft_seconds: Distribution | None
    tpot_seconds: Distribution | None
    itl_seconds: Distribution | None
    end_to_end_seconds: Distribution | None
    output_tokens_per_second: Distribution | None
    requests_per_second: Distribution | None
    converged: bool
    """True when the medians were narrow enough before the budget ended."""
    stability: Stability
    started: float
    ended: float


def prompts_for(workload: Workload, vocabulary: int, *, seed: int = 0) -> npt.NDArray[np.int64]:
    """Return random token ids, requests x input tokens: equal ones would let caches and branches flatter the result."""
    return np.random.default_rng(seed).integers(
        0, vocabulary, size=(workload.concurrency, workload.input_tokens), dtype=np.int64
    )


def time_point(
    engine: Engine,
    workload: Workload,
    repetition: Repetition,
    *,
    judge: Callable[[float, float], str | None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
    progress: Callable[[int], None] | None = None,
) -> Timings:
    """Time one workload point; `progress` hears how many repeats are done.

    `judge` is asked after every run whether the time from its start to its end must not count, and why; after a run
    that must not, the device is given a moment to recover, longer each time.
    """
    prompts = prompts_for(workload, engine.vocabulary)
    start = clock()
    for _ in range(repetition.warmup):
        engine.generate(prompts, workload.output_tokens)
        if clock() - start >= repetition.limit_seconds:
            break
    runs: list[Generation] = []
    discarded, problem, pause = 0, None, _PAUSE
    start = clock()
    while len(runs) < repetition.most:
        begun = clock()
        run = engine.generate(prompts, workload.output_tokens)
        spoilt = judge(begun, clock()) if judge is not None else None
        if spoilt is None:
            runs.append(run)
            pause = _PAUSE
        else:
            discarded, problem = discarded + 1, spoilt
            sleep(pause)
            pause = min(_MOST_PAUSE, pause * _PAUSE_GROWTH)
        if progress is not None:
            progress(len(runs))
        spent = clock() - start
        if spent >= repetition.limit_seconds:
            break
        if len(runs) >= repetition.least and (
            spent >= repetition.budget_seconds or _is_narrow(runs, repetition.half_width)
        ):
            break
    return _timings(
        runs, workload, repetition, discarded=discarded, problem=problem, started=start, ended=clock()
    )


def _timings(
    runs: list[Generation],
    workload: Workload,
    repetition: Repetition,
    *,
    discarded: int,
    problem: str | None,
    started: float,
    ended: float,
) -> Timings:
    series = _series(runs)
    gaps = [gap for run in runs for gap in run.gaps]
    ends = [run.end_to_end for run in runs]
    return Timings(
        ttft_seconds=maybe_distribution(series["TTFT"]),
        tpot_seconds=maybe_distribution(series.get("TPOT", ())),
        itl_seconds=maybe_distribution(gaps),
        end_to_end_seconds=maybe_distribution(ends),
        output_tokens_per_second=maybe_distribution(
            [workload.concurrency * workload.output_tokens / end for end in ends]
        ),
        requests_per_second=maybe_distribution([workload.concurrency / end for end in ends]),
        converged=len(runs) >= repetition.least and _is_narrow(runs, repetition.half_width),
        stability=judge_stability(
            series, half_width=repetition.half_width, discarded=discarded, discard_reason=problem
        ),
        started=started,
        ended=ended,
    )


def _series(runs: list[Generation]) -> dict[str, list[float]]:
    """Return TTFT and, where there is more than one token, TPOT of every run."""
    found = {"TTFT": [run.ttft for run in runs]}
    tpots = [run.tpot for run in runs if run.tpot is not None]
    return found | {"TPOT": tpots} if tpots else found


def _is_narrow(runs: list[Generation], half_width: float) -> bool:
    widths = [relative_half_width(samples) for samples in _series(runs).values()]
    return all(width is not None and width <= half_width for width in widths)
