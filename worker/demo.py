"""The demonstration's work: variants of the reference model, built, measured and evaluated on this machine's CPU.

It writes ordinary results, one folder each, that are registered like any other: nothing in them is made for show.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from planner.domain.workload import Workload
from planner.errors import InvalidInput
from worker.jobs import BuildSpec, EvaluateSpec, MeasureSpec, Result, Spec
from worker.measure.latency import Repetition
from worker.measure.profile import Conditions
from worker.progress import Report, ignore, part
from worker.recipes import AnyRecipe, parse_recipe, recipe_name
from worker.runner import VARIANT_FOLDER, Runner
from worker.sources import PathSource, ReferenceSource, Resolver

BASELINE: Final = "bf16"
RECIPES: Final = ("bf16", "fp32", "int8_weight_only", "int8_dynamic", "intx_weight_only")
DOCUMENTS: Final = 32
WORKLOADS: Final = (
    Workload(input_tokens=128, output_tokens=24, concurrency=1),
    Workload(input_tokens=512, output_tokens=24, concurrency=1),
    Workload(input_tokens=128, output_tokens=24, concurrency=4),
)
REPETITION: Final = Repetition(warmup=2, least=5, most=40, budget_seconds=1.0, limit_seconds=4.0)
_WEIGHTS: Final = {"build": 0.2, "measure": 0.5, "evaluate": 0.3}
"""Shares of the whole time, for the progress bar."""


@dataclass(frozen=True)
class Finished:
    """A job of the demonstration that is done: its recipe, the folder that holds its result, and the result."""

    recipe: str
    folder: Path
    result: Result


def run_demo(
    out: Path,
    *,
    recipes: tuple[str, ...] = RECIPES,
    documents: int = DOCUMENTS,
    device: str = "cpu",
    threads: int | None = None,
    stop: threading.Event | None = None,
    report: Report = ignore,
) -> Iterator[Finished]:
    """Yield each result as it is done: all builds, then all profiles, then all evaluations against the BF16 build.

    `threads` None leaves one processor to whatever else the machine does: small products gain little from the last one,
    and lose much when it is taken away. Raises InvalidInput when `out` is not empty, or when the baseline is not among the recipes; and what jobs raise.
    """
    if BASELINE not in recipes:
        raise InvalidInput("recipes", f"lack the baseline `{BASELINE}`", allowed=", ".join(RECIPES))
    if out.exists() and any(out.iterdir()):
        raise InvalidInput("out", f"`{out}` is not empty", allowed="a new or empty folder")
    threads = threads or max(1, (os.cpu_count() or 1) - 1)
    chosen: list[AnyRecipe] = [parse_recipe(name) for name in recipes]
    runner = Runner(Resolver(cache=out / "cache"), stop=stop)

    def built(recipe: AnyRecipe) -> PathSource:
        return PathSource(path=str(out / recipe_name(recipe) / "build" / VARIANT_FOLDER))

    baseline = PathSource(path=str(out / BASELINE / "build" / VARIANT_FOLDER))
    conditions = Conditions(workloads=WORKLOADS, device=device, threads=threads, repetition=REPETITION)
    steps: dict[str, list[tuple[AnyRecipe, Spec]]] = {
        "build": [
            (r, BuildSpec(base=ReferenceSource(), recipe=r, device=device, threads=threads)) for r in chosen
        ],
        "measure": [(r, MeasureSpec(variant=built(r), conditions=conditions)) for r in chosen],
        "evaluate": [
            (
                r,
                EvaluateSpec(
                    variant=built(r), baseline=baseline, limit=documents, device=device, threads=threads
                ),
            )
            for r in chosen
        ],
    }
    before = 0.0
    for kind, work in steps.items():
        each = _WEIGHTS[kind] / len(work)
        for recipe, spec in work:
            name = recipe_name(recipe)
            inner = part(report, before, before + each)
            folder = out / name / kind
            result = runner.run(
                spec,
                folder,
                report=lambda share, text, kind=kind, name=name, inner=inner: inner(  # type: ignore[misc]
                    share, f"{kind} {name}: {text}"
                ),
            )
            before += each
            yield Finished(recipe=name, folder=folder, result=result)
    report(1.0, "done")
