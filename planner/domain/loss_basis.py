"""Which loss of a variant answers a question: the rule over tasks, text, bases, and how many items there are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from planner.domain.evaluation import Evaluation
from planner.domain.figure import Figure, Interval, weakest
from planner.domain.loss import CONFIDENCE, FEWEST_ITEMS, LossKind, bounds
from planner.domain.units import Unit


class LossBasis(msgspec.Struct, frozen=True, kw_only=True):
    """Which loss of a variant answers a question: the figure, its kind, and the tasks and metric it is over."""

    figure: Figure
    kind: LossKind
    tasks: tuple[str, ...]
    metric: str
    items: int | None


def assess(evaluations: Sequence[Evaluation], *, kind: LossKind, task: str | None) -> LossBasis | None:
    """Return the loss that answers a question, None when no evaluation does.

    With a task named, that task's: the one called exactly so, else those whose name contains it. Otherwise the mean over the task scores of the strongest basis that has any, and
    only where there is none, relative perplexity. Weaker evidence never overrides stronger. A handful of items is no
    measured score: fewer than `FEWEST_ITEMS` stand back where more were measured, of tasks or else of text, and a figure
    that rests on nothing but a handful has no interval; its note says what stood back.
    """
    usable = [e for e in evaluations if e.doubt is None]
    if task is not None:
        wanted = task.casefold()
        named = [e for e in usable if wanted == e.task.casefold()] or [
            e for e in usable if wanted in e.task.casefold() or wanted == e.metric.casefold()
        ]
        return _mean_loss(_once_per_task(named), kind)
    scores = [e for e in usable if not e.is_perplexity]
    result = _mean_loss(_once_per_task(scores), kind)
    if kind is LossKind.ABSOLUTE or (result is not None and result.items is None):
        return result
    text = _mean_loss(_once_per_task([e for e in usable if e.is_perplexity]), kind)
    if result is None or text is None:
        return result or text
    few = [e for e in scores if e.id in result.figure.evidence and has_few_items(e)]
    bounded = text.figure.interval is not None and text.figure.basis.rank <= result.figure.basis.rank
    return _with_note(text, few) if few and bounded else result


def has_few_items(evaluation: Evaluation) -> bool:
    """Return whether the evaluation rests on too few items for its interval to decide about a limit.

    Those whose number is unknown are taken at their word, and so is a certification that is exact at any number.
    """
    certification = evaluation.certification
    if evaluation.items is None or (certification is not None and certification.exact):
        return False
    return evaluation.items < FEWEST_ITEMS


def _with_note(basis: LossBasis, few: Sequence[Evaluation]) -> LossBasis:
    """Return the answer with a note on the evaluations that stood back."""
    named = ", ".join(f"{e.task} ({e.items})" for e in few[:5]) + (", …" if len(few) > 5 else "")
    note = f"left out, with fewer than {FEWEST_ITEMS} items: {named}"
    return msgspec.structs.replace(basis, figure=msgspec.structs.replace(basis.figure, note=note))


def _once_per_task(evaluations: list[Evaluation]) -> list[Evaluation]:
    """Return the evaluations with one for each set of items: that of most items, then length-normalised, then newest.

    The same items scored twice, by another metric or on another day, are no independent evidence.
    """
    best: dict[tuple[object, ...], Evaluation] = {}
    for evaluation in evaluations:
        if evaluation.dataset_digest is None:
            best[evaluation.id, None] = evaluation
            continue
        key = (evaluation.dataset_digest, evaluation.basis)
        held = best.get(key)
        if held is None or _preference(evaluation) > _preference(held):
            best[key] = evaluation
    kept = {id(evaluation) for evaluation in best.values()}
    return [evaluation for evaluation in evaluations if id(evaluation) in kept]


def _preference(evaluation: Evaluation) -> tuple[int, bool, float, str]:
    measured = evaluation.measured_at.timestamp() if evaluation.measured_at else 0.0
    return evaluation.items or 0, evaluation.metric == "acc_norm", measured, evaluation.id


def _mean_loss(evaluations: Sequence[Evaluation], kind: LossKind) -> LossBasis | None:
    """Return the unweighted mean loss over the evaluations of the strongest basis present.

    The mean's interval adds variances of independent tasks; it is unknown when any task's is. Evaluations of a handful of
    items are left out beside larger ones, and bound nothing where there are no others.
    """
    pairs = [(e, e.relative_loss if kind is LossKind.RELATIVE else e.absolute_loss) for e in evaluations]
    known = [(e, figure) for e, figure in pairs if figure is not None]
    if not known:
        return None
    strongest = min(figure.basis.rank for _, figure in known)
    chosen = [(e, figure) for e, figure in known if figure.basis.rank == strongest]
    few = [e for e, _ in chosen if has_few_items(e)]
    alone = len(few) == len(chosen)
    if few and not alone:
        chosen = [(e, figure) for e, figure in chosen if not has_few_items(e)]
    n = len(chosen)
    value = math.fsum(figure.value for _, figure in chosen) / n
    interval: Interval | None = None
    widths = [None if alone and few else bounds(figure) for _, figure in chosen]
    if all(ends is not None for ends in widths):
        below = (
            math.sqrt(
                math.fsum(
                    (f.value - ends[0]) ** 2 for (_, f), ends in zip(chosen, widths, strict=True) if ends
                )
            )
            / n
        )
        above = (
            math.sqrt(
                math.fsum(
                    (ends[1] - f.value) ** 2 for (_, f), ends in zip(chosen, widths, strict=True) if ends
                )
            )
            / n
        )
        interval = Interval(lo=value - below, hi=value + above, confidence=2 * CONFIDENCE - 1)
    items = [e.items for e, _ in chosen]
    metrics = sorted({e.metric for e, _ in chosen})
    known_items = sum(i for i in items if i is not None) if all(i is not None for i in items) else None
    answer = LossBasis(
        figure=Figure(
            value=value,
            unit=Unit.RATIO if kind is LossKind.RELATIVE else Unit.POINTS,
            basis=weakest(figure.basis for _, figure in chosen),
            interval=interval,
            evidence=tuple(e.id for e, _ in chosen),
            note=f"too few items to bound the loss: {known_items}, {FEWEST_ITEMS} are the fewest"
            if alone and few
            else None,
        ),
        kind=kind,
        tasks=tuple(sorted({e.task for e, _ in chosen})),
        metric=metrics[0] if len(metrics) == 1 else "mixed scores",
        items=known_items,
    )
    return _with_note(answer, few) if few and not alone else answer
