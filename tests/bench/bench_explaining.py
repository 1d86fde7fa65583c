"""What sweeps, measurements and builds cost beside the plain answer, on the built-in catalogue and on larger ones.

python -m tests.bench.bench_explaining [--variants N]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import pytest

from planner.catalogue import load_catalogue
from planner.choose.builds import builds
from planner.choose.index import Index
from planner.choose.language.parse import parse
from planner.choose.planner import plan
from planner.choose.sweep import sweep
from planner.choose.sweep_range import parse_range
from planner.choose.value_of_measurement import measurements
from planner.domain.constraint import LossLimit
from planner.domain.scenario import Hardware, Scenario
from planner.domain.units import GIB
from tests.choose.records import generate

pytestmark = pytest.mark.bench

QUESTIONS = ("13B on 24GB, ≤1% loss", "any model on 24GB, ≤1% loss", "8B on h100, fastest, ≤1% loss")
RANGES = ("memory=8GiB..80GiB/50", "loss=0%..5%/50", "concurrency=1..256/50")


def built_in() -> Index:
    """Return the index of the built-in catalogue."""
    held = load_catalogue()
    return Index.build(
        models=held.models,
        variants=held.variants,
        evaluations=held.evaluations,
        profiles=held.profiles,
        devices=held.devices,
        presets=held.presets,
    )


def seconds(work: Callable[[], object]) -> float:
    """Return the least time of three runs."""
    times: list[float] = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def run(index: Index, scenarios: dict[str, Scenario]) -> None:
    """Print milliseconds, and how many plain answers each is worth."""
    print(f"\n{len(index):,} variants")
    for name, scenario in scenarios.items():
        plain = seconds(partial(plan, scenario, index))
        work: dict[str, Callable[[], object]] = {
            "measurements": partial(measurements, scenario, index),
            "builds": partial(builds, scenario, index),
            **{text: partial(sweep, scenario, index, parse_range(text, scenario)) for text in RANGES},
        }
        print(f"{name}: answer {plain * 1e3:.2f} ms")
        for title, task in work.items():
            took = seconds(task)
            print(f"  {title:<28} {took * 1e3:>9.1f} ms {took / plain:>8.1f} answers")


def test_explaining() -> None:
    index = built_in()
    run(index, {question: parse(question, index.vocabulary) for question in QUESTIONS})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variants", type=int, help="so many generated variants instead of the catalogue's")
    arguments = parser.parse_args()
    if arguments.variants:
        asked = Scenario(hardware=Hardware(memory_bytes=24 * GIB), constraints=(LossLimit(limit=0.01),))
        run(generate(arguments.variants, seed=0).index(), {"any model on 24 GiB, ≤1 % loss": asked})
    else:
        test_explaining()
