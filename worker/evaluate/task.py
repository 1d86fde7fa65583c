"""A task from a file, run on baseline and variant item by item, and what its paired outcomes say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from planner.domain.certification import Certifier
from planner.domain.evaluation import Certification, Evaluation, ItemOutcome
from planner.domain.figure import Basis, Figure
from planner.domain.loss import LossKind, scores_loss
from planner.domain.statistics import (
    length_ratio,
    mcnemar_p,
    minimum_detectable_score_loss,
    paired_counts,
)
from planner.domain.units import Unit
from planner.errors import InvalidInput
from worker.evaluate.choice import PROTOCOL as CHOICE_PROTOCOL
from worker.evaluate.choice import EncodedChoice, answer_choice, answer_choice_again, encode_choice
from worker.evaluate.comparison import Comparison
from worker.evaluate.generation import METRIC, EncodedPrompt, Writer
from worker.evaluate.logits import Predictor
from worker.evaluate.record import finish
from worker.evaluate.task_file import ChoiceTask, Task
from worker.evaluate.text import sequential
from worker.progress import Report, ignore, part

GENERATION_FLOOR: Final = 0.02
"""Score at or below which a generation task says nothing: what a few lucky matches give."""


@dataclass(frozen=True)
class Scored:
    """What one metric says: outcomes in the order of use, who flipped in the baseline's second run, and the bounds."""

    metric: str
    outcomes: tuple[ItemOutcome, ...]
    again: dict[str, float]
    certification: Certification | None
    absolute_bounds: tuple[float | None, float | None] | None


@dataclass
class _Metric:
    """One metric while its items come in."""

    name: str
    relative: Certifier | None
    absolute: Certifier | None
    outcomes: list[ItemOutcome] = field(default_factory=list[ItemOutcome])

    def add(self, outcome: ItemOutcome) -> bool:
        """Take one more item, and return whether what was asked is known."""
        self.outcomes.append(outcome)
        if self.relative is None or self.absolute is None:
            return False
        difference = outcome.baseline - outcome.variant
        self.absolute.add(difference, 1.0)
        self.relative.add(difference, outcome.baseline)
        return self.relative.is_finished()


def evaluate_task(comparison: Comparison, task: Task, *, report: Report = ignore) -> tuple[Evaluation, ...]:
    """Return one evaluation per metric of the task, all on the same items; the first one decides a certification.

    Raises InvalidInput when tokenizers differ, an item does not fit, or the baseline gets nothing right by any metric:
    then nothing can be lost.
    """
    items = comparison.order(task.items)
    if isinstance(task, ChoiceTask):
        encoded = [encode_choice(name, item, comparison) for name, item in items]  # type: ignore[arg-type]
        scored = _run(
            comparison,
            encoded,
            _Ways(answer_choice, answer_choice_again, _choice_outcomes, ("acc_norm", "acc")),
            report=report,
        )
        protocol = CHOICE_PROTOCOL.format(context=comparison.context)
        chance: float = task.chance
    else:
        writer = Writer(task.header, comparison)
        encoded = [writer.encode(name, item) for name, item in items]  # type: ignore[arg-type, misc]
        metric = METRIC[task.header.match]
        scored = _run(
            comparison,
            encoded,
            _Ways(writer.answer, writer.answer_again, _written_outcomes, (metric,)),
            report=report,
        )
        protocol, chance = writer.protocol(), GENERATION_FLOOR
    cut = sum(item.cut for item in encoded)
    remarks: tuple[str, ...] = (
        (f"{cut} of {len(encoded)} items were cut on the left to fit the context",) if cut else ()
    )
    evaluations: list[Evaluation] = []
    problems: list[InvalidInput] = []
    for each in scored:
        try:
            evaluation = evaluation_of(
                comparison, each, task=task.name, digest=task.digest, protocol=protocol, chance=chance
            )
        except InvalidInput as error:
            problems.append(error)
        else:
            evaluations.append(evaluation)
    if not evaluations:
        raise problems[0]
    # A metric that says nothing beside one that does is told there, and not dropped in silence.
    remarks += tuple(f"no other metric's evaluation: {problem.details['problem']}" for problem in problems)
    return tuple(finish(evaluation, remarks=remarks) for evaluation in evaluations)


