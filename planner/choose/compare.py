"""Compare: variants, or the answers of stored plans, side by side; the first one is what the others are held against.

The difference of two figures gets an interval only when both have one. Half-widths add up, which is safe however the two
depend on each other, unless both were scored on the same items: then the items are paired, the difference is taken item by
item, and what both share, the difficulty of the items, drops out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from planner.choose.candidate import candidate_at
from planner.choose.feasible import Assessment, assess_rows
from planner.choose.index import Index
from planner.choose.paired import paired_differences
from planner.choose.planner import why
from planner.choose.setting import resolve
from planner.domain.comparison import Compared, ComparedFact, ComparedFigure, Comparison, Difference, Relation
from planner.domain.figure import Figure, Interval, weakest
from planner.domain.outcome import Candidate, Plan, Recommended
from planner.domain.scenario import Scenario
from planner.domain.units import Unit
from planner.domain.variant import Variant
from planner.errors import InvalidInput

MAX_COMPARED: Final = 20


@dataclass(frozen=True, slots=True)
class _Row:
    key: str
    title: str
    lower_is_better: bool | None
    of: Callable[[Candidate], Figure | None]


_ROWS: Final = (
    _Row("memory", "peak memory of one device", True, lambda c: c.memory.total),
    _Row("weights", "weights on one device", True, lambda c: c.memory.weights),
    _Row("kv_cache", "KV cache on one device", True, lambda c: c.memory.kv_cache),
    _Row("disk", "size on disk", True, lambda c: c.disk),
    _Row("loss", "loss against the own baseline", True, lambda c: c.loss.figure if c.loss else None),
    _Row("ttft", "TTFT", True, lambda c: c.latency.ttft),
    _Row("tpot", "TPOT", True, lambda c: c.latency.tpot),
    _Row("throughput", "throughput", False, lambda c: c.latency.throughput),
)
_BARE: Final = frozenset({"disk", "loss"})


def difference(first: Figure | None, other: Figure | None, *, lower_is_better: bool | None) -> Difference:
    """Return `other` minus `first`, and which is better, from their own intervals."""
    if first is None or other is None:
        return Difference(relation=Relation.CANNOT_TELL, reason="not known on both sides")
    if first.unit is not other.unit:
        return Difference(
            relation=Relation.CANNOT_TELL, reason=f"{first.unit.value} against {other.unit.value}"
        )
    a, b = first.interval, other.interval
    interval = None
    if a is not None and b is not None:
        interval = Interval(lo=b.lo - a.hi, hi=b.hi - a.lo, confidence=min(a.confidence, b.confidence))
    figure = Figure(
        value=other.value - first.value,
        unit=first.unit,
        basis=weakest((first.basis, other.basis)),
        interval=interval,
        evidence=tuple(dict.fromkeys((*first.evidence, *other.evidence))),
    )
    return judged(figure, lower_is_better=lower_is_better, paired=False)


def judged(figure: Figure, *, lower_is_better: bool | None, paired: bool) -> Difference:
    """Return a difference with its verdict."""
    interval = figure.interval
    if interval is None:
        reason = "the interval of one of them is not known"
        return Difference(relation=Relation.CANNOT_TELL, figure=figure, paired=paired, reason=reason)
    if interval.lo == interval.hi == 0:
        return Difference(relation=Relation.SAME, figure=figure, paired=paired)
    if interval.lo <= 0 <= interval.hi:
        reason = "the interval of the difference holds zero"
        return Difference(relation=Relation.CANNOT_TELL, figure=figure, paired=paired, reason=reason)
    if lower_is_better is None:
        return Difference(
            relation=Relation.CANNOT_TELL, figure=figure, paired=paired, reason="neither is better"
        )
    better = (interval.hi < 0) is lower_is_better
    return Difference(relation=Relation.BETTER if better else Relation.WORSE, figure=figure, paired=paired)


def _check_count(count: int, field: str) -> None:
    if not 2 <= count <= MAX_COMPARED:
        raise InvalidInput(field, f"{count} cannot be compared", allowed=f"2 to {MAX_COMPARED}")


def compare_variants(
    variant_ids: Sequence[str],
    index: Index,
    *,
    scenario: Scenario | None = None,
    now: datetime | None = None,
    question: str | None = None,
) -> Comparison:
    """Return variants side by side: in a question, or without one by what they are and what was recorded of them.

    Raises NotFound for an unknown variant, device or model, InvalidInput for fewer than two or too many.
    """
    _check_count(len(variant_ids), "variants")
    rows = [index.row_of(identity) for identity in variant_ids]
    if len(set(rows)) < len(rows):
        raise InvalidInput("variants", "name one of them twice", allowed="each variant once")
    setting = resolve(scenario or Scenario(), index, now=now)
    ordered = np.array(sorted(rows), dtype=np.int64)
    assessment = assess_rows(index, setting, ordered)
    positions = [int(np.searchsorted(ordered, row)) for row in rows]
    candidates = [candidate_at(assessment, position) for position in positions]
    figures = [*_paired(index, rows), *_own_figures(assessment, positions, candidates, bare=scenario is None)]
    return Comparison(
        things=tuple(
            Compared(
                name=candidate.name,
                variant_id=candidate.variant_id,
                verdict=None if scenario is None else _verdict(scenario, index, candidate.variant_id, now),
            )
            for candidate in candidates
        ),
        facts=_facts([index.records[row] for row in rows], index),
        figures=tuple(figures),
        question=question,
        notes=_notes(index, rows),
    )


def _verdict(scenario: Scenario, index: Index, variant_id: str, now: datetime | None) -> str:
    _, elimination = why(scenario, index, variant_id, now=now)
    if elimination is None:
        return "chosen"
    return "satisfies it" if elimination.key == "objective" else f"falls at {elimination.key}"


def _own_figures(
    assessment: Assessment, positions: Sequence[int], candidates: Sequence[Candidate], *, bare: bool
) -> Iterator[ComparedFigure]:
    records = [assessment.index.records[int(assessment.rows[position])] for position in positions]
    if bare:
        weights = [record.weight_bytes for record in records]
        yield _compared("weights", "bytes of all weights", weights, lower_is_better=True)
    yield from figures_of(candidates, keys=_BARE if bare else None)


def figures_of(
    candidates: Sequence[Candidate | None], *, keys: frozenset[str] | None
) -> Iterator[ComparedFigure]:
    """Yield the figures that at least one candidate has; a plan without an answer has none."""
    for row in _ROWS:
        if keys is not None and row.key not in keys:
            continue
        figures = [row.of(candidate) if candidate else None for candidate in candidates]
        if any(figure is not None for figure in figures):
            yield _compared(row.key, row.title, figures, lower_is_better=row.lower_is_better)


def _compared(
    key: str, title: str, figures: Sequence[Figure | None], *, lower_is_better: bool | None
) -> ComparedFigure:
    return ComparedFigure(
        key=key,
        title=title,
        unit=next((figure.unit for figure in figures if figure is not None), Unit.COUNT),
        lower_is_better=lower_is_better,
        figures=tuple(figures),
        differences=tuple(
            difference(figures[0], other, lower_is_better=lower_is_better) for other in figures[1:]
        ),
    )


def _paired(index: Index, rows: Sequence[int]) -> Iterator[ComparedFigure]:
    """Yield, for every set of items that the first and another were both scored on, their paired difference."""
    reference = index.evaluations_of(rows[0])
    found = [paired_differences(reference, index.evaluations_of(row)) for row in rows[1:]]
    for task in sorted({task for differences in found for task in differences}):
        pairs = [differences.get(task) for differences in found]
        unit = next(pair.figure.unit for pair in pairs if pair is not None)
        yield ComparedFigure(
            key=f"paired:{task}",
            title=f"{task}, item by item",
            unit=unit,
            lower_is_better=True,
            figures=(
                next((pair.first for pair in pairs if pair is not None), None),
                *(pair.other if pair is not None else None for pair in pairs),
            ),
            differences=tuple(
                judged(pair.figure, lower_is_better=True, paired=True)
                if pair is not None
                else Difference(relation=Relation.CANNOT_TELL, reason="not scored on the same items")
                for pair in pairs
            ),
        )


def _facts(records: Sequence[Variant], index: Index) -> tuple[ComparedFact, ...]:
    rows = [index.rows[record.id] for record in records]
    values = {
        "model": [index.row_models[row].name for row in rows],
        "scheme": [record.scheme.name for record in records],
        "method": [record.scheme.method or "none" for record in records],
        "format": [record.file_format.value for record in records],
        "bits per weight": [f"{float(index.bits[row]):.3g}" for row in rows],
        "files": ["held" if record.is_fetchable else "not held" for record in records],
        "evaluations": [str(len(index.evaluations_of(row))) for row in rows],
    }
    return tuple(ComparedFact(key=key, values=tuple(own)) for key, own in values.items())


def _notes(index: Index, rows: Sequence[int]) -> tuple[str, ...]:
    models = {index.row_models[row].id for row in rows}
    if len(models) == 1:
        return ()
    return ("These are builds of different models: each loss is against the model's own baseline.",)


def compare_plans(plans: Sequence[Plan]) -> Comparison:
    """Return stored answers side by side, by the figures they were stored with.

    Raises InvalidInput for fewer than two or too many.
    """
    _check_count(len(plans), "plans")
    chosen = [plan.result.chosen if isinstance(plan.result, Recommended) else None for plan in plans]
    parts = [{part.key: part.sentence for part in plan.understood} for plan in plans]
    keys = list(dict.fromkeys(key for part in parts for key in part))
    facts = [
        ("outcome", ["recommended" if candidate else "infeasible" for candidate in chosen]),
        ("variant", [candidate.name if candidate else "none" for candidate in chosen]),
        ("scheme", [candidate.scheme if candidate else "none" for candidate in chosen]),
        ("revision", [str(plan.revision) for plan in plans]),
        *((key, [part.get(key, "not asked") for part in parts]) for key in keys),
    ]
    notes: list[str] = []
    if len({plan.revision for plan in plans}) > 1:
        notes.append("The plans were made from different revisions of the registry: evidence may differ.")
    same = [key for key, values in facts[4:] if len(set(values)) == 1]
    if len(same) == len(facts) - 4:
        notes.append("The questions are the same.")
    return Comparison(
        things=tuple(
            Compared(
                name=candidate.name if candidate else "no answer",
                variant_id=candidate.variant_id if candidate else None,
                plan_id=plan.id,
                verdict=plan.query,
            )
            for plan, candidate in zip(plans, chosen, strict=True)
        ),
        facts=tuple(ComparedFact(key=key, values=tuple(values)) for key, values in facts),
        figures=tuple(figures_of(chosen, keys=None)),
        notes=tuple(notes),
    )
