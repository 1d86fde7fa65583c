"""The loss limits of a query: which tasks, which certainty, and how accuracy and recovery mean a loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from planner.choose.language.amounts import contradiction, pointing_at, refuse_bound
from planner.choose.language.clauses import (
    AccuracyStated,
    CertifiedOnly,
    Clause,
    ConfidenceStated,
    LossStated,
    Quantity,
    RecoveryStated,
    Separator,
    TaskNamed,
)
from planner.choose.language.gathered import Limits
from planner.choose.language.text import Source
from planner.domain.constraint import Direction, LossLimit
from planner.domain.loss import CONFIDENCE, LossKind
from planner.domain.scenario import Origin

_HUNDRED: Final = Decimal(100)


def read_losses(limits: Limits, clauses: Sequence[Clause]) -> None:
    """Add the loss limits of a query. Raises InvalidQuery on contradictions and on tasks without a loss."""
    _Losses(limits).read(clauses)


@dataclass(slots=True)
class _Loss:
    clause: Clause
    limit: float
    kind: LossKind
    tasks: list[str] = field(default_factory=list[str])
    certified: bool = False
    confidence: float | None = None


@dataclass(slots=True)
class _Losses:
    """Gathers loss limits with the tasks, "certified" and confidence that stand beside them.

    A task belongs to the loss before it when nothing but tasks and separators lie between, else to the next loss. With
    more tasks than losses, each task gets a limit of its own. "Certified" and a confidence belong to the loss they
    touch; set apart by a separator, to every loss.
    """

    limits: Limits
    losses: list[_Loss] = field(default_factory=list[_Loss])
    last: _Loss | None = None
    waiting: list[TaskNamed] = field(default_factory=list[TaskNamed])
    touching: bool = False
    certified_next: CertifiedOnly | None = None

    def read(self, clauses: Sequence[Clause]) -> None:
        for clause in clauses:
            self._take(clause)
            self.touching = not isinstance(clause, Separator)
        self._settle_certified()
        if self.waiting:
            self._settle_waiting()
        for loss in self.losses:
            self._add(loss)

    def _take(self, clause: Clause) -> None:
        match clause:
            case LossStated() | RecoveryStated() | AccuracyStated():
                self._open(clause)
                return
            case Separator():
                self._settle_certified()
                return
            case TaskNamed() if self.last is not None:
                self.last.tasks.append(clause.task)
            case TaskNamed():
                self.waiting.append(clause)
            case CertifiedOnly() if self.last is not None and self.touching:
                self.last.certified = True
                return
            case CertifiedOnly():
                self._settle_certified()
                self.certified_next = clause
                return
            case ConfidenceStated():
                self._take_confidence(clause)
                return
            case _:
                self.last = None
        self._settle_certified()

    def _open(self, clause: LossStated | RecoveryStated | AccuracyStated) -> None:
        loss = _loss(self.limits.source, clause)
        if clause.task is not None:
            loss.tasks.append(clause.task)
        elif self.waiting:
            loss.tasks += [task.task for task in self.waiting]
            self.waiting.clear()
        if self.certified_next is not None:
            loss.certified, self.certified_next = True, None
        self.losses.append(loss)
        self.last = loss

    def _settle_certified(self) -> None:
        """Let "certified" that touches no loss hold for all of them."""
        if self.certified_next is not None:
            self.limits.certified, self.certified_next = self.certified_next, None

    def _take_confidence(self, clause: ConfidenceStated) -> None:
        source = self.limits.source
        refuse_bound(source, clause.amount, Direction.DOWN, "confidence is what is reached", "95% confidence")
        value = float(clause.amount.number / _HUNDRED)
        with pointing_at(source, clause.amount):
            LossLimit(limit=0.0, confidence=value)
        if self.last is not None and self.touching:
            self.last.confidence = value
        elif self.limits.confidence is not None:
            raise contradiction(source, "confidence", self.limits.confidence[0], clause)
        else:
            self.limits.confidence = (clause, value)

    def _settle_waiting(self) -> None:
        """Give a task that stands far from its loss to the only loss without one."""
        free = [loss for loss in self.losses if not loss.tasks]
        first = self.waiting[0]
        if len(free) != 1:
            raise self.limits.source.error(
                f"no loss is given for task `{first.task}`",
                first.start,
                first.end,
                expected=(f"`≤1% loss on {first.task}`",),
            )
        free[0].tasks += [task.task for task in self.waiting]

    def _add(self, loss: _Loss) -> None:
        everywhere = self.limits.confidence
        confidence = (
            loss.confidence if loss.confidence is not None else everywhere[1] if everywhere else CONFIDENCE
        )
        certified = loss.certified or self.limits.certified is not None
        tasks: list[str | None] = [*loss.tasks] if loss.tasks else [None]
        for task in tasks:
            with pointing_at(self.limits.source, loss.clause):
                constraint = LossLimit(
                    limit=loss.limit,
                    kind=loss.kind,
                    task=task,
                    certified_only=certified,
                    confidence=confidence,
                )
            self.limits.add(loss.clause, constraint)
            stated = loss.confidence is not None or everywhere is not None
            self.limits.origins[f"{constraint.key}.confidence"] = Origin.ASKED if stated else Origin.DEFAULT


def _loss(source: Source, clause: LossStated | RecoveryStated | AccuracyStated) -> _Loss:
    match clause:
        case LossStated():
            return _stated_loss(source, clause, clause.amount, clause.kind)
        case RecoveryStated():
            return _recovery(source, clause, clause.amount)
        case AccuracyStated():
            return _accuracy(source, clause)


def _stated_loss(source: Source, clause: Clause, amount: Quantity, kind: LossKind | None) -> _Loss:
    instead = f"≤ {amount.number:f}{'%' if amount.unit == '%' else ' points'} loss"
    refuse_bound(source, amount, Direction.UP, "a loss is bounded from above", instead)
    if amount.unit == "points":
        if kind is LossKind.RELATIVE:
            raise source.error(
                "points are an absolute loss, a relative one is in percent",
                clause.start,
                clause.end,
                expected=("`relative loss ≤ 1%`", "`loss ≤ 1 point`"),
            )
        return _Loss(clause, float(amount.number), LossKind.ABSOLUTE)
    if kind is LossKind.ABSOLUTE:
        return _Loss(clause, float(amount.number), LossKind.ABSOLUTE)
    return _Loss(clause, float(amount.number / _HUNDRED), LossKind.RELATIVE)


def _recovery(source: Source, clause: Clause, amount: Quantity) -> _Loss:
    refuse_bound(
        source, amount, Direction.DOWN, "recovery is bounded from below", f"recovery ≥ {amount.number:f}%"
    )
    if not 0 < amount.number <= _HUNDRED:
        raise source.error(
            f"recovery: {amount.number:.6g}% is out of range",
            amount.start,
            amount.end,
            expected=("more than 0, at most 100%",),
        )
    return _Loss(clause, float((_HUNDRED - amount.number) / _HUNDRED), LossKind.RELATIVE)


def _accuracy(source: Source, clause: AccuracyStated) -> _Loss:
    """Read "within 1 % of the baseline" as a loss and "99 % of the baseline" as a recovery; refuse anything vaguer."""
    amount = clause.amount
    is_small = amount.number <= _HUNDRED / 2
    if amount.bound is Direction.DOWN and is_small:
        return _stated_loss(source, clause, amount, None)
    if clause.against_baseline and amount.bound is not Direction.DOWN and amount.unit == "%":
        return _recovery(source, clause, amount)
    instead = f"recovery ≥ {amount.number:f}%" if amount.unit == "%" and not is_small else "loss ≤ 1%"
    raise source.error(
        "`accuracy` may mean a score or the share of the baseline that is kept",
        clause.start,
        clause.end,
        expected=("`recovery ≥ 99%`", "`loss ≤ 1%`", "`loss ≤ 1 point on mmlu`"),
        suggestion=instead,
    )
