"""Tasks: which records of a build count for a rule, paired with what it is held against, and the test they allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

import msgspec
import numpy as np

from planner.domain.anytime_test import AnytimeTest
from planner.domain.evaluation import Document, Evaluation, ItemOutcome
from planner.domain.loss import FEWEST_ITEMS, LossKind, bounds
from planner.domain.margin_test import MarginTest
from planner.domain.non_inferiority import CountsTest, document_test, outcome_test
from planner.domain.same_items import documents_between, outcomes_between
from planner.domain.statistics import noise_size
from planner.domain.units import Unit, format_value
from planner.errors import InvalidInput
from planner.gate.evidence import Evidence, asked_alike, sort_evaluations, task_name
from planner.gate.policy import Policy, TaskRule
from planner.gate.report import CheckKind, CheckState, Flip, Flips, GateCheck
from planner.gate.trial import Trial

SHOWN_FLIPS: Final = 20
"""Most changed items listed for a task."""
Item = TypeVar("Item", ItemOutcome, Document)


@dataclass(frozen=True)
class Records:
    """Paired records of one task, in the order in which they came in."""

    evaluation: Evaluation
    """The newest of those the records are from."""
    outcomes: tuple[ItemOutcome, ...] = ()
    documents: tuple[Document, ...] = ()
    evidence: tuple[str, ...] = ()
    stopped_early: bool = False
    """Whether an evaluation chose its own end, so that a test of fixed size means nothing."""


class NoRecords(Exception):
    """Why there is nothing to judge."""

    def __init__(self, state: CheckState, reason: str) -> None:
        super().__init__(reason)
        self.state, self.reason = state, reason


def task_trial(
    rule: TaskRule, policy: Policy, evidence: Evidence, *, now: datetime, sequential: bool
) -> tuple[Trial, Records | None]:
    """Return the trial of one task, and the records it is judged by."""
    unit = Unit.RATIO if rule.kind is LossKind.RELATIVE else Unit.POINTS
    check = GateCheck(
        kind=CheckKind.TASK,
        name=rule.title,
        rule=f"loss at most {format_value(rule.limit, unit)}",
        state=CheckState.MISSING,
        reason="",
        limit=rule.limit,
        evidence=tuple(
            each.id
            for each in of_task((*evidence.evaluations, *(evidence.reference_evaluations or ())), rule)
        ),
    )
    try:
        records = find_records(rule, policy, evidence, now=now, every=sequential)
        anytime = sequential or records.stopped_early
        test = _test(records, rule, anytime=anytime)
    except NoRecords as gap:
        return Trial(msgspec.structs.replace(check, state=gap.state, reason=gap.reason)), None
    except InvalidInput as error:
        return Trial(msgspec.structs.replace(check, reason=error.message)), None
    evaluation = records.evaluation
    noise, notes = _noise(records, rule, evidence)
    if records.stopped_early and not sequential:
        notes.append("the evaluation stopped by itself, so that only a test valid at every look applies")
    check = msgspec.structs.replace(
        check,
        name=f"{rule.task} ({evaluation.metric})",
        evidence=records.evidence,
        notes=tuple(notes),
        reason="judged with the others",
    )
    exact = isinstance(test, CountsTest) or (isinstance(test, AnytimeTest) and not evaluation.is_perplexity)
    trial = Trial(
        check,
        test,
        rule.limit,
        unit,
        evaluation.basis,
        noise,
        least=rule.min_items or policy.min_items or 1,
        fewest=1 if exact else FEWEST_ITEMS,
        counted="documents" if evaluation.is_perplexity else "items",
    )
    return trial, records


def find_records(
    rule: TaskRule, policy: Policy, evidence: Evidence, *, now: datetime, every: bool
) -> Records:
    """Return the records for a rule: those of the evaluation with most items, or, with `every`, of all that asked alike.

    Raises NoRecords.
    """
    mine = of_task(evidence.evaluations, rule)
    found = sort_evaluations(mine, policy.evidence, now=now)
    if not found.usable:
        raise _gap(rule, mine, found.stale, found.refused, evidence)
    theirs: list[Evaluation] | None = None
    if evidence.reference_evaluations is not None:
        sorted_theirs = sort_evaluations(
            of_task(evidence.reference_evaluations, rule), policy.evidence, now=now
        )
        theirs = sorted_theirs.usable
        if not theirs and not any(evidence.is_direct(each) for each in found.usable):
            name = evidence.reference.name if evidence.reference else policy.against
            state = CheckState.STALE if sorted_theirs.stale else CheckState.MISSING
            why = f": {sorted_theirs.stale[0]}" if sorted_theirs.stale else ""
            raise NoRecords(state, f"{name}, held against, has no usable evaluation on {rule.title}{why}")
    candidates = [
        paired
        for each in found.usable
        if (paired := _paired(each, theirs, direct=evidence.is_direct(each))) is not None
    ]
    if not candidates:
        raise NoRecords(CheckState.MISSING, _unpaired(found.usable, theirs, evidence))
    best = max(candidates, key=_preference)
    if not every:
        return best
    alike = [each for each in candidates if asked_alike(each.evaluation, best.evaluation)]
    return _merged(sorted(alike, key=lambda each: _time(each.evaluation)))


def flips_of(records: Records) -> Flips:
    """Return the items that changed, worst first; of documents those whose likelihood changed most."""
    if records.documents:
        changed = [
            Flip(
                id=each.id,
                reference=each.baseline_nll / each.tokens,
                variant=each.variant_nll / each.tokens,
                change=(each.variant_nll - each.baseline_nll) / each.tokens,
            )
            for each in records.documents
            if each.variant_nll != each.baseline_nll
        ]
    else:
        changed = [
            Flip(
                id=each.id,
                reference=each.baseline,
                variant=each.variant,
                change=each.baseline - each.variant,
            )
            for each in records.outcomes
            if each.baseline != each.variant
        ]
    changed.sort(key=lambda each: (-each.change, each.id))
    return Flips(
        task=records.evaluation.task,
        metric=records.evaluation.metric,
        worse=sum(each.change > 0 for each in changed),
        better=sum(each.change < 0 for each in changed),
        items=tuple(changed[:SHOWN_FLIPS]),
    )


def of_task(evaluations: Sequence[Evaluation], rule: TaskRule) -> list[Evaluation]:
    """Return the evaluations that a rule is about, whatever they are worth."""
    return [
        each
        for each in evaluations
        if task_name(each.task) == rule.task.casefold() and rule.metric in {None, each.metric}
    ]


def _gap(
    rule: TaskRule, mine: list[Evaluation], stale: list[str], refused: list[str], evidence: Evidence
) -> NoRecords:
    if stale:
        return NoRecords(CheckState.STALE, f"the newest evaluation is stale: {stale[0]}")
    if refused:
        return NoRecords(CheckState.MISSING, refused[0])
    if mine:
        return NoRecords(CheckState.MISSING, "no evaluation counts")
    others = sorted({f"{task_name(each.task)} ({each.metric})" for each in evidence.evaluations})
    known = f"; there are {', '.join(others[:8])}" if others else ""
    return NoRecords(CheckState.MISSING, f"it was never evaluated on {rule.title}{known}")


def _paired(evaluation: Evaluation, theirs: list[Evaluation] | None, *, direct: bool) -> Records | None:
    """Return the records of an evaluation: its own where it is `direct`, or against the other variant's of the same items."""
    if direct:
        if not (evaluation.documents or evaluation.outcomes or _has_counts(evaluation)):
            return None
        return Records(
            evaluation,
            outcomes=evaluation.outcomes,
            documents=evaluation.documents if evaluation.is_perplexity else (),
            evidence=(evaluation.id,),
            stopped_early=evaluation.certification is not None,
        )
    best: Records | None = None
    for other in theirs or ():
        if not asked_alike(other, evaluation):
            continue
        documents = documents_between(other, evaluation) if evaluation.is_perplexity else ()
        outcomes = () if evaluation.is_perplexity else outcomes_between(other, evaluation)
        if (documents or outcomes) and (
            best is None or len(documents) + len(outcomes) > len(best.documents) + len(best.outcomes)
        ):
            stopped = evaluation.certification is not None or other.certification is not None
            best = Records(evaluation, outcomes, documents, (evaluation.id, other.id), stopped)
    return best


