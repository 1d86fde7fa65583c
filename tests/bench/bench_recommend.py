"""How long a recommendation takes, explanation included, against a plain Python loop over the same records.

    python -m tests.bench.bench_recommend [--seconds 3]
    python -m pytest tests/bench/bench_recommend.py -m bench -s

The loop is the test oracle: it finds the same answer and the same counts, without figures, reasons, alternatives, frontier
or relaxations. Both run in one thread on the same records in the same run, so the ratio holds where the times do not.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from functools import partial

import pytest

from planner.choose.planner import plan
from planner.domain.constraint import LatencyLimit, LatencyMetric, LossLimit
from planner.domain.outcome import Recommended
from planner.domain.scenario import Hardware, ModelSelector, Scenario, SelectorKind
from planner.domain.units import GIB
from tests.choose.oracle import Grouped, answer_from
from tests.choose.records import GPU, generate

pytestmark = pytest.mark.bench

SIZES = (1_000, 10_000)
LOSS = LossLimit(limit=0.01)
THIRTEEN = ModelSelector(kind=SelectorKind.SIZE, size_billions=13)
SCENARIOS = {
    "13B on 24GB, loss ≤ 1 %": Scenario(
        model=THIRTEEN, hardware=Hardware(memory_bytes=24 * GIB), constraints=(LOSS,)
    ),
    "any model on 24GB, loss ≤ 1 %": Scenario(hardware=Hardware(memory_bytes=24 * GIB), constraints=(LOSS,)),
    "any on a device, loss, TPOT ≤ 30 ms": Scenario(
        hardware=Hardware(device_id=GPU.id),
        constraints=(LOSS, LatencyLimit(metric=LatencyMetric.TPOT, limit=0.03)),
    ),
    "infeasible: any model on 2GB": Scenario(hardware=Hardware(memory_bytes=2 * GIB), constraints=(LOSS,)),
}


def timed(work: Callable[[], object], seconds: float, *, least: int) -> list[float]:
    """Return the seconds of each call of `work`, sorted, after one to warm up."""
    work()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return sorted(times)


def quantile(times: list[float], share: float) -> float:
    return times[min(len(times) - 1, int(share * len(times)))]


def run(seconds: float) -> None:
    """Print the table."""
    print(
        f"\n{'variants':>8}  {'question':<38} {'p50 ms':>8} {'p99 ms':>8} {'answers/s':>10} {'loop ms':>9} {'loop/plan':>10}"
    )
    for size in SIZES:
        records = generate(size, seed=1)
        start = time.perf_counter()
        index = records.index()
        built = time.perf_counter() - start
        grouped = Grouped.of(records)
        gc.collect()
        gc.freeze()  # as the server does once it has started
        for name, scenario in SCENARIOS.items():
            outcome = plan(scenario, index)
            chosen = outcome.chosen.variant_id if isinstance(outcome, Recommended) else None
            assert answer_from(scenario, grouped).chosen == chosen
            ours = timed(partial(plan, scenario, index), seconds, least=100)
            loop = timed(partial(answer_from, scenario, grouped), seconds / 4, least=5)
            middle, plain = quantile(ours, 0.5), statistics.median(loop)
            print(
                f"{size:>8,}  {name:<38} {middle * 1e3:>8.2f} {quantile(ours, 0.99) * 1e3:>8.2f} "
                f"{len(ours) / sum(ours):>10.0f} {plain * 1e3:>9.1f} {plain / middle:>9.1f}x"
            )
        print(f"{size:>8,}  {'building the index, once':<38} {built * 1e3:>8.0f}")
        gc.unfreeze()


def test_recommendation_latency() -> None:
    run(seconds=1.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="time spent on each question")
    run(parser.parse_args().seconds)
