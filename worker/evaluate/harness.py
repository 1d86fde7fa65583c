"""Tasks of lm-eval, run in process on both models, their per-sample logs paired and checked by hash.

lm-eval compares two runs as if they were independent. Its logs hold more: each sample with hashes of document, prompt and target.
Samples whose hashes differ between baseline and variant answered another question and are never paired.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec

from planner.domain.certification import Certifier
from planner.domain.evaluation import Decision, Evaluation, ItemOutcome
from planner.domain.job import FailureReason
from planner.errors import InvalidFile, InvalidInput
from worker.evaluate.comparison import Comparison, digest_of
from worker.evaluate.logits import Predictor
from worker.evaluate.record import finish
from worker.evaluate.task import Scored, evaluation_of
from worker.failure import JobFailed
from worker.progress import Report, ignore

HASHES: Final = ("doc_hash", "prompt_hash", "target_hash")
NOISE_BATCH: Final = 4
"""Batch size of the baseline's second run; the first has 1."""
_NAME: Final = re.compile(r"""^task:[ \t]*["']?([A-Za-z0-9_.:-]{1,200})["']?[ \t]*(?:#.*)?$""", re.MULTILINE)


@dataclass(frozen=True)
class Log:
    """What one run of lm-eval left: samples by (filter, doc_id), which metrics grow with quality, and how it was run."""

    samples: Mapping[tuple[str, int], Mapping[str, Any]]
    higher_is_better: Mapping[str, bool]
    protocol: str


def evaluate_harness_task(
    comparison: Comparison, path: Path, *, limit: int | None = None, report: Report = ignore
) -> tuple[Evaluation, ...]:
    """Return one evaluation per metric that scores single samples between 0 and 1, on the task in an lm-eval YAML file.

    The file's data must be local files, found from the file's folder; its code, if it names any, runs. Raises InvalidFile when
    the file names no task, InvalidInput when the runs cannot be paired, JobFailed when lm-eval is missing.
    """
    name = _task_name(path)
    again: list[Log] = []

    def baseline(predictor: Predictor, task: str) -> Log:
        if comparison.noise_items:
            again.append(
                _run(
                    comparison,
                    predictor,
                    task,
                    path,
                    limit=_least(limit, comparison.noise_items),
                    batch=NOISE_BATCH,
                )
            )
        return _run(comparison, predictor, task, path, limit=limit)

    def variant(predictor: Predictor, task: str) -> Log:
        return _run(comparison, predictor, task, path, limit=limit)

    steps = comparison.pair.run([name], baseline, variant, report=report)
    _, base, other = next(iter(steps))
    steps.close()  # type: ignore[attr-defined]
    return convert(comparison, name, base, other, again[0] if again else None)


def convert(
    comparison: Comparison, task: str, base: Log, other: Log, again: Log | None
) -> tuple[Evaluation, ...]:
    """Return the evaluations that two logs of the same task give. Raises InvalidInput when they cannot be paired."""
    keys = pair_keys(base, other)
    digest = digest_of(
        task, *(str(base.samples[key].get(field, "")) for key in keys for field in ("filter", *HASHES))
    )
    found: list[Evaluation] = []
    left_out: set[str] = set()
    for name in dict.fromkeys(key[0] for key in keys):
        chosen = [key for key in keys if key[0] == name]
        for metric in dict.fromkeys(m for key in chosen for m in base.samples[key]["metrics"]):
            pairs = [
                (_score(base.samples[key], metric), _score(other.samples[key], metric)) for key in chosen
            ]
            if not base.higher_is_better.get(metric, False) or any(None in pair for pair in pairs):
                left_out.add(metric)
                continue
            outcomes = tuple(
                ItemOutcome(id=str(key[1]), baseline=first, variant=second)
                for key, (first, second) in zip(chosen, pairs, strict=True)
                if first is not None and second is not None
            )
            scored = Scored(
                metric=metric if name == "none" else f"{metric},{name}",
                outcomes=outcomes,
                again=_again(again, name, metric),
                certification=None,
                absolute_bounds=None,
            )
            evaluation = evaluation_of(
                comparison,
                scored,
                task=task,
                digest=digest,
                protocol=base.protocol,
                chance=_chance([base.samples[key] for key in chosen]),
            )
            found.append(_certified(comparison, evaluation))
    if not found:
        raise InvalidInput(
            "lm_eval",
            f"`{task}` has no metric that scores single samples: {', '.join(sorted(left_out)) or 'none at all'}",
            allowed="metrics such as acc, acc_norm or exact_match",
        )
    remarks = (f"not paired, for they do not score single samples: {', '.join(sorted(left_out))}",)
    return tuple(finish(evaluation, remarks=remarks if left_out else ()) for evaluation in found)


def pair_keys(base: Log, other: Log) -> list[tuple[str, int]]:
    """Return the samples that both logs hold, in order. Raises InvalidInput unless they are the same by every hash."""
    if base.samples.keys() != other.samples.keys():
        alone = sorted(base.samples.keys() ^ other.samples.keys())
        raise InvalidInput(
            "lm_eval",
            f"{len(alone)} samples are in one run only, first {alone[0]}",
            allowed="runs over the same samples",
        )
    for key, sample in base.samples.items():
        for field in HASHES:
            mine, theirs = sample.get(field), other.samples[key].get(field)
            if mine is None or mine != theirs:
                raise InvalidInput(
                    "lm_eval",
                    f"sample {key[1]} differs in {field}: {mine} and {theirs}",
                    allowed="the same documents, prompts and targets in both runs",
                )
    return sorted(base.samples)


