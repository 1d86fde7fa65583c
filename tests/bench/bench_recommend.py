"""How long a recommendation takes, explanation included, against a plain Python loop over the same records.

    python -m tests.bench.bench_recommend [--seconds 3]
    python -m tests.bench.bench_recommend --devices [--variants 100000]
    python -m pytest tests/bench/bench_recommend.py -m bench -s

The loop is the test oracle: it finds the same answer and the same counts, without figures, reasons, alternatives, frontier
or relaxations. Both run in one thread on the same records in the same run, so the ratio holds where the times do not.
`--devices` asks about twenty types of device: every question once, none like another, and then the same ones again.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import pytest

from planner.catalogue import load_catalogue
from planner.choose.index import Index
from planner.choose.planner import plan
from planner.domain.constraint import Constraint, LatencyLimit, LatencyMetric, LossLimit
from planner.domain.device import Device, DeviceKind
from planner.domain.outcome import Recommended
from planner.domain.scenario import Hardware, ModelSelector, Scenario, SelectorKind
from planner.domain.units import GIB
from planner.domain.workload import Workload
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


@dataclass(frozen=True)
class Kind:
    """Questions of one kind: of which models, within which limits."""

    name: str
    model: ModelSelector
    loss: float | None
    tpot: float | None

    def about(self, device: Device, number: int) -> Scenario:
        """Return the `number`-th question about a device; no two have a workload or a loss limit in common."""
        limits: list[Constraint] = []
        if self.loss is not None:
            limits.append(LossLimit(limit=self.loss + number * 1e-7))
        if self.tpot is not None:
            limits.append(LatencyLimit(metric=LatencyMetric.TPOT, limit=self.tpot + number * 1e-8))
        return Scenario(
            model=self.model,
            hardware=Hardware(device_id=device.id),
            workload=Workload(input_tokens=900 + number),
            constraints=tuple(limits),
        )


ANY = ModelSelector()
KINDS = (
    Kind("13B, loss ≤ 1 %", THIRTEEN, 0.01, None),
    Kind("13B, loss ≤ 1 %, TPOT ≤ 50 ms", THIRTEEN, 0.01, 0.05),
    Kind("any model, loss ≤ 1 %", ANY, 0.01, None),
    Kind("any model, loss ≤ 1 %, TPOT ≤ 50 ms", ANY, 0.01, 0.05),
    Kind("any model, no limit", ANY, None, None),
    Kind("13B, TPOT ≤ 0.5 ms: infeasible", THIRTEEN, 0.01, 0.0005),
    Kind("any model, TPOT ≤ 0.5 ms: infeasible", ANY, 0.01, 0.0005),
)


@dataclass(frozen=True)
class Row:
    """Processor milliseconds of the questions of one kind."""

    name: str
    asked: str
    middle: float
    most: float
    worst: float


def spent(questions: Iterable[Scenario], index: Index) -> list[float]:
    """Return the processor milliseconds of each answer, sorted: what others do on the machine does not count."""
    times: list[float] = []
    for question in questions:
        start = time.process_time()
        plan(question, index)
        times.append((time.process_time() - start) * 1e3)
    return sorted(times)


def over_devices(variants: int, *, devices: int = 20, rounds: int = 10) -> Iterator[Row]:
    """Yield the distribution over questions about types of device, of each kind: each asked once, then again."""
    known = [
        d for d in load_catalogue().devices if d.kind is DeviceKind.GPU and d.bandwidth_bytes_per_second
    ][:devices]
    index = replace(generate(variants, seed=1, profiled=0.01), devices=(*known, GPU)).index()
    plan(KINDS[0].about(known[0], -1), index)
    gc.collect()
    gc.freeze()
    number = 0
    for kind in KINDS:
        questions: list[Scenario] = []
        for _ in range(rounds):
            for device in known:
                number += 1
                questions.append(kind.about(device, number))
        for asked in ("never asked before", "asked before"):
            times = spent(questions, index)
            yield Row(kind.name, asked, quantile(times, 0.5), quantile(times, 0.99), times[-1])
    gc.unfreeze()


def print_over_devices(variants: int) -> None:
    """Print the table."""
    print(f"\n{variants:,} variants, 20 types of device, one thread, explanations included, processor time")
    print(f"{'question':<38} {'':<18} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}")
    for row in over_devices(variants):
        print(f"{row.name:<38} {row.asked:<18} {row.middle:>8.2f} {row.most:>8.2f} {row.worst:>8.2f}")


def test_recommendation_latency() -> None:
    run(seconds=1.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="time spent on each question")
    parser.add_argument("--devices", action="store_true", help="ask about twenty types of device")
    parser.add_argument("--variants", type=int, default=100_000, help="variants for --devices")
    arguments = parser.parse_args()
    if arguments.devices:
        print_over_devices(arguments.variants)
    else:
        run(arguments.seconds)
