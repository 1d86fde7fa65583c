"""Open figures: what of a variant a job would settle, and what is known of where the measured value will lie.

An evaluation settles loss; a measurement settles peak memory and every time. A figure with an interval is drawn from it. A
published loss has none and is drawn from how far apart such reports lie; a loss that nobody measured, from what its scheme
lost on other models. Where nothing is known there are no draws, and no probability is made up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar, Final

import numpy as np

from planner.choose.candidate import UNMEASURED, detail_of, figure_of
from planner.choose.feasible import MEMORY, Assessment, Judgement
from planner.choose.losses import CODE, VERDICTS
from planner.choose.rank import token_costs
from planner.choose.reported_twice import reported_spread
from planner.choose.scheme_losses import ENOUGH, SchemeLosses, SchemeRecords
from planner.choose.spread import at_scores, scores
from planner.choose.timed import asked_of, is_firm, is_timed, spread_of
from planner.domain.advice import OpenFigure
from planner.domain.constraint import LossLimit
from planner.domain.figure import Basis
from planner.domain.job import JobKind
from planner.domain.loss import LossKind
from planner.domain.outcome import Verdict
from planner.domain.scenario import Objective
from planner.estimate.calibration import CENTRAL, Metric
from planner.estimate.columns import Booleans, Floats
from planner.estimate.memory import Term, fit_score, required_score
from planner.estimate.priors import CONFIDENCE as MEMORY_CONFIDENCE
from planner.estimate.priors import PEAK_SPREAD

DRAWS: Final = 256
_NORMAL: Final = NormalDist()
_Z_FIRST: Final = scores(DRAWS, base=2)
_Z_SECOND: Final = scores(DRAWS, base=3)
_SHARES: Final = np.array([_NORMAL.cdf(z) for z in _Z_FIRST])


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """What a job on one variant may find: per draw whether it satisfies every constraint, and the figures it changes."""

    accepted: Booleans
    loss: Floats | None = None
    total: Floats | None = None
    values: Floats | None = None
    """What the objective minimizes, where the job changes it."""
    settles_loss: bool = False
    settles_speed: bool = False


class OpenFigures(ABC):
    """The figures that one kind of job settles."""

    kind: ClassVar[JobKind]

    def __init__(self, assessment: Assessment) -> None:
        self.assessment = assessment
        self.objective = assessment.setting.scenario.objective
        self.own = [judgement for judgement in assessment.judgements if self.settles(judgement)]

    @abstractmethod
    def settles(self, judgement: Judgement) -> bool:
        """Return whether a job of this kind settles the constraint."""

    @abstractmethod
    def open(self, position: int) -> tuple[OpenFigure, ...]:
        """Return the figures of a position that are not settled and could matter; empty when none is."""

    @abstractmethod
    def draws(self, position: int) -> Draws | None:
        """Return what a job may find, None when nothing is known of an open figure's spread."""

    @abstractmethod
    def assumed(self, position: int) -> tuple[str, ...]:
        """Return where the spread of each open figure comes from, in words."""

    def limit_of(self, position: int) -> LossLimit | None:
        """Return the loss limit that a job should decide."""
        del position
        return self.assessment.limit

    def eligible(self) -> Booleans:
        """Return the positions that no other constraint keeps out."""
        others = np.array([not self.settles(judgement) for judgement in self.assessment.judgements])
        kept: Booleans = np.logical_not(self.assessment.failures[others].any(axis=0))
        return kept


