"""Perplexity on text, paired per document, with fidelity beside it."""

from __future__ import annotations

import math
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np

from planner.domain.certification import Certifier
from planner.domain.evaluation import Certification, Document, Evaluation
from planner.domain.figure import Basis, Figure, Interval
from planner.domain.job import FailureReason
from planner.domain.loss import perplexity, perplexity_loss
from planner.domain.statistics import minimum_detectable_perplexity_loss
from planner.domain.units import Unit
from planner.errors import InvalidInput
from worker.evaluate.comparison import Comparison
from worker.evaluate.dataset import Dataset
from worker.evaluate.fidelity import (
    Scores,
    counts_of,
    document_of,
    fidelity_of,
    negative_log_likelihood,
    score,
)
from worker.evaluate.logits import Predictor
from worker.evaluate.record import finish
from worker.evaluate.windows import Window, cut_windows
from worker.failure import JobFailed
from worker.progress import Report, ignore, part

if TYPE_CHECKING:
    import torch

DEFAULT_WINDOW: Final = 1024
NOISE_ROWS: Final = 2
"""Copies of a window in one pass when the baseline is run against itself: another batch shape, so other kernels."""
PROTOCOL: Final = (
    "token-weighted perplexity over documents, windows of {window} tokens without overlap, one window per forward pass, "
    "no padding, first token of a window unscored; counts are of next-token top-1; v1"
)


def evaluate_text(
    comparison: Comparison, dataset: Dataset, *, window: int = DEFAULT_WINDOW, report: Report = ignore
) -> Evaluation:
    """Return what the variant loses against the baseline on the documents of a data set.

    Raises InvalidInput when the two do not share tokenizer and vocabulary or no text is long enough, JobFailed
    (artifact_corrupt) when a model's logits are not finite, and what loading raises.
    """
    report(0.0, "reading the data set")
    length = min(window, comparison.context or window)
    texts = comparison.order(dataset.documents)
    windows = cut_windows(
        texts, comparison.tokenizer, length=length, baseline_tokenizer=comparison.baseline_tokenizer
    )
    if not windows:
        raise InvalidInput("dataset", f"`{dataset.name}` has no document of two tokens or more")
    available = len({piece.document for piece in windows})
    run = _Run(comparison, {piece.document for piece in windows[: comparison.noise_items]})
    steps = comparison.pair.run(windows, run.baseline, _logits, report=part(report, 0.05, 0.95))
    with closing(steps):  # type: ignore[type-var]
        for position, (piece, base, other) in enumerate(steps, start=1):
            run.add(piece, base, other, texts[piece.document].id)
            last = position == len(windows) or windows[position].document != piece.document
            if last and run.close(texts[piece.document].id):
                break
    report(0.95, "computing intervals")
    documents = tuple(run.documents)
    baseline_perplexity, variant_perplexity = perplexity(documents)
    certification = run.certifier.result(available) if run.certifier else None
    evaluation = Evaluation(
        id="",
        variant_id=comparison.variant_id,
        baseline_variant_id=comparison.baseline_id,
        task=dataset.name,
        metric="perplexity",
        higher_is_better=False,
        basis=Basis.MEASURED,
        baseline_score=baseline_perplexity,
        variant_score=variant_perplexity,
        relative_loss=_loss(documents, certification),
        items=len(documents),
        counts=counts_of(run.scores),
        documents=documents,
        minimum_effect=None if certification else minimum_detectable_perplexity_loss(documents),
        noise_floor=run.noise_floor(),
        certification=certification,
        fidelity=fidelity_of(run.scores, run.owners),
        dataset_digest=dataset.digest,
        protocol=PROTOCOL.format(window=length),
        environment=comparison.environment,
        measured_at=datetime.now(UTC),
    )
    report(1.0, "evaluated")
    identical = all(np.array_equal(scores.baseline_nll, scores.variant_nll) for scores in run.scores)
    return finish(evaluation, not_applied=comparison.claims_quantized and identical)


