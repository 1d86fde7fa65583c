"""Two variants on the same items: the records of one with the other in the baseline's place.

Both records carry the same baseline's items, so the items pair the two variants as they pair each of them with the baseline.
"""

from __future__ import annotations

from planner.domain.evaluation import Document, Evaluation, ItemOutcome


def asked_the_same(first: Evaluation, other: Evaluation) -> bool:
    """Return whether the two evaluations are of the same metric of the same task over the same data set."""
    return (first.task, first.metric, first.dataset_digest) == (
        other.task,
        other.metric,
        other.dataset_digest,
    )


def documents_between(first: Evaluation, other: Evaluation) -> tuple[Document, ...]:
    """Return the documents that both have, `first`'s variant as the baseline of `other`'s."""
    mine = {document.id: document for document in first.documents}
    return tuple(
        Document(
            id=document.id,
            tokens=document.tokens,
            baseline_nll=mine[document.id].variant_nll,
            variant_nll=document.variant_nll,
        )
        for document in other.documents
        if document.id in mine and mine[document.id].tokens == document.tokens
    )


def outcomes_between(first: Evaluation, other: Evaluation) -> tuple[ItemOutcome, ...]:
    """Return the items that both have, `first`'s variant as the baseline of `other`'s."""
    mine = {outcome.id: outcome for outcome in first.outcomes}
    return tuple(
        ItemOutcome(
            id=outcome.id,
            baseline=mine[outcome.id].variant,
            variant=outcome.variant,
            baseline_tokens=mine[outcome.id].variant_tokens,
            variant_tokens=outcome.variant_tokens,
        )
        for outcome in other.outcomes
        if outcome.id in mine
    )
