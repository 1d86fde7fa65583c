"""An evaluation from beginning to end: perplexity paired per document, with fidelity beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from planner.domain.evaluation import Evaluation
from planner.domain.figure import Basis
from planner.domain.job import FailureReason
from planner.domain.loss import perplexity, perplexity_loss
from planner.errors import InvalidInput
from worker.engines.loading import (
    check_directory,
    import_libraries,
    load_tokenizer,
    resolve_device,
    set_threads,
)
from worker.evaluate.dataset import Dataset
from worker.evaluate.fidelity import Scores, counts_of, document_of, fidelity_of, score
from worker.evaluate.logits import pairs
from worker.evaluate.windows import cut_windows
from worker.failure import JobFailed
from worker.identity import content_id
from worker.measure.environment import capture
from worker.progress import Report, ignore, part

DEFAULT_WINDOW: Final = 1024
PROTOCOL: Final = (
    "token-weighted perplexity over documents, windows of {window} tokens without overlap, one window per forward pass, "
    "no padding, first token of a window unscored; counts are of next-token top-1; v1"
)


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
    report: Report = ignore,
) -> Evaluation:
    """Return what the variant loses against the baseline on the data set.

    Raises InvalidInput when the two do not share tokenizer and vocabulary or no text is long enough, JobFailed
    (artifact_corrupt) when a model's logits are not finite, and what loading raises.
    """
    target = resolve_device(device)
    set_threads(threads)
    import_libraries()
    report(0.0, "reading the data set")
    length = min(window, *(_context(directory) or window for directory in (variant, baseline)))
    windows = cut_windows(
        dataset.documents,
        load_tokenizer(variant),
        length=length,
        baseline_tokenizer=load_tokenizer(baseline),
    )
    if not windows:
        raise InvalidInput("dataset", f"`{dataset.name}` has no document of two tokens or more")
    by_document: dict[int, list[Scores]] = {}
    owners: list[int] = []
    scores: list[Scores] = []
    for piece, base, other in pairs(
        baseline, variant, windows, device=target, together=together, report=part(report, 0.05, 0.95)
    ):
        result = score(base, other, piece.ids[1:])
        _check_finite(result, dataset.documents[piece.document].id)
        by_document.setdefault(piece.document, []).append(result)
        owners.append(piece.document)
        scores.append(result)
    report(0.95, "computing intervals")
    documents = tuple(document_of(dataset.documents[index].id, parts) for index, parts in by_document.items())
    baseline_perplexity, variant_perplexity = perplexity(documents)
    evaluation = Evaluation(
        id="",
        variant_id=variant_id,
        baseline_variant_id=baseline_id,
        task=dataset.name,
        metric="perplexity",
        higher_is_better=False,
        basis=Basis.MEASURED,
        baseline_score=baseline_perplexity,
        variant_score=variant_perplexity,
        relative_loss=perplexity_loss(documents, basis=Basis.MEASURED),
        items=len(documents),
        counts=counts_of(scores),
        documents=documents,
        fidelity=fidelity_of(scores, owners),
        dataset_digest=dataset.digest,
        protocol=PROTOCOL.format(window=length),
        environment=capture(target),
        measured_at=datetime.now(UTC),
    )
    report(1.0, "evaluated")
    return _with_id(evaluation)


def _with_id(evaluation: Evaluation) -> Evaluation:
    """Return the evaluation with its content's id, which every figure in it names as its evidence."""
    identifier = content_id("evaluation", evaluation)
    evidence = (identifier,)
    fidelity = evaluation.fidelity
    if fidelity is not None:
        figures = {name: getattr(fidelity, name) for name in fidelity.__struct_fields__}
        fidelity = msgspec.structs.replace(
            fidelity,
            **{
                name: msgspec.structs.replace(figure, evidence=evidence)
                for name, figure in figures.items()
                if figure is not None
            },
        )
    return msgspec.structs.replace(
        evaluation,
        id=identifier,
        relative_loss=msgspec.structs.replace(evaluation.relative_loss, evidence=evidence),
        fidelity=fidelity,
    )


def _check_finite(scores: Scores, document: str) -> None:
    for name, values in (("baseline", scores.baseline_nll), ("variant", scores.variant_nll)):
        if not np.isfinite(values).all():
            raise JobFailed(
                FailureReason.ARTIFACT_CORRUPT, f"the {name}'s logits are not finite in document `{document}`"
            )


def _context(directory: Path) -> int | None:
    """Return the context length in the folder's configuration, without loading the model."""
    config = check_directory(directory)
    text = config.get("text_config")
    limit = (text if isinstance(text, dict) else config).get("max_position_embeddings")
    return limit if isinstance(limit, int) and limit > 1 else None