class Losses(OpenFigures):
    """Loss, settled by evaluating the variant against its baseline."""

    kind: ClassVar[JobKind] = JobKind.EVALUATE

    def __init__(self, assessment: Assessment) -> None:
        super().__init__(assessment)
        self._records: dict[tuple[int, LossKind, str | None], SchemeRecords] = {}
        self._reports: dict[tuple[LossKind, str | None], tuple[float, int] | None] = {}
        limits = [j.constraint for j in self.own if isinstance(j.constraint, LossLimit)]
        self._wanted: list[tuple[LossKind, str | None, float]] = [
            (limit.kind, limit.task, limit.limit) for limit in limits
        ]
        if not self._wanted and self.objective is Objective.MOST_ACCURATE:
            self._wanted = [(LossKind.RELATIVE, None, np.inf)]

    def settles(self, judgement: Judgement) -> bool:
        """Return whether the constraint is on loss."""
        return isinstance(judgement.constraint, LossLimit)

    def limit_of(self, position: int) -> LossLimit | None:
        """Return the first limit that is not settled, else the first."""
        for judgement in self.own:
            if isinstance(judgement.constraint, LossLimit) and not _is_settled(judgement, position):
                return judgement.constraint
        return self.assessment.limit

    def open(self, position: int) -> tuple[OpenFigure, ...]:
        """Return losses that are neither certified nor violated, or, where accuracy is asked for, not measured."""
        row = int(self.assessment.rows[position])
        if self.assessment.index.baseline[row]:
            return ()
        found = [
            OpenFigure(
                key=judgement.key,
                why=_why_open(judgement, position),
                figure=figure_of(self.assessment, judgement, position),
            )
            for judgement in self.own
            if not _is_settled(judgement, position)
        ]
        if not self.own and self._wanted:
            answer = self.assessment.losses.answers[row]
            if answer is None or answer.figure.basis is not Basis.MEASURED:
                figure = answer.figure if answer else None
                found.append(
                    OpenFigure(key="loss", why=figure.basis.value if figure else UNMEASURED, figure=figure)
                )
        return tuple(found)

    def draws(self, position: int) -> Draws | None:
        """Return losses drawn together: a build that loses more on one task loses more on another."""
        drawn = [self._draw(position, kind, task) for kind, task, _ in self._wanted]
        known = [draw for draw in drawn if draw is not None]
        if not known or len(known) < len(drawn):
            return None
        accepted = np.ones(DRAWS, dtype=np.bool_)
        for draw, (_, _, limit) in zip(known, self._wanted, strict=True):
            accepted &= draw <= limit
        accurate = self.objective is Objective.MOST_ACCURATE
        return Draws(
            accepted=accepted,
            loss=known[0],
            values=np.maximum(known[0], 0.0) if accurate else None,
            settles_loss=True,
        )

    def _draw(self, position: int, kind: LossKind, task: str | None) -> Floats | None:
        losses = self.assessment.index.losses(kind, task)
        row = int(self.assessment.rows[position])
        answer = losses.answers[row]
        if answer is None:
            beside = self._beside(row, kind, task)
            return beside.quantiles(_SHARES) if len(beside.values) >= ENOUGH else None
        value, interval = answer.figure.value, answer.figure.interval
        if interval is not None:
            return at_scores(
                value,
                interval.lo,
                interval.hi,
                _Z_FIRST,
                confidence=interval.confidence,
                logarithmic=False,
            )
        spread = self._report(kind, task)
        if spread is None:
            return None
        return np.asarray(value + spread[0] * _Z_FIRST)

    def _beside(self, row: int, kind: LossKind, task: str | None) -> SchemeLosses:
        index = self.assessment.index
        code = int(index.scheme[row])
        key = (code, kind, task)
        if key not in self._records:
            self._records[key] = SchemeRecords(index, index.schemes[code], kind=kind, task=task)
        return self._records[key].beside(index.row_models[row])

    def _report(self, kind: LossKind, task: str | None) -> tuple[float, int] | None:
        if (kind, task) not in self._reports:
            self._reports[kind, task] = reported_spread(self.assessment.index, kind, task)
        return self._reports[kind, task]

    def assumed(self, position: int) -> tuple[str, ...]:
        """Return which distribution each loss was drawn from."""
        row = int(self.assessment.rows[position])
        return tuple(dict.fromkeys(self._source(row, kind, task) for kind, task, _ in self._wanted))

    def _source(self, row: int, kind: LossKind, task: str | None) -> str:
        answer = self.assessment.index.losses(kind, task).answers[row]
        if answer is None:
            beside = self._beside(row, kind, task)
            count = len(beside.values)
            if count < ENOUGH:
                return f"loss: not known, only {count} other models were evaluated with such a scheme"
            return f"loss: {beside.match}, {count} other models"
        if answer.figure.interval is not None:
            return "loss: the interval of its own evidence"
        spread = self._report(kind, task)
        if spread is None:
            return "loss: not known, the report has no interval and too few builds were reported twice"
        return f"loss: around the report, as far as {spread[1]} pairs of reports on the same scheme and model lie apart"