def _has_counts(evaluation: Evaluation) -> bool:
    """Return whether four counts stand for items; those of a text are of tokens, which depend on each other."""
    return evaluation.counts is not None and not evaluation.is_perplexity


def _unpaired(usable: list[Evaluation], theirs: list[Evaluation] | None, evidence: Evidence) -> str:
    if theirs is None:
        counted = {evidence.no_bases.get(each.baseline_variant_id or "") for each in usable} - {None}
        if counted:
            names = ", ".join(sorted(name for name in counted if name is not None))
            return f"it is counted from {names}, which is no base: the model at its reference precision is"
        return f"{usable[0].id} holds a score only, no records by item: nothing can be paired"
    name = evidence.reference.name if evidence.reference else "the reference"
    return f"its evaluations and those of {name} share no items of the same data and protocol"


def _preference(records: Records) -> tuple[int, bool, float, str]:
    evaluation = records.evaluation
    return (_count(records), evaluation.metric == "acc_norm", _time(evaluation), evaluation.id)


def _count(records: Records) -> int:
    return len(records.documents) or len(records.outcomes) or records.evaluation.items or 0


def _time(evaluation: Evaluation) -> float:
    return evaluation.measured_at.timestamp() if evaluation.measured_at else 0.0


def _merged(parts: list[Records]) -> Records:
    """Return all records in the order they came in, each item once.

    Within an evaluation that used its items in the order of a file they are shuffled, always in the same way: a sorted beginning
    says nothing about the rest.
    """
    outcomes: dict[str, ItemOutcome] = {}
    documents: dict[str, Document] = {}
    for part in parts:
        for outcome in _shuffled(part.outcomes, part):
            outcomes.setdefault(outcome.id, outcome)
        for document in _shuffled(part.documents, part):
            documents.setdefault(document.id, document)
    return Records(
        parts[-1].evaluation,
        tuple(outcomes.values()),
        tuple(documents.values()),
        tuple(dict.fromkeys(each for part in parts for each in part.evidence)),
        any(part.stopped_early for part in parts),
    )


