"""Evaluations as tables: what was lost, how sure that is, and what the records can show at all."""

from __future__ import annotations

import msgspec
from rich.console import Console
from rich.table import Table

from planner.domain.evaluation import Certification, Decision, Evaluation
from planner.domain.figure import Figure, Interval
from planner.domain.loss import FEWEST_ITEMS
from planner.domain.loss_basis import has_few_items
from planner.domain.units import format_ratio
from worker.jobs import EvaluateResult


def show_evaluations(console: Console, result: EvaluateResult) -> None:
    """Print every evaluation of a result as a table, its remarks below it, and the tasks that gave none."""
    for evaluation in result.evaluations:
        console.print(_table(evaluation))
        for note in evaluation.notes:
            console.print(f"note: {note}", highlight=False, markup=False)
        if evaluation.doubt:
            console.print(f"doubt: {evaluation.doubt}", style="yellow", highlight=False, markup=False)
    for refused in result.refused:
        console.print(
            f"no evaluation on {refused.task}: {refused.reason}",
            style="yellow",
            highlight=False,
            markup=False,
        )


def _table(evaluation: Evaluation) -> Table:
    table = Table(
        title=f"{evaluation.task}, {evaluation.metric}",
        title_justify="left",
        show_header=False,
        box=None,
        padding=(0, 2, 0, 0),
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in (
        ("score", _scores(evaluation)),
        ("relative loss", _with_interval(evaluation.relative_loss)),
        ("absolute loss", _with_interval(evaluation.absolute_loss)),
        ("certification", _certification(evaluation.certification)),
        ("noise floor", _with_interval(evaluation.noise_floor)),
        ("answers", _answers(evaluation)),
        ("McNemar p", None if evaluation.mcnemar_p is None else f"{evaluation.mcnemar_p:.3g}"),
        (
            "detectable",
            None
            if evaluation.minimum_effect is None
            else f"a relative loss of {format_ratio(evaluation.minimum_effect)} or more, with power 0.8",
        ),
        ("output length", _with_interval(evaluation.output_ratio)),
        *_fidelity(evaluation),
        ("items", _items(evaluation)),
        ("decides", _too_few(evaluation)),
    ):
        if text is not None:
            table.add_row(name, text)
    return table


def _scores(evaluation: Evaluation) -> str:
    chance = "" if evaluation.chance is None else f", guessing {evaluation.chance:.4f}"
    return f"{evaluation.variant_score:.4f}, baseline {evaluation.baseline_score:.4f}{chance}"


def _answers(evaluation: Evaluation) -> str | None:
    counts = evaluation.counts
    if counts is None or evaluation.is_perplexity:
        return None
    return (
        f"{counts.both_right} right in both, {counts.only_baseline} in the baseline only, "
        f"{counts.only_variant} in the variant only, {counts.both_wrong} wrong in both"
    )


def _certification(certification: Certification | None) -> str | None:
    if certification is None:
        return None
    limit = f"loss at most {format_ratio(certification.limit)}"
    used = f"after {certification.items} of {certification.available} items at {certification.confidence:.0%}"
    kind = "" if certification.exact else ", asymptotically"
    if certification.decision is not Decision.UNDECIDED:
        return f"{limit}: {certification.decision} {used}{kind}"
    more = certification.more_items
    hope = (
        "more items would not decide it soon" if more is None else f"about {more:,} more items would decide"
    )
    return f"{limit}: undecided {used}{kind}; {hope}"


def _fidelity(evaluation: Evaluation) -> list[tuple[str, str | None]]:
    fidelity = evaluation.fidelity
    if fidelity is None:
        return []
    return [
        ("KL mean", _with_interval(fidelity.kl_mean)),
        ("KL p99", _with_interval(fidelity.kl_p99)),
        ("KL max", _with_interval(fidelity.kl_max)),
        ("top-1 agreement", _with_interval(fidelity.top1_agreement)),
        ("flips", _with_interval(fidelity.flips)),
    ]


def _items(evaluation: Evaluation) -> str:
    if not evaluation.documents:
        return f"{evaluation.items} of {evaluation.dataset_digest}"
    tokens = sum(document.tokens for document in evaluation.documents)
    return f"{evaluation.items} documents, {tokens:,} tokens of {evaluation.dataset_digest}"


def _too_few(evaluation: Evaluation) -> str | None:
    if not has_few_items(evaluation):
        return None
    return f"nothing: {evaluation.items} items certify or refute no limit, {FEWEST_ITEMS} are the fewest"


def _with_interval(figure: Figure | None) -> str | None:
    if figure is None:
        return None
    return f"{figure}{_ends(figure.interval, figure)}"


def _ends(interval: Interval | None, figure: Figure) -> str:
    if interval is None:
        return ""
    lo, hi = (msgspec.structs.replace(figure, value=end, interval=None) for end in (interval.lo, interval.hi))
    return f"  [{lo} … {hi}]"