class Places(OpenFigures):
    """Peak memory and times, settled by measuring the variant on the device at the workload."""

    kind: ClassVar[JobKind] = JobKind.MEASURE

    def __init__(self, assessment: Assessment) -> None:
        super().__init__(assessment)
        paces: dict[Objective, Metric] = {
            Objective.FASTEST: "tpot",
            Objective.HIGHEST_THROUGHPUT: "per_token",
        }
        self._pace: Metric | None = paces.get(self.objective)
        if self.objective is Objective.CHEAPEST and assessment.setting.scenario.price is not None:
            self._pace = "per_token"
        if self._pace and not np.isfinite(assessment.speeds.of(self._pace).value[assessment.accepted]).any():
            self._pace = None  # the planner orders by bytes then, which no measurement changes

    def settles(self, judgement: Judgement) -> bool:
        """Return whether the constraint is on memory or time."""
        return judgement.key == MEMORY or is_timed(judgement)

    def _memory_is_open(self, position: int) -> bool:
        peaks = self.assessment.peaks
        return peaks is None or not (
            peaks.exact[position]
            and peaks.rank[position] <= Basis.IMPORTED.rank
            and not peaks.stale[position]
        )

    def _is_measurable(self, judgement: Judgement, position: int) -> bool:
        if judgement.key == MEMORY:
            return self._memory_is_open(position)
        asked = asked_of(self.assessment, judgement, position)
        placed = self.assessment.setting.device is not None
        return placed and not is_firm(self.assessment, asked.metric, asked.quantile, position)

    def open(self, position: int) -> tuple[OpenFigure, ...]:
        """Return memory and times that were not recorded at this very workload and hardware."""
        assessment = self.assessment
        if assessment.setting.device is None and any(
            judgement.key != MEMORY and not judgement.accepted[position] for judgement in self.own
        ):
            return ()  # without a device no measurement makes it fast enough
        found = [
            OpenFigure(
                key=judgement.key,
                why=self._why(judgement, position),
                figure=figure_of(assessment, judgement, position),
            )
            for judgement in self.own
            if self._is_measurable(judgement, position)
        ]
        if self._pace is not None and not is_firm(assessment, self._pace, CENTRAL, position):
            figure = assessment.speeds.figure(self._pace, CENTRAL, position)
            why = figure.basis.value if figure else "unknown"
            found.append(OpenFigure(key=self.objective.value, why=why, figure=figure))
        return tuple(found)

    def _why(self, judgement: Judgement, position: int) -> str:
        figure = figure_of(self.assessment, judgement, position)
        if figure is None:
            return detail_of(self.assessment, judgement, position) or "unknown"
        return figure.basis.value

    def draws(self, position: int) -> Draws | None:
        """Return memory and times drawn apart from each other; all times of a build are fast or slow together."""
        accepted = np.ones(DRAWS, dtype=np.bool_)
        total = self._total(position)
        for judgement in self.own:
            if judgement.key == MEMORY:
                accepted &= self._fits(total)
                continue
            asked = asked_of(self.assessment, judgement, position)
            times = self._times(asked.metric, asked.quantile, position)
            if times is None:
                return None
            accepted &= times <= asked.seconds
        values = None
        if self._pace is not None:
            values = self._times(self._pace, CENTRAL, position)
            if values is None:
                return None
            if self.objective is Objective.CHEAPEST:  # a price per hour makes a cost of each token's time
                central = float(self.assessment.speeds.of(self._pace, CENTRAL).value[position])
                values *= float(token_costs(self.assessment)[position]) / central
        elif self.objective is Objective.CHEAPEST:
            values = total * float(self.assessment.terms.degree[position])
        return Draws(
            accepted=accepted,
            total=total,
            values=values,
            settles_speed=self.assessment.setting.device is not None,
        )

    def _total(self, position: int) -> Floats:
        term = self.assessment.total
        value, lo, hi = (float(end[position]) for end in (term.value, term.lo, term.hi))
        if not self._memory_is_open(position):
            return np.full(DRAWS, value)
        return at_scores(
            value,
            min(lo, value),
            max(hi, value),
            _Z_FIRST,
            confidence=MEMORY_CONFIDENCE,
            logarithmic=False,
        )

    def _fits(self, total: Floats) -> Booleans:
        """Return whether measured peaks would be said to fit: their repeatability is all the doubt that is left."""
        capacity = self.assessment.setting.capacity
        if capacity is None:
            return np.ones(len(total), dtype=np.bool_)
        measured = Term(total, total * PEAK_SPREAD.lo, total * PEAK_SPREAD.hi)
        fits: Booleans = fit_score(measured, capacity) >= required_score(
            self.assessment.setting.scenario.risk
        )
        return fits

    def _times(self, metric: Metric, quantile: str, position: int) -> Floats | None:
        spread = spread_of(self.assessment, metric, quantile, position)
        if spread is None:
            return None
        if self.assessment.setting.device is None or is_firm(self.assessment, metric, quantile, position):
            return np.full(DRAWS, spread.value)
        return at_scores(
            spread.value,
            spread.lo,
            spread.hi,
            _Z_SECOND,
            confidence=spread.confidence,
            logarithmic=True,
        )

    def assumed(self, position: int) -> tuple[str, ...]:
        """Return which intervals were drawn from."""
        opened = self.open(position)
        found: list[str] = []
        if any(figure.key == MEMORY for figure in opened):
            found.append(f"memory: the estimate's {MEMORY_CONFIDENCE:.0%} interval")
        if any(figure.key != MEMORY for figure in opened):
            found.append("time: the estimate's interval, all times fast or slow together")
        return tuple(found)


def _is_settled(judgement: Judgement, position: int) -> bool:
    return int(judgement.verdict[position]) in {CODE[Verdict.CERTIFIED], CODE[Verdict.VIOLATED]}


def _why_open(judgement: Judgement, position: int) -> str:
    said = VERDICTS[int(judgement.verdict[position])]
    return UNMEASURED if said is Verdict.UNKNOWN else f"{said.value}, not certified"
