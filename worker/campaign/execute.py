"""Doing one unit: its work in child processes, its results in its folder, its end in the ledger."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from planner.domain.job import Failure, FailureReason
from planner.domain.profile import Profile
from planner.errors import InvalidInput, PlannerError
from worker.campaign.ledger import FACTS_FILE, Ledger, NotApplicable, Record, write_json
from worker.campaign.specification import TRAINED
from worker.campaign.tasks import load_shape, shape_task, train_task
from worker.campaign.units import RecipeWork, ShapeWork, TrainWork, Unit
from worker.engines import ModelEngine
from worker.engines.formats.gguf_timing import refuse_timing
from worker.failure import JobFailed, failure_of
from worker.identity import content_id
from worker.isolation import StartMethod, run_isolated
from worker.jobs import BuildSpec, EvaluateSpec, MeasureResult, MeasureSpec, Spec
from worker.progress import Report, ignore, part
from worker.runner import LOG_FILE, RESULT_FILE, VARIANT_FOLDER, Runner, start_method
from worker.sources import PathSource, ReferenceSource, ReferenceTask, Resolver, Source

GRACE_SECONDS: Final = 30.0
"""How much longer than its limit a unit may take: loading is only estimated, and a result is worth the wait."""
LEAST_SECONDS: Final = 5.0
REFERENCE: Final = "reference"
_SHARES: Final = {"build": (0.0, 0.4), "measure": (0.4, 0.7), "evaluate": (0.7, 1.0)}


@dataclass(frozen=True)
class Executor:
    """Does units. `load` makes the engine of a shape, `method` None starts children as their device allows."""

    ledger: Ledger
    stop: threading.Event | None = None
    method: StartMethod | None = None
    load: Callable[[ShapeWork], ModelEngine] = load_shape

    def run(self, unit: Unit, *, limit_seconds: float, report: Report) -> Record:
        """Do the unit and return its record, which is saved. Raises JobStopped."""
        before = self.ledger.record(unit)
        started, clock = datetime.now(UTC), time.monotonic()
        folder = self.ledger.folder(unit)
        folder.mkdir(parents=True, exist_ok=True)
        failures: tuple[Failure, ...]
        left_out: list[NotApplicable] = []
        match unit.work:
            case ShapeWork():
                failures = self._shape(unit, unit.work, limit_seconds, report)
            case RecipeWork():
                failures = self._recipe(unit, unit.work, limit_seconds, report, left_out)
            case TrainWork():
                failures = self._train(unit, unit.work, limit_seconds, report)
        partial = isinstance(unit.work, ShapeWork) and bool(self.ledger.missing_points(unit, unit.work))
        record = Record(
            key=unit.key,
            title=unit.title,
            kind=unit.kind,
            state="failed" if failures else "partial" if partial else "done",
            seconds=time.monotonic() - clock + (before.seconds if before else 0.0),
            started_at=started,
            attempts=1 + (before.attempts if before and before.state == "failed" else 0),
            failures=failures,
            not_measured=unit.left_out,
            not_applicable=tuple(left_out),
        )
        self.ledger.save(unit, record)
        return record

    def _shape(
        self, unit: Unit, work: ShapeWork, limit_seconds: float, report: Report
    ) -> tuple[Failure, ...]:
        folder = self.ledger.run_folder(unit)
        shutil.rmtree(folder, ignore_errors=True)
        conditions = msgspec.structs.replace(
            work.conditions,
            workloads=self.ledger.missing_points(unit, work),
            total_limit_seconds=max(LEAST_SECONDS, limit_seconds - unit.load_seconds),
        )
        work = msgspec.structs.replace(work, conditions=conditions)
        try:
            measured = self._child(
                shape_task, work, self.load, device=conditions.device, folder=folder,
                limit_seconds=limit_seconds, report=report,
            )  # fmt: skip
        except JobFailed as error:
            return (error.failure,)
        profile = msgspec.structs.replace(
            measured.profile, not_measured=(*measured.profile.not_measured, *unit.left_out)
        )
        write_json(
            folder / RESULT_FILE,
            MeasureResult(profile=_identified(profile), device=measured.device, weights=measured.weights),
        )
        return ()

    def _train(
        self, unit: Unit, work: TrainWork, limit_seconds: float, report: Report
    ) -> tuple[Failure, ...]:
        folder = self.ledger.folder(unit)
        out = self.ledger.model_folder(work.name)
        shutil.rmtree(out, ignore_errors=True)
        try:
            facts = self._child(
                train_task, work, out, device=work.device, folder=folder, limit_seconds=limit_seconds,
                report=report,
            )  # fmt: skip
        except JobFailed as error:
            shutil.rmtree(out, ignore_errors=True)
            return (error.failure,)
        write_json(folder / FACTS_FILE, facts)
        return ()

    def build_ahead(self, unit: Unit, work: RecipeWork, *, limit_seconds: float) -> tuple[Failure, ...]:
        """Build and evaluate a recipe without measuring it, beside other units: accuracy does not mind company.

        Running the unit later takes up what was done here, and measures. Returns what failed. Raises JobStopped.
        """
        return self._recipe(unit, work, limit_seconds, ignore, [], measure=False)

    def _recipe(
        self,
        unit: Unit,
        work: RecipeWork,
        limit_seconds: float,
        report: Report,
        left_out: list[NotApplicable],
        *,
        measure: bool = True,
    ) -> tuple[Failure, ...]:
        """Do what the unit says and return what failed; what cannot apply to what was built goes into `left_out`."""
        folder, end = self.ledger.folder(unit), time.monotonic() + limit_seconds + GRACE_SECONDS
        base = self._source(work.model)
        built = PathSource(path=str((folder / "build" / VARIANT_FOLDER).absolute()))
        runner = Runner(Resolver(cache=self.ledger.root / "cache"), method=self.method, stop=self.stop)
        failures: list[Failure] = []

        def run(name: str, spec: Spec) -> bool:
            if (folder / name / RESULT_FILE).exists() and (name != "build" or Path(built.path).is_dir()):
                return True  # done ahead
            # A variant that is built again may be another one: what was found of the first does not hold for it.
            for old in ("build", "evaluate") if name == "build" else (name,):
                shutil.rmtree(folder / old, ignore_errors=True)
            left = max(LEAST_SECONDS, end - time.monotonic())
            try:
                runner.run(
                    msgspec.structs.replace(spec, timeout_seconds=left),
                    folder / name,
                    report=part(lambda share, text: report(share, f"{name}: {text}"), *_SHARES[name]),
                )
            except PlannerError as error:
                failure = failure_of(error)
                failures.append(msgspec.structs.replace(failure, message=f"{name}: {failure.message}"))
                return False
            return True

        try:
            build = BuildSpec(
                base=base,
                recipe=work.recipe,
                model=work.register_as,
                # What needs a GPU to build is built on it.
                device="auto" if "cuda" in work.recipe.requires else work.build_device,
                threads=work.threads,
            )
            if not run("build", build):
                return tuple(failures)
            conditions = msgspec.structs.replace(
                work.conditions, device=work.device, threads=work.conditions.threads or work.threads
            )
            if measure:
                shutil.rmtree(folder / "measure", ignore_errors=True)
                left_out += _cannot_be_timed(Path(built.path))
                if not left_out:
                    run("measure", MeasureSpec(variant=built, conditions=conditions))
            if work.evaluate:
                run(
                    "evaluate",
                    EvaluateSpec(
                        variant=built,
                        baseline=base,
                        dataset=ReferenceSource(),
                        tasks=tuple(ReferenceTask(task=task) for task in work.tasks),
                        limit=work.documents,
                        window=work.window,
                        device=work.device,
                        threads=work.threads,
                    ),
                )
        finally:
            if measure and not unit.keep_files:
                shutil.rmtree(folder / "build" / VARIANT_FOLDER, ignore_errors=True)
        return tuple(failures)

    def _source(self, model: str) -> Source:
        if model == REFERENCE:
            return ReferenceSource()
        if model.startswith(TRAINED):
            return PathSource(path=str(self.ledger.model_folder(model.removeprefix(TRAINED)).absolute()))
        return PathSource(path=model)

    def _child(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        device: str,
        folder: Path,
        limit_seconds: float,
        report: Report,
    ) -> Any:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return run_isolated(
                function,
                *arguments,
                log=folder / LOG_FILE,
                method=self.method or start_method(device),
                report=report,
                stop=self.stop,
                timeout_seconds=limit_seconds + GRACE_SECONDS,
            )
        except JobFailed as error:
            if error.reason is FailureReason.TIMEOUT:
                message = f"it took longer than the {limit_seconds:.0f} s that were left"
                raise JobFailed(error.reason, message, log_tail=error.log_tail) from None
            raise


def _cannot_be_timed(built: Path) -> list[NotApplicable]:
    """Return why the engines here must not time what was built, nothing where they may."""
    try:
        refuse_timing(built)
    except InvalidInput as error:
        return [NotApplicable(part="measure", reason="other_runtime", message=error.message)]
    return []


def _identified(profile: Profile) -> Profile:
    """Return the profile under the id that its content has."""
    bare = msgspec.structs.replace(profile, id="")
    return msgspec.structs.replace(bare, id=content_id("profile", bare))