def _shuffled(items: tuple[Item, ...], part: Records) -> tuple[Item, ...]:
    if part.stopped_early:
        return items
    order: list[int] = np.random.default_rng(len(items)).permutation(len(items)).tolist()
    return tuple(items[index] for index in order)


def _test(records: Records, rule: TaskRule, *, anytime: bool) -> MarginTest:
    evaluation = records.evaluation
    if evaluation.is_perplexity:
        if rule.kind is LossKind.ABSOLUTE:
            raise NoRecords(
                CheckState.MISSING, "perplexity has no points: give its margin in percent of the base's"
            )
        documents = records.documents
        if not anytime:
            return document_test(documents)
        return AnytimeTest(
            [each.variant_nll - each.baseline_nll for each in documents],
            [each.tokens for each in documents],
            margin=rule.limit,
            bounded=False,
        )
    if not evaluation.higher_is_better:
        raise NoRecords(
            CheckState.MISSING, f"{evaluation.metric} is better when lower, and has no paired loss"
        )
    if not records.outcomes:
        if anytime or evaluation.counts is None:
            raise NoRecords(
                CheckState.MISSING, f"{evaluation.id} holds counts only: looking repeatedly needs items"
            )
        return CountsTest(evaluation.counts, rule.kind)
    if not anytime:
        return outcome_test(records.outcomes, rule.kind)
    relative = rule.kind is LossKind.RELATIVE
    return AnytimeTest(
        [each.baseline - each.variant for each in records.outcomes],
        [each.baseline if relative else 1.0 for each in records.outcomes],
        margin=rule.limit,
        bounded=True,
        percent=not relative,
    )


def _noise(records: Records, rule: TaskRule, evidence: Evidence) -> tuple[float, list[str]]:
    """Return the noise floor in the unit of the rule, and what is to be said of it."""
    evaluation = records.evaluation
    sizes: list[float] = []
    notes: list[str] = []
    if evaluation.noise_floor is not None:
        sizes.append(noise_size(evaluation.noise_floor))
    sizes += [_against_itself(other) for other in evidence.noise if asked_alike(other, evaluation)]
    if not sizes:
        notes.append("the noise floor is not known: the base was never run against itself")
    scale = 1.0 if rule.kind is LossKind.RELATIVE else 100 * evaluation.baseline_score
    return max(sizes, default=0.0) * scale, notes


def _against_itself(evaluation: Evaluation) -> float:
    """Return the relative loss that is noise, from an evaluation of the base against itself."""
    if evaluation.counts is not None and not evaluation.is_perplexity:
        return evaluation.counts.flips / max(evaluation.baseline_score, 1e-9)
    ends = bounds(evaluation.relative_loss) or (evaluation.relative_loss.value,)
    return max(abs(end) for end in ends)
