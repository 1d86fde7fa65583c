"""Pairing: scores of a variant's run and its baseline's become evaluations, item by item where both recorded items.

Without items there is a point value and no interval: two standard errors of separate runs are not the error of their
difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from planner.domain.evaluation import Document, Evaluation, Fidelity, ItemOutcome, PairedCounts
from planner.domain.figure import Basis, Figure, Interval
from planner.domain.loss import (
    LossKind,
    absolute_loss,
    counts_loss,
    perplexity,
    perplexity_loss,
    relative_loss,
    scores_loss,
)
from planner.domain.profile import Environment
from planner.domain.statistics import (
    mcnemar_p,
    minimum_detectable_perplexity_loss,
    minimum_detectable_score_loss,
)
from planner.domain.units import Unit
from planner.errors import InvalidInput
from planner.ingest.binding import File, Subject, source_facts, with_id
from planner.ingest.formats.llama_perplexity import Z90
from planner.ingest.imported import Finding, Imported, Item, LossDraft, TaskScore
from planner.ingest.lints import accuracy
from planner.ingest.lints.finding import refuse

Key = tuple[str, str]


def evaluations(
    variant: Imported,
    baseline: Imported,
    subject: Subject,
    baseline_id: str,
    *,
    files: tuple[File, ...],
    findings: list[Finding],
    others: Mapping[str, Mapping[Key, float]] | None = None,
) -> tuple[Evaluation, ...]:
    """Return the evaluations of a variant's scores against its baseline's; what cannot be compared is in `findings`.

    `others` are scores of other variants by name, which the variant's are held against (lint L1).
    """
    base = {(score.task, score.metric): score for score in baseline.scores}
    mine = {(score.task, score.metric): score for score in variant.scores}
    known = {"the baseline": {key: score.score for key, score in base.items()}, **(others or {})}
    doubt = accuracy.not_applied(findings, mine, known, baseline="the baseline", bits=subject.bits)
    pairs: list[tuple[TaskScore, TaskScore]] = []
    for key, score in mine.items():
        if key not in base:
            refuse(findings, "L14", f"{score.task}, {score.metric}: the baseline's run does not have it")
        elif accuracy.comparable(findings, base[key], score):
            pairs.append((base[key], score))
    note = accuracy.broken(findings, pairs)
    result: list[Evaluation] = []
    for reference, score in pairs:
        made = _evaluation(reference, score, variant, findings)
        if made is None:
            continue
        notes = tuple(text for text in (note, accuracy.subset([], score)) if text)
        result.append(
            with_id(
                msgspec.structs.replace(
                    made,
                    variant_id=subject.variant_id,
                    baseline_variant_id=baseline_id,
                    doubt=made.doubt or doubt,
                    notes=(*made.notes, *notes),
                    environment=_environment(variant, files),
                    measured_at=variant.measured_at,
                )
            )
        )
    return tuple(result)


def _environment(imported: Imported, files: tuple[File, ...]) -> Environment:
    return Environment(versions=imported.versions, facts={**imported.facts, **source_facts(imported, files)})


def _evaluation(
    base: TaskScore, score: TaskScore, variant: Imported, findings: list[Finding]
) -> Evaluation | None:
    """Return an evaluation without ids, None when nothing can be said."""
    doubt = accuracy.no_information(findings, base)
    if base.records and score.records and accuracy.same_items(findings, base, score):
        pairs = list(zip(base.records, score.records, strict=True))
        doubt = doubt or accuracy.same_answers(findings, score.task, pairs)
        made = _paired_text(score, pairs) if score.metric == "perplexity" else _paired_scores(score, pairs)
        if made is not None:
            ratio = _length_ratio(pairs)
            short = accuracy.shortened(findings, f"{score.task} (characters)", ratio)
            return msgspec.structs.replace(
                made,
                chance=base.chance,
                doubt=doubt,
                dataset_digest=score.dataset_digest,
                notes=(short,) if short else (),
                protocol=f"{variant.protocol or variant.tool}; paired by item",
            )
    elif base.records and score.records:
        return None  # prompts or items differ: the scores cannot be compared either
    return _unpaired(base, score, variant, doubt, findings)


def _paired_scores(score: TaskScore, pairs: Sequence[tuple[Item, Item]]) -> Evaluation | None:
    values = [(a.score, b.score) for a, b in pairs]
    known = [(a, b) for a, b in values if a is not None and b is not None]
    if len(known) != len(values) or not all(0 <= value <= 1 for pair in known for value in pair):
        return None
    outcomes = tuple(
        ItemOutcome(id=a.key, baseline=x, variant=y) for (a, _), (x, y) in zip(pairs, known, strict=True)
    )
    base, other = [a for a, _ in known], [b for _, b in known]
    if math.fsum(base) <= 0:
        return None
    counts: PairedCounts | None = None
    p: float | None = None
    fidelity: Fidelity | None = None
    if all(value in {0.0, 1.0} for pair in known for value in pair):
        counts = PairedCounts(
            both_right=known.count((1.0, 1.0)),
            only_baseline=known.count((1.0, 0.0)),
            only_variant=known.count((0.0, 1.0)),
            both_wrong=known.count((0.0, 0.0)),
        )
        p = mcnemar_p(counts)
        fidelity = Fidelity(flips=Figure(value=counts.flips, unit=Unit.RATIO, basis=Basis.IMPORTED))
        relative = counts_loss(counts, kind=LossKind.RELATIVE, basis=Basis.IMPORTED)
        absolute = counts_loss(counts, kind=LossKind.ABSOLUTE, basis=Basis.IMPORTED)
    else:
        relative = scores_loss(base, other, kind=LossKind.RELATIVE, basis=Basis.IMPORTED)
        absolute = scores_loss(base, other, kind=LossKind.ABSOLUTE, basis=Basis.IMPORTED)
    return Evaluation(
        id="",
        variant_id="",
        task=score.task,
        metric=score.metric,
        higher_is_better=True,
        basis=Basis.IMPORTED,
        baseline_score=math.fsum(base) / len(base),
        variant_score=math.fsum(other) / len(other),
        relative_loss=relative,
        absolute_loss=absolute,
        items=len(known),
        counts=counts,
        outcomes=outcomes,
        mcnemar_p=p,
        minimum_effect=minimum_detectable_score_loss(outcomes),
        fidelity=fidelity,
    )


def _paired_text(score: TaskScore, pairs: Sequence[tuple[Item, Item]]) -> Evaluation | None:
    documents = tuple(
        Document(id=a.key, tokens=a.units, baseline_nll=a.nll, variant_nll=b.nll)
        for a, b in pairs
        if a.nll is not None and b.nll is not None and a.units is not None and a.units == b.units
    )
    if len(documents) != len(pairs):
        return None
    base, other = perplexity(documents)
    return Evaluation(
        id="",
        variant_id="",
        task=score.task,
        metric="perplexity",
        higher_is_better=False,
        basis=Basis.IMPORTED,
        baseline_score=base,
        variant_score=other,
        relative_loss=perplexity_loss(documents, basis=Basis.IMPORTED),
        items=len(documents),
        documents=documents,
        minimum_effect=minimum_detectable_perplexity_loss(documents),
    )


def _length_ratio(pairs: Sequence[tuple[Item, Item]]) -> float | None:
    base = sum(a.length or 0 for a, b in pairs if a.length is not None and b.length is not None)
    other = sum(b.length or 0 for a, b in pairs if a.length is not None and b.length is not None)
    return other / base if base else None


def _unpaired(
    base: TaskScore, score: TaskScore, variant: Imported, doubt: str | None, findings: list[Finding]
) -> Evaluation | None:
    if not base.score > 0:
        return None
    stated = [
        f"{who}'s standard error {value:.3g}"
        for who, value in (("baseline", base.stderr), ("variant", score.stderr))
        if value is not None
    ]
    notes = [
        "not paired: no records of items on both sides, so no interval"
        + (f"; {', '.join(stated)}" if stated else "")
    ]
    if base.mean_length and score.mean_length:
        short = accuracy.shortened(findings, score.task, score.mean_length / base.mean_length)
        notes.extend([short] if short else [])
    loss = relative_loss(base.score, score.score, higher_is_better=score.higher_is_better)
    absolute = absolute_loss(base.score, score.score) if score.bounded and score.higher_is_better else None
    return Evaluation(
        id="",
        variant_id="",
        task=score.task,
        metric=score.metric,
        higher_is_better=score.higher_is_better,
        basis=Basis.IMPORTED,
        baseline_score=base.score,
        variant_score=score.score,
        relative_loss=Figure(value=loss, unit=Unit.RATIO, basis=Basis.IMPORTED),
        absolute_loss=None
        if absolute is None
        else Figure(value=absolute, unit=Unit.POINTS, basis=Basis.IMPORTED),
        items=min((n for n in (base.items, score.items) if n is not None), default=None),
        chance=base.chance,
        notes=tuple(notes),
        dataset_digest=score.dataset_digest,
        protocol=f"{variant.protocol or variant.tool}; not paired",
        doubt=doubt,
    )


def compared(
    draft: LossDraft, imported: Imported, subject: Subject, baseline_id: str, files: tuple[File, ...]
) -> Evaluation:
    """Return the evaluation of a comparison that the tool itself made, paired over the same tokens."""
    interval: Interval | None = None
    if draft.relative_stderr is not None:
        half = Z90 * draft.relative_stderr
        interval = Interval(lo=draft.relative_loss - half, hi=draft.relative_loss + half, confidence=0.9)
    if not math.isfinite(draft.relative_loss):
        raise InvalidInput("relative_loss", "is not finite", allowed="a finite loss")
    return with_id(
        Evaluation(
            id="",
            variant_id=subject.variant_id,
            baseline_variant_id=baseline_id,
            task=draft.task,
            metric=draft.metric,
            higher_is_better=False,
            basis=Basis.IMPORTED,
            baseline_score=draft.baseline_score,
            variant_score=draft.variant_score,
            relative_loss=Figure(
                value=draft.relative_loss, unit=Unit.RATIO, basis=Basis.IMPORTED, interval=interval
            ),
            items=draft.items,
            fidelity=draft.fidelity,
            protocol=draft.protocol,
            environment=_environment(imported, files),
            measured_at=imported.measured_at,
            doubt=draft.doubt,
            notes=("items are scored tokens, taken as independent",) if draft.items else (),
        )
    )
