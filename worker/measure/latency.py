"""Latency and throughput at workload points: warm up, then repeat until the medians are narrow or the budget is spent."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from planner.domain.profile import Distribution
from planner.domain.workload import Workload
from planner.errors import InvalidInput
from worker.engines import Engine, Generation
from worker.measure.distribution import distribution, relative_half_width

PROTOCOL: Final = (
    "greedy, fixed output length, uniformly random prompt tokens, all requests of a point in one batch; a token counts "
    "when it is on the host; TPOT = (last - first)/(output tokens - 1) of a batch, ITL = single gaps; v1"
)


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
    """What was timed at one workload point."""

    ttft_seconds: Distribution
    tpot_seconds: Distribution | None
    itl_seconds: Distribution | None
    end_to_end_seconds: Distribution
    output_tokens_per_second: Distribution
    converged: bool
    """False when the budget ended before the medians were narrow enough."""


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
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[int], None] | None = None,
) -> Timings:
    """Time one workload point; `progress` hears how many repeats are done."""
    prompts = prompts_for(workload, engine.vocabulary)
    start = clock()
    for _ in range(repetition.warmup):
        engine.generate(prompts, workload.output_tokens)
        if clock() - start >= repetition.limit_seconds:
            break
    runs: list[Generation] = []
    start, converged = clock(), False
    while len(runs) < repetition.most:
        runs.append(engine.generate(prompts, workload.output_tokens))
        if progress is not None:
            progress(len(runs))
        if len(runs) >= repetition.least:
            converged = _is_narrow(runs, repetition.half_width)
            if converged or clock() - start >= repetition.budget_seconds:
                break
        if clock() - start >= repetition.limit_seconds:
            break
    tpots = [run.tpot for run in runs if run.tpot is not None]
    gaps = [gap for run in runs for gap in run.gaps]
    return Timings(
        ttft_seconds=distribution([run.ttft for run in runs]),
        tpot_seconds=distribution(tpots) if tpots else None,
        itl_seconds=distribution(gaps) if gaps else None,
        end_to_end_seconds=distribution([run.end_to_end for run in runs]),
        output_tokens_per_second=distribution(
            [workload.concurrency * workload.output_tokens / run.end_to_end for run in runs]
        ),
        converged=converged,
    )


def _is_narrow(runs: list[Generation], half_width: float) -> bool:
    series = [[run.ttft for run in runs], [run.tpot for run in runs if run.tpot is not None]]
    widths = [relative_half_width(samples) for samples in series if samples]
    return all(width is not None and width <= half_width for width in widths)
