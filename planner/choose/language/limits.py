"""The constraints that the clauses of a query state, with the words that belong to the clause beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from planner.choose.language import words
from planner.choose.language.amounts import contradiction, pointing_at, refuse_bound
from planner.choose.language.clauses import (
    AccuracyStated,
    CertifiedOnly,
    Clause,
    ConfidenceStated,
    DiskStated,
    FormatNamed,
    LatencyStated,
    LicenseNamed,
    LossStated,
    QuantileNamed,
    Quantity,
    RecoveryStated,
    RuntimeNamed,
    SchemesNamed,
    Separator,
    TaskNamed,
    ThroughputStated,
    Unlimited,
)
from planner.choose.language.text import Source
from planner.domain.constraint import (
    Constraint,
    Direction,
    DiskLimit,
    FormatFilter,
    LatencyLimit,
    LicenseFilter,
    LossLimit,
    RuntimeFilter,
    SchemeFilter,
    Scope,
    ThroughputFloor,
)
from planner.domain.loss import CONFIDENCE, LossKind
from planner.domain.scenario import Origin
from planner.domain.units import parse_bytes, parse_seconds

ORDER: Final = (
    "loss", "ttft", "tpot", "itl", "e2e", "throughput", "disk", "scheme", "scheme-excluded", "runtime", "format", "license",
)  # fmt: skip
"""Order of constraints in a scenario, by the part of the key before the colon."""

_HUNDRED: Final = Decimal(100)


def constraint_order(key: str) -> tuple[int, str]:
    """Return the sort key of a constraint key, so that equal questions are equal scenarios."""
    head, _, rest = key.partition(":")
    return (ORDER.index(head) if head in ORDER else len(ORDER), rest)


@dataclass(slots=True)
class Limits:
    """Constraints asked for, by key, with the clause of each, and what the query says about a preset's."""

    source: Source
    asked: dict[str, Constraint] = field(default_factory=dict[str, Constraint])
    places: dict[str, Clause] = field(default_factory=dict[str, Clause])
    origins: dict[str, Origin] = field(default_factory=dict[str, Origin])
    """Origins of details inside a constraint, such as "ttft.quantile"."""
    unlimited: dict[str, Clause] = field(default_factory=dict[str, Clause])
    certified: CertifiedOnly | None = None
    """Set when every loss limit must be certified."""
    confidence: tuple[Clause, float] | None = None
    """Set when every loss bound is meant at another confidence than the default."""

    def add(self, clause: Clause, constraint: Constraint) -> None:
        """Add a constraint. Raises InvalidQuery when one of its key is there, or was said not to apply."""
        key = constraint.key
        if key in self.places:
            raise contradiction(self.source, _title(key), self.places[key], clause)
        if key in self.unlimited:
            raise contradiction(self.source, _title(key), self.unlimited[key], clause)
        self.asked[key] = constraint
        self.places[key] = clause


def _title(key: str) -> str:
    return key.replace("loss:", "loss on ").replace("scheme-excluded", "excluded scheme")


def read_limits(source: Source, clauses: Sequence[Clause]) -> Limits:
    """Return the constraints of a query. Raises InvalidQuery on contradictions and impossible numbers."""
    limits = Limits(source)
    for clause in clauses:
        if isinstance(clause, Unlimited):
            limits.unlimited[clause.key] = clause
    _Losses(limits).read(clauses)
    _read_latencies(limits, clauses)
    _read_schemes(limits, clauses)
    for clause in clauses:
        match clause:
            case ThroughputStated():
                limits.add(clause, _throughput(limits, clause))
            case DiskStated():
                limits.add(clause, _disk(source, clause))
            case RuntimeNamed():
                limits.add(clause, RuntimeFilter(name=clause.name))
            case FormatNamed():
                limits.add(clause, FormatFilter(name=clause.name))
            case LicenseNamed():
                limits.add(clause, LicenseFilter(name=clause.name))
            case _:
                pass
    return limits


# -- loss


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


# -- the others


