"""What runs inside a job's child process: one function per step, with arguments and results that can be pickled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from planner.domain.evaluation import Evaluation
from planner.domain.profile import Environment
from worker.engines.endpoint import Endpoint
from worker.engines.loading import resolve_device, set_threads
from worker.engines.synthetic_mark import refuse_synthetic
from worker.evaluate.dataset import Dataset
from worker.evaluate.evaluation import Refused, Settings, evaluate_all
from worker.evaluate.task_file import Task
from worker.jobs import BuildSpec, EvaluateSpec
from worker.measure.environment import capture
from worker.measure.profile import Conditions, Measured, measure
from worker.measure.serving import measure_continuous, measure_server
from worker.progress import Report
from worker.recipes.build import Construction, Reload, construct, verify
from worker.sources import Located


def construct_task(
    base: Path,
    out: Path,
    expected: Path,
    read: Callable[[], Dataset],
    spec: BuildSpec,
    *,
    report: Report,
) -> tuple[Construction, Environment]:
    """Build the files, and capture where that was done."""
    set_threads(spec.threads)
    text = read().first(spec.limit) if spec.recipe.uses_text else None
    construction = construct(base, out, expected, spec.recipe, text=text, device=spec.device, report=report)
    return construction, capture(resolve_device(construction.device))


def verify_task(out: Path, expected: Path, spec: BuildSpec, *, report: Report) -> Reload:
    """Load the files again, in another process than the one that built them, and compare."""
    set_threads(spec.threads)
    return verify(out, expected, spec.recipe, device=spec.device, report=report)


def measure_task(
    directory: Path,
    variant_id: str,
    conditions: Conditions,
    endpoint: Endpoint | None,
    *,
    report: Report,
) -> Measured:
    """Measure a variant: in batches, under continuous batching, or on a server."""
    if endpoint is not None:
        return measure_server(endpoint, directory, variant_id, conditions, report=report)
    if conditions.batching == "continuous":
        return measure_continuous(directory, variant_id, conditions, report=report)
    return measure(directory, variant_id, conditions, report=report)


@dataclass(frozen=True)
class Material:
    """What an evaluation reads, found by the parent and read by the child: text, task files, task files of lm-eval."""

    text: Callable[[], Dataset] | None
    tasks: tuple[Callable[[int | None], Task], ...] = ()
    harness_tasks: tuple[Path, ...] = ()


def evaluate_task(
    variant: Located,
    baseline: Located,
    material: Material,
    spec: EvaluateSpec,
    *,
    report: Report,
) -> tuple[tuple[Evaluation, ...], tuple[Refused, ...]]:
    """Evaluate a variant on text and tasks."""
    refuse_synthetic(variant.directory, field="variant")
    refuse_synthetic(baseline.directory, field="baseline")
    return evaluate_all(
        variant.directory,
        variant.variant_id,
        baseline.directory,
        baseline.variant_id,
        dataset=None if material.text is None else material.text().first(spec.limit),
        tasks=[read(spec.limit) for read in material.tasks],
        harness_tasks=material.harness_tasks,
        limit=spec.limit,
        settings=Settings(
            window=spec.window,
            device=spec.device,
            threads=spec.threads,
            together=spec.together,
            certify=spec.certify,
            noise_items=spec.noise_items,
        ),
        report=report,
    )
