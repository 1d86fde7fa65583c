"""Paired differences: what one variant loses against another on the very items that both were scored on.

Both records carry scores of the same baseline's items, so the items pair the two variants as they pair each of them with
the baseline; the domain's own statistics then judge the one with the other in the baseline's place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from planner.domain.evaluation import Evaluation
from planner.domain.figure import Figure, weakest
from planner.domain.loss import LossKind, perplexity_loss, scores_loss
from planner.domain.same_items import asked_the_same, documents_between, outcomes_between
from planner.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Paired:
    """The loss of each against the baseline, and of `other` against `first` by the items both have."""

    first: Figure
    other: Figure
    figure: Figure


def paired_differences(reference: Sequence[Evaluation], others: Sequence[Evaluation]) -> dict[str, Paired]:
    """Return the paired differences by task; a task for which nothing pairs the two is left out."""
    found: dict[str, Paired] = {}
    for first in _usable(reference):
        for other in _usable(others):
            alike = asked_the_same(first, other)
            figure = _difference(first, other) if alike and first.task not in found else None
            if figure is not None:
                found[first.task] = Paired(first.relative_loss, other.relative_loss, figure)
    return found


def _usable(evaluations: Sequence[Evaluation]) -> Iterator[Evaluation]:
    """Yield those with records by item and nothing against them, newest first."""
    records = [each for each in evaluations if (each.documents or each.outcomes) and each.doubt is None]
    yield from sorted(
        records, key=lambda each: (each.measured_at.timestamp() if each.measured_at else 0.0, each.id)
    )[::-1]


def _difference(first: Evaluation, other: Evaluation) -> Figure | None:
    """Return the loss of `other` with `first` in the baseline's place, None when they share no items."""
    basis, evidence = weakest((first.basis, other.basis)), (first.id, other.id)
    try:
        if first.documents and other.documents:
            shared = documents_between(first, other)
            return perplexity_loss(shared, basis=basis, evidence=evidence) if shared else None
        pairs = [(each.baseline, each.variant) for each in outcomes_between(first, other)]
        if not pairs:
            return None
        one, two = zip(*pairs, strict=True)
        return scores_loss(one, two, kind=LossKind.RELATIVE, basis=basis, evidence=evidence)
    except InvalidInput:
        return None  # a variant that scores nothing is no yardstick for another