def evaluation_of(
    comparison: Comparison,
    scored: Scored,
    *,
    task: str,
    digest: str,
    protocol: str,
    chance: float | None,
    higher_is_better: bool = True,
) -> Evaluation:
    """Return the evaluation of one metric's paired outcomes, not yet finished."""
    outcomes = scored.outcomes
    baseline = [outcome.baseline for outcome in outcomes]
    variant = [outcome.variant for outcome in outcomes]
    if not sum(baseline) > 0:
        raise InvalidInput(
            "task",
            f"`{task}` says nothing: the baseline scores 0 in {scored.metric} on all {len(outcomes)} items",
            allowed="a task that the baseline can do",
        )
    relative = scores_loss(baseline, variant, kind=LossKind.RELATIVE, basis=Basis.MEASURED)
    absolute = scores_loss(baseline, variant, kind=LossKind.ABSOLUTE, basis=Basis.MEASURED)
    certification = scored.certification
    if certification is not None:
        relative = sequential(relative, certification)
        lower, upper = scored.absolute_bounds or (None, None)
        points = (None if lower is None else 100 * lower, None if upper is None else 100 * upper)
        absolute = sequential(absolute, certification, points)
    counts = paired_counts(outcomes)
    return Evaluation(
        id="",
        variant_id=comparison.variant_id,
        baseline_variant_id=comparison.baseline_id,
        task=task,
        metric=scored.metric,
        higher_is_better=higher_is_better,
        basis=Basis.MEASURED,
        baseline_score=sum(baseline) / len(outcomes),
        variant_score=sum(variant) / len(outcomes),
        relative_loss=relative,
        absolute_loss=absolute,
        items=len(outcomes),
        counts=counts,
        outcomes=outcomes,
        mcnemar_p=None if counts is None or certification is not None else mcnemar_p(counts),
        minimum_effect=None if certification else minimum_detectable_score_loss(outcomes),
        noise_floor=_noise_floor(scored),
        chance=chance,
        output_ratio=length_ratio(outcomes, basis=Basis.MEASURED),
        certification=certification,
        dataset_digest=digest,
        protocol=protocol,
        environment=comparison.environment,
        measured_at=datetime.now(UTC),
    )


@dataclass(frozen=True)
class _Ways:
    """How a model answers an item, how it does so in another batch shape, and which outcomes, one per metric, follow."""

    answer: Callable[[Predictor, Any], tuple[Any, Any]]
    again: Callable[[Predictor, Any], tuple[Any, Any]]
    outcomes: Callable[[str, tuple[Any, Any], tuple[Any, Any]], tuple[ItemOutcome, ...]]
    metrics: tuple[str, ...]


def _run(
    comparison: Comparison,
    items: Sequence[EncodedChoice] | Sequence[EncodedPrompt],
    ways: _Ways,
    *,
    report: Report,
) -> tuple[Scored, ...]:
    metrics = [_metric(name, comparison) for name in ways.metrics]
    noisy = {item.id for item in items[: comparison.noise_items]}
    again: dict[str, tuple[Any, Any]] = {}

    def baseline(predictor: Predictor, item: Any) -> tuple[Any, Any]:
        if item.id in noisy:
            again[item.id] = ways.again(predictor, item)
        return ways.answer(predictor, item)

    units: list[Any] = list(items)
    steps = comparison.pair.run(units, baseline, ways.answer, report=part(report, 0.02, 0.98))
    repeated: list[dict[str, float]] = [{} for _ in metrics]
    with closing(steps):  # type: ignore[type-var]
        for item, base, other in steps:
            outcomes = ways.outcomes(item.id, base, other)
            if item.id in again:
                for known, outcome in zip(
                    repeated, ways.outcomes(item.id, base, again[item.id]), strict=True
                ):
                    known[item.id] = outcome.variant
            finished = [metric.add(outcome) for metric, outcome in zip(metrics, outcomes, strict=True)]
            if finished[0]:
                break
    report(1.0, "evaluated")
    return tuple(
        Scored(
            metric=metric.name,
            outcomes=tuple(metric.outcomes),
            again=known,
            certification=metric.relative.result(len(items)) if metric.relative else None,
            absolute_bounds=metric.absolute.bounds() if metric.absolute else None,
        )
        for metric, known in zip(metrics, repeated, strict=True)
    )


def _metric(name: str, comparison: Comparison) -> _Metric:
    certify = comparison.certify
    if certify is None:
        return _Metric(name, None, None)
    make = partial(Certifier, certify.limit, confidence=certify.confidence, bounded=True)
    return _Metric(name, make(), make())


def _choice_outcomes(
    name: str, base: tuple[bool, bool], other: tuple[bool, bool]
) -> tuple[ItemOutcome, ItemOutcome]:
    return (
        ItemOutcome(id=name, baseline=float(base[1]), variant=float(other[1])),
        ItemOutcome(id=name, baseline=float(base[0]), variant=float(other[0])),
    )


def _written_outcomes(name: str, base: tuple[bool, int], other: tuple[bool, int]) -> tuple[ItemOutcome]:
    return (
        ItemOutcome(
            id=name,
            baseline=float(base[0]),
            variant=float(other[0]),
            baseline_tokens=base[1],
            variant_tokens=other[1],
        ),
    )


def _noise_floor(scored: Scored) -> Figure | None:
    """Return the share of answers that change when the baseline runs again, relative to its score.

    No net loss that comes from noise alone can be larger, and the net of a few flips is often zero by luck.
    """
    before = {outcome.id: outcome.baseline for outcome in scored.outcomes}
    pairs = [(before[name], score) for name, score in scored.again.items() if name in before]
    right = sum(first for first, _ in pairs)
    if not pairs or right <= 0:
        return None
    changed = sum(abs(first - second) for first, second in pairs)
    return Figure(
        value=changed / right,
        unit=Unit.RATIO,
        basis=Basis.MEASURED,
        note=f"{changed:g} changes in {len(pairs)} items that the baseline answered in two batch shapes",
    )
