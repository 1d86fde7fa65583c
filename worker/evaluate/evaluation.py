"""Evaluations from beginning to end: text and tasks, on one pair of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from planner.domain.evaluation import Evaluation
from planner.errors import InvalidFile, InvalidInput
from worker.engines.loading import import_libraries, resolve_device, set_threads
from worker.evaluate.comparison import NOISE_ITEMS, Certify, compare
from worker.evaluate.dataset import Dataset
from worker.evaluate.models import ModelPair
from worker.evaluate.task import evaluate_task
from worker.evaluate.task_file import Task
from worker.evaluate.text import DEFAULT_WINDOW, evaluate_text
from worker.measure.environment import capture
from worker.progress import Report, ignore, part

__all__ = ["DEFAULT_WINDOW", "Refused", "Settings", "evaluate", "evaluate_all"]


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A task that gave no evaluation while others did, and why."""

    task: str
    reason: str


@dataclass(frozen=True)
class Settings:
    """How to evaluate. `together` None decides by the free memory; `noise_items` 0 leaves the noise floor out."""

    window: int = DEFAULT_WINDOW
    device: str = "auto"
    threads: int | None = None
    together: bool | None = None
    certify: Certify | None = None
    noise_items: int = NOISE_ITEMS


def evaluate(
    variant: Path,
    variant_id: str,
    baseline: Path,
    baseline_id: str,
    dataset: Dataset,
    *,
    window: int = DEFAULT_WINDOW,
    device: str = "auto",
    threads: int | None = None,
    together: bool | None = None,
    certify: Certify | None = None,
    noise_items: int = NOISE_ITEMS,
    report: Report = ignore,
) -> Evaluation:
    """Return what the variant loses against the baseline on the text of one data set. Raises as `evaluate_all` does."""
    evaluations, _ = evaluate_all(
        variant,
        variant_id,
        baseline,
        baseline_id,
        dataset=dataset,
        tasks=(),
        settings=Settings(window, device, threads, together, certify, noise_items),
        report=report,
    )
    return evaluations[0]


def evaluate_all(
    variant: Path,
    variant_id: str,
    baseline: Path,
    baseline_id: str,
    *,
    dataset: Dataset | None,
    tasks: Sequence[Task],
    harness_tasks: Sequence[Path] = (),
    limit: int | None = None,
    settings: Settings,
    report: Report = ignore,
) -> tuple[tuple[Evaluation, ...], tuple[Refused, ...]]:
    """Return the evaluations on text, task files and lm-eval tasks, and which of them said nothing, and why.

    Raises InvalidInput when models, text or a task do not fit together, or no evaluation is left; JobFailed
    (artifact_corrupt) when logits are not finite; and what loading raises.
    """
    target = resolve_device(settings.device)
    set_threads(settings.threads)
    import_libraries()
    comparison = compare(
        baseline,
        baseline_id,
        variant,
        variant_id,
        ModelPair(baseline, variant, target, together=settings.together),
        environment=capture(target),
        certify=settings.certify,
        noise_items=settings.noise_items,
    )
    evaluations: list[Evaluation] = []
    refused: list[Refused] = []
    total = (dataset is not None) + len(tasks) + len(harness_tasks)
    done = 0

    def stretch() -> Report:
        return part(report, done / total, (done + 1) / total)

    if dataset is not None:
        evaluations.append(evaluate_text(comparison, dataset, window=settings.window, report=stretch()))
        done += 1
    for task in tasks:
        try:
            evaluations += evaluate_task(comparison, task, report=_named(stretch(), task.name))
        except InvalidInput as error:
            refused.append(Refused(task=task.name, reason=str(error)))
        done += 1
    for path in harness_tasks:
        from worker.evaluate.harness import evaluate_harness_task

        try:
            evaluations += evaluate_harness_task(
                comparison, path, limit=limit, report=_named(stretch(), path.stem)
            )
        except (InvalidInput, InvalidFile) as error:
            refused.append(Refused(task=path.stem, reason=str(error)))
        done += 1
    if not evaluations:
        if not refused:
            raise InvalidInput("tasks", "there is nothing to evaluate on", allowed="text or a task")
        raise InvalidInput("tasks", "gave no evaluation: " + "; ".join(each.reason for each in refused))
    return tuple(evaluations), tuple(refused)


def _named(report: Report, name: str) -> Report:
    def inner(share: float, message: str) -> None:
        report(share, f"{name}: {message}")

    return inner
