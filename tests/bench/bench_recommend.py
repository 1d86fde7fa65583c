"""How long a recommendation takes, explanation included, against a plain Python loop over the same records.

    python -m tests.bench.bench_recommend [--seconds 3]
    python -m tests.bench.bench_recommend --devices [--variants 100000]
    python -m tests.bench.bench_recommend --sizes 1000,10000,100000,1000000
    python -m pytest tests/bench/bench_recommend.py -m bench -s

The loop is the test oracle: it finds the same answer and the same counts, without figures, reasons, alternatives, frontier
or relaxations. Both run in one thread on the same records in the same run, so the ratio holds where the times do not.
`--devices` asks about twenty types of device in turn; `--sizes` shows what the size of the catalogue costs, against a scan
of a table in SQLite that holds the modelled bytes and the loss ready to compare, and explains nothing.
"""

from __future__ import annotations

import argparse
import gc
import resource
import sqlite3
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from planner.catalogue import load_catalogue
from planner.choose.feasible import assess_rows
from planner.choose.index import Index
from planner.choose.planner import plan
from planner.choose.setting import resolve
from planner.domain.constraint import LatencyLimit, LatencyMetric, LossLimit
from planner.domain.device import DeviceKind
from planner.domain.loss import LossKind
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


def sql_scan(index: Index) -> Callable[[], object]:
    """Return a question put to a table that has everything worked out: size class, bytes needed, and loss."""
    setting = resolve(SCENARIOS["13B on 24GB, loss ≤ 1 %"], index, now=None)
    whole = np.arange(len(index), dtype=np.int64)
    total = assess_rows(index, setting, whole).total.hi
    loss = index.losses(LossKind.RELATIVE, None).value
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE variants (id TEXT, size REAL, bytes REAL, loss REAL)")
    database.executemany(
        "INSERT INTO variants VALUES (?, ?, ?, ?)",
        (
            (variant.id, model.size_billions, float(needed), None if np.isnan(lost) else float(lost))
            for variant, model, needed, lost in zip(index.records, index.row_models, total, loss, strict=True)
        ),
    )
    query = (
        "SELECT id FROM variants WHERE size = 13 AND bytes <= ? AND loss <= 0.01 ORDER BY loss, bytes LIMIT 1"
    )
    return lambda: database.execute(query, (23.4 * GIB,)).fetchone()


def over_sizes(sizes: Sequence[int], seconds: float) -> None:
    """Print what the size of the catalogue costs."""
    print(
        f"\n{'variants':>9} {'build s':>8} {'MiB':>7} {'p50 ms':>8} {'p99 ms':>8} {'SQL ms':>8} {'plan/SQL':>9}"
    )
    scenario = SCENARIOS["13B on 24GB, loss ≤ 1 %"]
    for size in sizes:
        records = generate(size, seed=1, profiled=0.01)
        gc.collect()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        index = records.index()
        built = time.perf_counter() - start
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        scan = sql_scan(index)
        gc.collect()
        gc.freeze()
        ours, plain = timed(partial(plan, scenario, index), seconds, least=20), timed(scan, seconds, least=5)
        middle, sql = quantile(ours, 0.5), quantile(plain, 0.5)
        print(
            f"{size:>9,} {built:>8.2f} {grown:>7.0f} {middle * 1e3:>8.2f} {quantile(ours, 0.99) * 1e3:>8.2f} "
            f"{sql * 1e3:>8.2f} {middle / sql:>8.2f}x"
        )
        gc.unfreeze()


def over_devices(variants: int, seconds: float) -> None:
    """Print the distribution over questions about twenty types of device, each with its own workload."""
    devices = [
        d for d in load_catalogue().devices if d.kind is DeviceKind.GPU and d.bandwidth_bytes_per_second
    ][:20]
    records = replace(generate(variants, seed=1, profiled=0.01), devices=(*devices, GPU))
    index = records.index()
    questions = [
        (limit, Scenario(model=model, hardware=Hardware(device_id=device.id), constraints=limit))
        for device in devices
        for model in (THIRTEEN, ModelSelector())
        for limit in ((LOSS,), (LOSS, LatencyLimit(metric=LatencyMetric.TPOT, limit=0.05)))
    ]
    for _, scenario in questions:
        plan(scenario, index)
    gc.collect()
    gc.freeze()
    print(f"\n{variants:,} variants, {len(devices)} types of device, one thread, explanations included")
    print(f"{'question':<34} {'p50 ms':>8} {'p99 ms':>8}")
    for name, chosen in (
        ("13B, loss ≤ 1 %", [s for limit, s in questions if s.model == THIRTEEN and len(limit) == 1]),
        ("13B, loss and TPOT", [s for limit, s in questions if s.model == THIRTEEN and len(limit) == 2]),
        ("any model, loss ≤ 1 %", [s for limit, s in questions if s.model != THIRTEEN and len(limit) == 1]),
        (
            "any model, loss and TPOT",
            [s for limit, s in questions if s.model != THIRTEEN and len(limit) == 2],
        ),
    ):
        times: list[float] = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(times) < 2 * len(chosen):
            for scenario in chosen:
                start = time.perf_counter()
                plan(scenario, index)
                times.append(time.perf_counter() - start)
        times.sort()
        print(f"{name:<34} {quantile(times, 0.5) * 1e3:>8.2f} {quantile(times, 0.99) * 1e3:>8.2f}")
    gc.unfreeze()


def test_recommendation_latency() -> None:
    run(seconds=1.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="time spent on each question")
    parser.add_argument("--devices", action="store_true", help="ask about twenty types of device")
    parser.add_argument("--variants", type=int, default=100_000, help="variants for --devices")
    parser.add_argument("--sizes", help="sizes of the catalogue, separated by commas")
    arguments = parser.parse_args()
    if arguments.devices:
        over_devices(arguments.variants, arguments.seconds)
    elif arguments.sizes:
        over_sizes([int(size) for size in arguments.sizes.split(",")], arguments.seconds)
    else:
        run(arguments.seconds)
