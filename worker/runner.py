"""Runs one job: finds its files, does the work in child processes, and returns the result.

It knows no server: an agent, the command line and the demonstration all call it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from planner.domain.job import FailureReason
from planner.domain.profile import Environment
from planner.domain.variant import Provenance, manifest_digest
from planner.errors import InvalidInput
from worker.evaluate.dataset import Dataset
from worker.failure import JobFailed
from worker.isolation import StartMethod, run_isolated
from worker.jobs import (
    BuildResult,
    BuildSpec,
    EvaluateResult,
    EvaluateSpec,
    MeasureResult,
    MeasureSpec,
    Result,
    Spec,
)
from worker.measure.environment import versions
from worker.progress import Report, ignore, part
from worker.recipes import AnyRecipe, recipe_digest, recipe_name, recipe_settings
from worker.recipes.build import Construction, Reload, build_variant
from worker.sources import ReferenceSource, Resolver
from worker.tasks import Material, construct_task, evaluate_task, measure_task, verify_task

RESULT_FILE: Final = "result.json"
FAILURE_FILE: Final = "failure.json"
LOG_FILE: Final = "job.log"
VARIANT_FOLDER: Final = "variant"
_GPU_NODES: Final = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg", "/proc/driver/nvidia")
"""Files that exist where a driver for NVIDIA, AMD or WSL GPUs is loaded."""


def start_method(device: str) -> StartMethod:
    """Return how to start children that work on `device`: copies of a warm process, unless they may touch a GPU."""
    may_use_gpu = device != "cpu" and (device != "auto" or any(Path(node).exists() for node in _GPU_NODES))
    return "spawn" if may_use_gpu else "forkserver"


class Runner:
    """Runs jobs one after the other. `method` None starts children as their device allows; `stop` ends the one that runs."""

    def __init__(
        self,
        resolver: Resolver,
        *,
        method: StartMethod | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self._resolver = resolver
        self._method: StartMethod | None = method
        self._stop = stop

    def run(self, spec: Spec, out: Path, *, report: Report = ignore) -> Result:
        """Run the job and leave result or failure, log and artifacts in the folder `out`.

        Raises InvalidInput when `out` holds a result already, JobFailed with the typed reason, JobStopped.
        """
        if (out / RESULT_FILE).exists():
            raise InvalidInput("out", f"`{out}` holds a result already", allowed="a folder without one")
        out.mkdir(parents=True, exist_ok=True)
        for left_over in (FAILURE_FILE, LOG_FILE):  # of an attempt that failed
            (out / left_over).unlink(missing_ok=True)
        try:
            result = self._dispatch(spec, out, report)
        except JobFailed as error:
            _write(out / FAILURE_FILE, error.failure)
            raise
        _write(out / RESULT_FILE, result)
        return result

    def _dispatch(self, spec: Spec, out: Path, report: Report) -> Result:
        match spec:
            case BuildSpec():
                return self._build(spec, out, report)
            case MeasureSpec():
                return self._measure(spec, out, report)
            case EvaluateSpec():
                return self._evaluate(spec, out, report)

    def _build(self, spec: BuildSpec, out: Path, report: Report) -> BuildResult:
        from planner.artifacts.manifest import scan

        base = self._resolver.locate(spec.base, part(report, 0.0, 0.2), field="base")
        read = self._resolver.dataset(spec.dataset)
        environments: list[Environment] = []

        def run_construct(
            base: Path,
            files: Path,
            expected: Path,
            recipe: AnyRecipe,
            *,
            text: Dataset | None,
            device: str,
            report: Report,
        ) -> Construction:
            del recipe, text, device  # the child reads them from the specification
            construction: Construction
            construction, environment = child(
                construct_task, base, files, expected, read, spec, report=report
            )
            environments.append(environment)
            return construction

        def run_verify(
            files: Path, expected: Path, recipe: AnyRecipe, *, device: str, report: Report
        ) -> Reload:
            del recipe, device
            reload: Reload = child(verify_task, files, expected, spec, report=report)
            return reload

        def child(function: Callable[..., Any], *arguments: Any, report: Report) -> Any:
            return self._child(
                function,
                *arguments,
                device=spec.device,
                out=out,
                report=report,
                timeout=spec.timeout_seconds,
            )

        directory = out / VARIANT_FOLDER
        construction, reload = build_variant(
            base.directory,
            directory,
            spec.recipe,
            device=spec.device,
            report=part(report, 0.2, 0.9),
            run_construct=run_construct,
            run_verify=run_verify,
        )
        report(0.95, "hashing")
        artifacts = scan(directory)
        report(1.0, "built")
        return BuildResult(
            variant_id=manifest_digest(artifacts),
            directory=VARIANT_FOLDER,
            artifacts=artifacts,
            name=spec.name or spec.recipe.variant_name,
            model=spec.model or base.model,
            scheme=spec.recipe.scheme,
            weights=construction.weights,
            coverage=construction.coverage,
            reload=reload,
            provenance=Provenance(
                recipe=recipe_name(spec.recipe),
                recipe_digest=recipe_digest(spec.recipe),
                settings=recipe_settings(spec.recipe),
                base_variant_id=base.variant_id,
                calibration_digest=construction.text_digest,
                needs=spec.recipe.needs,
                versions=versions(),
                build_seconds=construction.seconds,
                build_peak_bytes=construction.peak_bytes,
                facts=construction.facts,
            ),
            environment=environments[0],
        )

    def _measure(self, spec: MeasureSpec, out: Path, report: Report) -> MeasureResult:
        if spec.endpoint is not None and not self._resolver.allow_paths:
            raise InvalidInput(
                "endpoint", "names an address to call", allowed="servers in job files that are run by hand"
            )
        variant = self._resolver.locate(spec.variant, part(report, 0.0, 0.2), field="variant")
        measured = self._child(
            measure_task,
            variant.directory,
            variant.variant_id,
            spec.conditions,
            spec.endpoint,
            device=spec.conditions.device,
            out=out,
            report=part(report, 0.2, 1.0),
            timeout=spec.timeout_seconds,
        )
        return MeasureResult(profile=measured.profile, device=measured.device, weights=measured.weights)

    def _evaluate(self, spec: EvaluateSpec, out: Path, report: Report) -> EvaluateResult:
        variant = self._resolver.locate(spec.variant, part(report, 0.0, 0.1), field="variant")
        baseline = self._resolver.locate(spec.baseline, part(report, 0.1, 0.2), field="baseline")
        dataset = spec.dataset or (None if spec.tasks or spec.lm_eval else ReferenceSource())
        read = None if dataset is None else self._resolver.dataset(dataset)
        tasks = tuple(
            self._resolver.task(source, field=f"tasks[{index}]") for index, source in enumerate(spec.tasks)
        )
        harness = tuple(
            self._resolver.task_folder(source, field=f"lm_eval[{index}]")
            for index, source in enumerate(spec.lm_eval)
        )
        evaluations, refused = self._child(
            evaluate_task,
            variant,
            baseline,
            Material(text=read, tasks=tasks, harness_tasks=harness),
            spec,
            device=spec.device,
            out=out,
            report=part(report, 0.2, 1.0),
            timeout=spec.timeout_seconds,
        )
        return EvaluateResult(evaluation=evaluations[0], others=evaluations[1:], refused=refused)

    def _child(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        device: str,
        out: Path,
        report: Report,
        timeout: float,
    ) -> Any:
        if not 0 < timeout <= 7 * 86_400:
            raise JobFailed(
                FailureReason.INVALID_JOB,
                f"timeout_seconds: {timeout} is out of range; allowed: above 0, at most 7 days",
            )
        return run_isolated(
            function,
            *arguments,
            log=out / LOG_FILE,
            method=self._method or start_method(device),
            report=report,
            stop=self._stop,
            timeout_seconds=timeout,
        )


def _write(path: Path, content: msgspec.Struct) -> None:
    """Write JSON so that the file is complete or not there."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(content)))
    partial.replace(path)