class _Run:
    """What has been seen so far, window by window and document by document."""

    def __init__(self, comparison: Comparison, noisy: set[int]) -> None:
        self.documents: list[Document] = []
        self.scores: list[Scores] = []
        self.owners: list[int] = []
        certify = comparison.certify
        self.certifier = (
            Certifier(certify.limit, confidence=certify.confidence, bounded=False) if certify else None
        )
        self._open: list[Scores] = []
        self._noisy = noisy if comparison.noise_items else set[int]()
        self._again: dict[int, list[float]] = {}

    def baseline(self, predictor: Predictor, piece: Window) -> torch.Tensor:
        """Return the baseline's logits; for the first documents also run it in another batch shape."""
        if piece.document in self._noisy:
            copies = np.repeat(piece.ids[None], NOISE_ROWS, axis=0)
            nll = negative_log_likelihood(predictor.logits(copies)[0, :-1], piece.ids[1:])
            self._again.setdefault(piece.document, []).append(nll)
        return _logits(predictor, piece)

    def add(self, piece: Window, base: torch.Tensor, other: torch.Tensor, name: str) -> None:
        """Compare the two on one window."""
        result = score(*_same_width(base, other), piece.ids[1:])
        _check_finite(result, name)
        self._open.append(result)
        self.scores.append(result)
        self.owners.append(piece.document)

    def close(self, name: str) -> bool:
        """Take the document's windows together, and return whether what was asked is known."""
        document = document_of(name, self._open)
        self._open = []
        self.documents.append(document)
        if self.certifier is None:
            return False
        self.certifier.add(document.variant_nll - document.baseline_nll, document.tokens)
        return self.certifier.is_finished()

    def noise_floor(self) -> Figure | None:
        """Return the loss of the baseline against itself over the documents that were run twice."""
        seen = list(dict.fromkeys(self.owners))
        pairs = [
            Document(
                id=document.id,
                tokens=document.tokens,
                baseline_nll=document.baseline_nll,
                variant_nll=math.fsum(self._again[index]),
            )
            for index, document in zip(seen, self.documents, strict=True)
            if index in self._again
        ]
        if not pairs:
            return None
        floor = perplexity_loss(pairs, basis=Basis.MEASURED)
        return Figure(
            value=floor.value,
            unit=Unit.RATIO,
            basis=Basis.MEASURED,
            interval=floor.interval,
            note=f"{len(pairs)} documents, passes of one window against passes of {NOISE_ROWS}",
        )


def _loss(documents: tuple[Document, ...], certification: Certification | None) -> Figure:
    """Return the loss. One that was stopped at when decided has the bounds that hold in spite of it, no others."""
    loss = perplexity_loss(documents, basis=Basis.MEASURED)
    if certification is None:
        return loss
    return sequential(loss, certification)


def sequential(
    loss: Figure, certification: Certification, bounds: tuple[float | None, float | None] | None = None
) -> Figure:
    """Return the loss with the interval of its confidence sequence instead of one for a fixed number of items."""
    lower, upper = bounds or (certification.lower, certification.upper)
    interval = (
        None
        if lower is None or upper is None
        else Interval(
            lo=min(lower, loss.value),
            hi=max(upper, loss.value),
            confidence=2 * certification.confidence - 1,
        )
    )
    return Figure(
        value=loss.value,
        unit=loss.unit,
        basis=loss.basis,
        interval=interval,
        note=f"interval valid wherever one stops; {certification.items} of {certification.available} items used",
    )


def _logits(predictor: Predictor, piece: Window) -> torch.Tensor:
    return predictor.logits(piece.ids[None])[0, :-1]


def _same_width(base: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if base.shape != other.shape:
        raise InvalidInput(
            "baseline",
            f"has a vocabulary of {base.shape[-1]}, the variant one of {other.shape[-1]}",
            allowed="a baseline with the variant's vocabulary",
        )
    return base, other


def _check_finite(scores: Scores, document: str) -> None:
    for name, values in (("baseline", scores.baseline_nll), ("variant", scores.variant_nll)):
        if not np.isfinite(values).all():
            raise JobFailed(
                FailureReason.ARTIFACT_CORRUPT, f"the {name}'s logits are not finite in document `{document}`"
            )
