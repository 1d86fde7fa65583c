"""docs/benchmarks.md: what a recommendation costs, measured on the machine that writes the page.

    PLANNER_WRITE_DOCS=1 python -m tests.bench.recommendation_page [--variants 100000] [--sizes 1000,10000,100000,1000000]

Without PLANNER_WRITE_DOCS the page is printed. It takes several minutes and about 6 GB of memory for a million variants.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from tests.bench.bench_catalogue_size import SIZES, Cost, over_sizes
from tests.bench.bench_recommend import Row, over_devices

PAGE: Final = Path(__file__).parents[2] / "docs" / "benchmarks.md"
PLOT: Final = PAGE.with_name("benchmarks.svg")
WIDTH, HEIGHT, LEFT, BOTTOM = 640, 360, 60, 40
LINES: Final = {
    "13B on 24 GB": "#2563eb",
    "any model on 24 GB": "#059669",
    "infeasible": "#dc2626",
    "scan in SQL": "#6b7280",
}


def _series(costs: Sequence[Cost]) -> dict[str, list[float]]:
    values = (
        [cost.size_class[0] for cost in costs],
        [cost.any_model[0] for cost in costs],
        [cost.infeasible[0] for cost in costs],
        [cost.sql for cost in costs],
    )
    return dict(zip(LINES, values, strict=True))


def plot(costs: Sequence[Cost]) -> str:
    """Return milliseconds against variants, both logarithmic, as SVG."""
    series = _series(costs)
    every = [value for values in series.values() for value in values]
    low, high = math.floor(math.log10(min(every))), math.ceil(math.log10(max(every)))
    first, last = math.log10(costs[0].variants), math.log10(costs[-1].variants)

    def across(variants: float) -> float:
        return LEFT + (math.log10(variants) - first) / max(last - first, 1e-9) * (WIDTH - LEFT - 20)

    def up(milliseconds: float) -> float:
        share = (math.log10(milliseconds) - low) / max(high - low, 1)
        return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - 20)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for power in range(low, high + 1):
        y = up(10.0**power)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g} ms</text>')
    for cost in costs:
        x = across(cost.variants)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 18}" text-anchor="middle">{cost.variants:,}</text>')
    for number, (name, values) in enumerate(series.items()):
        points = " ".join(
            f"{across(cost.variants):.1f},{up(value):.1f}" for cost, value in zip(costs, values, strict=True)
        )
        colour = LINES[name]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{LEFT + 10}" y="{30 + 16 * number}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _bytes(cost: Cost, costs: Sequence[Cost]) -> str:
    """Return the bytes per variant of the largest index alone: smaller ones reuse memory that was given back before."""
    return f"{cost.bytes_per_variant:,.0f}" if cost is costs[-1] else ""


def page(variants: int, rows: Sequence[Row], costs: Sequence[Cost]) -> str:
    """Return the page."""
    table = [
        "| question | | p50 ms | p99 ms | max ms |",
        "|---|---|---:|---:|---:|",
        *(
            f"| {row.name} | {row.asked} | {row.middle:.1f} | {row.most:.1f} | {row.worst:.1f} |"
            for row in rows
        ),
    ]
    sizes = [
        "| variants | index, s | bytes each | 13B on 24 GB | any on 24 GB | any on 2 GB: infeasible | any on one GPU | SQL |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {cost.variants:,} | {cost.build_seconds:.2f} | {_bytes(cost, costs)} | "
            + " | ".join(
                f"{middle:.1f} ({most:.1f})"
                for middle, most in (cost.size_class, cost.any_model, cost.infeasible, cost.on_device)
            )
            + f" | {cost.sql:.2f} |"
            for cost in costs
        ),
    ]
    return "\n".join([
        "# Benchmarks",
        "",
        "Written by `PLANNER_WRITE_DOCS=1 python -m tests.bench.recommendation_page`, not edited. Times are processor time of",
        f"one thread on {platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}; the machine had other work.",
        "Every answer comes with its explanation: reasons, alternatives, near misses, frontier, and relaxations where nothing fits.",
        "",
        f"## {variants:,} variants, 20 types of device",
        "",
        "No two questions have a workload or a limit in common; then the same ones are asked again.",
        "",
        *table,
        "",
        "## Against the size of the catalogue",
        "",
        "Milliseconds as p50 (p99) of questions that were not asked before. The scan in SQL reads a table in SQLite which has",
        "the bytes and the loss of every variant worked out already, and explains nothing.",
        "",
        *sizes,
        "",
        "![Milliseconds of an answer against variants in the catalogue](benchmarks.svg)",
        "",
        "Others are asked the same question by `tests/bench/bench_peers.py`, where they are installed.",
        "",
    ])  # fmt: skip


def main() -> None:
    """Measure, then write or print the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variants", type=int, default=100_000, help="variants of the first table")
    parser.add_argument(
        "--sizes", default=",".join(str(size) for size in SIZES), help="variants of the second"
    )
    arguments = parser.parse_args()
    rows = list(over_devices(arguments.variants))
    costs = list(over_sizes([int(size) for size in arguments.sizes.split(",")]))
    text = page(arguments.variants, rows, costs)
    if os.environ.get("PLANNER_WRITE_DOCS") == "1":
        PAGE.write_text(text, encoding="utf-8")
        PLOT.write_text(plot(costs), encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