def _read_latencies(limits: Limits, clauses: Sequence[Clause]) -> None:
    """Add latency limits; a quantile on its own belongs to the latency just before it, else to the next one."""
    stated: list[tuple[LatencyStated, list[str]]] = []
    waiting: QuantileNamed | None = None
    last: list[str] | None = None
    for clause in clauses:
        match clause:
            case LatencyStated():
                last = [clause.quantile] if clause.quantile else []
                if waiting is not None and not last:
                    last.append(waiting.quantile)
                    waiting = None
                stated.append((clause, last))
            case QuantileNamed() if last is not None and not last:
                last.append(clause.quantile)
            case QuantileNamed():
                if waiting is not None:
                    raise contradiction(limits.source, "percentile", waiting, clause)
                waiting = clause
            case Separator():
                pass
            case _:
                last = None
    if waiting is not None:
        raise limits.source.error(
            f"no latency is given for `{waiting.quantile}`",
            waiting.start,
            waiting.end,
            expected=(f"`{waiting.quantile} TTFT < 500ms`",),
        )
    for clause, quantiles in stated:
        limits.add(clause, _latency(limits.source, clause, quantiles))
        origin = Origin.ASKED if quantiles else Origin.DEFAULT
        limits.origins[f"{clause.metric.value}.quantile"] = origin


def _latency(source: Source, clause: LatencyStated, quantiles: Sequence[str]) -> LatencyLimit:
    name = clause.metric.value.upper()
    text = f"{clause.limit.number:f}{clause.limit.unit}"
    refuse_bound(source, clause.limit, Direction.UP, f"{name} is bounded from above", f"{name} ≤ {text}")
    with pointing_at(source, clause.limit):
        return LatencyLimit(
            metric=clause.metric,
            limit=parse_seconds(text, field=f"{clause.metric.value}.limit"),
            quantile=quantiles[0] if quantiles else "p50",
        )


def _throughput(limits: Limits, clause: ThroughputStated) -> ThroughputFloor:
    refuse_bound(
        limits.source,
        clause.rate,
        Direction.DOWN,
        "throughput is bounded from below",
        f"≥ {clause.rate.number:f} tok/s",
    )
    limits.origins["throughput.scope"] = Origin.DEFAULT if clause.scope is None else Origin.ASKED
    with pointing_at(limits.source, clause.rate):
        return ThroughputFloor(limit=float(clause.rate.number), scope=clause.scope or Scope.AGGREGATE)


def _disk(source: Source, clause: DiskStated) -> DiskLimit:
    text = f"{clause.size.number:f}{clause.size.unit}"
    refuse_bound(
        source, clause.size, Direction.UP, "size on disk is bounded from above", f"under {text} on disk"
    )
    with pointing_at(source, clause.size):
        return DiskLimit(limit=parse_bytes(text, field="disk.limit", binary=False))


def _read_schemes(limits: Limits, clauses: Sequence[Clause]) -> None:
    """Add the scheme filters. Exclusions add up; schemes wanted in two places contradict each other."""
    excluded: list[str] = []
    place: Clause | None = None
    for clause in clauses:
        if not isinstance(clause, SchemesNamed):
            continue
        named, exclude = _scheme_names(limits.source, clause)
        if exclude:
            excluded += named
            place = place or clause
        else:
            limits.add(clause, SchemeFilter(words=tuple(dict.fromkeys(named))))
    if place is not None:
        limits.add(place, SchemeFilter(words=tuple(dict.fromkeys(excluded)), exclude=True))


def _scheme_names(source: Source, clause: SchemesNamed) -> tuple[list[str], bool]:
    """Return the words of a scheme clause and whether they are excluded: "quantized" excludes the 16- and 32-bit ones."""
    named: list[str] = []
    for scheme in clause.schemes:
        word = words.joined_scheme(scheme.words)
        if word is None:
            raise source.error(
                f"scheme is given twice: `{' '.join(scheme.words)}`",
                scheme.start,
                scheme.end,
                expected=(f"`{' or '.join(scheme.words)}`",),
            )
        if word.startswith("safetensor"):
            raise source.error(
                "safetensors cannot be excluded; ask for the other format",
                scheme.start,
                scheme.end,
                suggestion="gguf",
            )
        named.append(word)
    if named in (["quantized"], ["quantised"]):
        return list(words.REFERENCE_SCHEMES), not clause.exclude
    if named in (["unquantized"], ["unquantised"], ["未量化"]):
        return list(words.REFERENCE_SCHEMES), clause.exclude
    return named, clause.exclude
