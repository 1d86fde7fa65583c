"""What the size of the catalogue costs: building the index, memory, and answers, against a plain scan in SQL.

    python -m tests.bench.bench_catalogue_size [--sizes 1000,10000,100000,1000000]
    python -m pytest tests/bench/bench_catalogue_size.py -m bench -s

The table in SQLite holds everything worked out already: the size class, the bytes each variant needs, its loss. It finds a
variant and explains nothing; each answer of the planner estimates memory and speed and says why. Times are processor time.
"""

from __future__ import annotations

import argparse
import gc
import resource
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from planner.choose.feasible import assess_rows
from planner.choose.index import Index
from planner.choose.planner import plan
from planner.choose.setting import resolve
from planner.domain.constraint import LossLimit
from planner.domain.loss import LossKind
from planner.domain.scenario import Hardware, Scenario
from planner.domain.units import GIB
from planner.domain.workload import Workload
from tests.bench.bench_recommend import THIRTEEN, quantile, spent
from tests.choose.records import GPU, generate

pytestmark = pytest.mark.bench

SIZES = (1_000, 10_000, 100_000, 1_000_000)
ASKED = 40
_PAGE = resource.getpagesize()


@dataclass(frozen=True)
class Cost:
    """One size of the catalogue. Milliseconds of processor time; bytes of the index beside the records."""

    variants: int
    build_seconds: float
    bytes_per_variant: float
    size_class: tuple[float, float]
    """p50 and p99 of "13B on 24 GB, loss ≤ 1 %"."""
    any_model: tuple[float, float]
    infeasible: tuple[float, float]
    on_device: tuple[float, float]
    sql: float
    """The scan for the first question."""


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE


def sql_scan(index: Index) -> Callable[[], object]:
    """Return a question put to a table that has everything worked out: size class, bytes needed, and loss."""
    question = Scenario(
        model=THIRTEEN, hardware=Hardware(memory_bytes=24 * GIB), constraints=(LossLimit(limit=0.01),)
    )
    setting = resolve(question, index, now=None)
    total = assess_rows(index, setting, np.arange(len(index), dtype=np.int64)).total.hi
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


def _distribution(index: Index, question: Scenario) -> tuple[float, float]:
    """Return p50 and p99 of questions none of which has been asked before."""
    asked = [
        replace(question, workload=Workload(input_tokens=900 + number), constraints=(LossLimit(limit=0.01 + number * 1e-7),))
        for number in range(ASKED)
    ]  # fmt: skip
    times = spent(asked, index)
    return quantile(times, 0.5), quantile(times, 0.99)


def cost_of(size: int) -> Cost:
    """Return what `size` variants cost."""
    records = generate(size, seed=1, profiled=0.01)
    gc.collect()
    before, start = resident(), time.process_time()
    index = records.index()
    built = time.process_time() - start
    gc.collect()
    grown = resident() - before
    gc.freeze()
    limits = (LossLimit(limit=0.01),)
    small, large = Hardware(memory_bytes=2 * GIB), Hardware(memory_bytes=24 * GIB)
    plan(Scenario(hardware=Hardware(device_id=GPU.id), constraints=limits), index)
    found = Cost(
        variants=size,
        build_seconds=built,
        bytes_per_variant=grown / size,
        size_class=_distribution(index, Scenario(model=THIRTEEN, hardware=large)),
        any_model=_distribution(index, Scenario(hardware=large)),
        infeasible=_distribution(index, Scenario(hardware=small)),
        on_device=_distribution(index, Scenario(hardware=Hardware(device_id=GPU.id))),
        sql=_scanned(sql_scan(index)),
    )
    gc.unfreeze()
    return found


def _scanned(scan: Callable[[], object]) -> float:
    scan()
    times: list[float] = []
    for _ in range(5):
        start = time.process_time()
        scan()
        times.append((time.process_time() - start) * 1e3)
    return sorted(times)[2]


def over_sizes(sizes: Sequence[int]) -> Iterator[Cost]:
    """Yield the cost of each size."""
    for size in sizes:
        yield cost_of(size)


def show(costs: Iterator[Cost]) -> None:
    """Print the table."""
    titles = ("13B", "any model", "2 GB: infeasible", "any on a GPU")
    print(f"\n{'variants':>9} {'build s':>8} {'B/variant':>9} " + " ".join(f"{title:>17}" for title in titles)
          + f" {'SQL ms':>8} {'13B/SQL':>8}")  # fmt: skip
    for cost in costs:
        cells = (cost.size_class, cost.any_model, cost.infeasible, cost.on_device)
        print(
            f"{cost.variants:>9,} {cost.build_seconds:>8.2f} {cost.bytes_per_variant:>9,.0f} "
            + " ".join(f"{middle:>8.2f} {most:>8.2f}" for middle, most in cells)
            + f" {cost.sql:>8.2f} {cost.size_class[0] / cost.sql:>7.2f}x",
            flush=True,
        )


def test_cost_against_size() -> None:
    show(over_sizes(SIZES[:2]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes", default=",".join(str(size) for size in SIZES), help="variants, separated by commas"
    )
    show(over_sizes([int(size) for size in parser.parse_args().sizes.split(",")]))