def _run(
    comparison: Comparison,
    predictor: Predictor,
    task: str,
    path: Path,
    *,
    limit: int | None,
    batch: int = 1,
) -> Log:
    """Run lm-eval on a loaded model, with no network. `limit` None takes all samples."""
    predictor.check_plain_cache("lm-eval")
    with _offline(path.parent):
        try:
            library: Any = import_module("lm_eval")
            models: Any = import_module("lm_eval.models.huggingface")
            loader: Any = import_module("lm_eval.tasks")
        except ModuleNotFoundError as error:
            raise JobFailed(
                FailureReason.KERNEL_UNSUPPORTED,
                f"{error.name} is not installed; install it with: pip install 'variant-planner[evaluation]'",
            ) from error
        model = models.HFLM(
            pretrained=predictor.model,
            tokenizer=comparison.tokenizer,
            batch_size=batch,
            max_length=comparison.context,
        )
        results: Any = library.simple_evaluate(
            model=model,
            tasks=[task],
            task_manager=loader.TaskManager(include_path=str(path.parent), include_defaults=False),
            limit=limit,
            bootstrap_iters=0,
            log_samples=True,
            confirm_run_unsafe_code=False,
        )
    return read_log(results, task)


def read_log(results: Mapping[str, Any], task: str) -> Log:
    """Return the log in what lm-eval's `simple_evaluate` gives. Raises InvalidInput when the samples are missing."""
    samples: dict[tuple[str, int], Mapping[str, Any]] = {}
    for sample in (results.get("samples") or {}).get(task, ()):
        names: Sequence[str] = sample.get("metrics") or ()
        samples[str(sample.get("filter", "none")), int(sample["doc_id"])] = {
            **{field: sample.get(field) for field in (*HASHES, "filter")},
            "metrics": {metric: sample.get(metric) for metric in names},
            "choices": len(sample.get("resps") or ()),
            "type": results["configs"][task].get("output_type"),
        }
    if not samples:
        raise InvalidInput("lm_eval", f"`{task}` gave no samples", allowed="a task with per-sample logs")
    shots = results.get("n-shot", {}).get(task, 0)
    return Log(
        samples=samples,
        higher_is_better=results.get("higher_is_better", {}).get(task, {}),
        protocol=(
            f"lm-eval {version('lm-eval')}, task version {results.get('versions', {}).get(task)}, {shots} shots, "
            "batch size 1, its default seeds"
        ),
    )


def _score(sample: Mapping[str, Any], metric: str) -> float | None:
    value: object = sample["metrics"].get(metric)
    if isinstance(value, bool | int | float) and 0 <= float(value) <= 1:
        return float(value)
    return None


def _chance(samples: list[Mapping[str, Any]]) -> float | None:
    """Return the score of guessing in a multiple-choice task."""
    if any(sample["type"] != "multiple_choice" or sample["choices"] < 2 for sample in samples):
        return None
    return float(sum(1 / sample["choices"] for sample in samples)) / len(samples)


def _again(again: Log | None, name: str, metric: str) -> dict[str, float]:
    if again is None:
        return {}
    scores = {str(key[1]): _score(sample, metric) for key, sample in again.samples.items() if key[0] == name}
    return {identifier: score for identifier, score in scores.items() if score is not None}


def _certified(comparison: Comparison, evaluation: Evaluation) -> Evaluation:
    """Return the evaluation with the answer to what was to be certified. All samples ran, so its intervals stay as they are."""
    certify = comparison.certify
    if certify is None:
        return evaluation
    certifier = Certifier(certify.limit, confidence=certify.confidence, bounded=True)
    for outcome in comparison.order(evaluation.outcomes):
        if certifier.add(outcome.baseline - outcome.variant, outcome.baseline) is not Decision.UNDECIDED:
            break
    return msgspec.structs.replace(evaluation, certification=certifier.result(len(evaluation.outcomes)))


def _least(limit: int | None, other: int) -> int:
    return other if limit is None else min(limit, other)


def _task_name(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("lm_eval", f"`{path}` cannot be read: {error}", allowed="a YAML file") from error
    found = _NAME.findall(text)
    if len(found) != 1:
        raise InvalidFile(path.name, "task", f"is named {len(found)} times", allowed="one line `task: name`")
    return str(found[0])


@contextmanager
def _offline(folder: Path) -> Generator[None]:
    """Run with `folder` as the working directory, no network, and a cache of prepared data that is thrown away."""
    os.environ["HF_DATASETS_OFFLINE"] = "1"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with ExitStack() as stack:
        stack.enter_context(chdir(folder))
        cache = stack.enter_context(tempfile.TemporaryDirectory(prefix="lm-eval-"))
        try:
            datasets: Any = import_module("datasets")
        except ModuleNotFoundError:
            yield  # what is missing is said where lm-eval is imported
            return
        datasets.disable_progress_bars()
        before = datasets.config.HF_DATASETS_CACHE
        datasets.config.HF_DATASETS_CACHE = Path(cache)
        stack.callback(setattr, datasets.config, "HF_DATASETS_CACHE", before)
        yield
