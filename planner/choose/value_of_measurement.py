"""Value of measurement: which measurement would most likely change the answer.

A measurement changes the answer when the measured figure lets another variant be chosen. For each variant the figures
that are not settled are drawn evenly from what is known of them (`planner.choose.open_figures`), put in the place of the
estimate as if measured without error, and ranked against the best of the others by the planner's own keys. The share of
draws that end with another choice is the probability. One job at a time: what only two measurements together would change
is not listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import numpy as np

from planner.choose.feasible import Assessment, assess_selected, baselines_stand_back, doubts
from planner.choose.index import Index
from planner.choose.open_figures import Draws, Losses, OpenFigures, Places
from planner.choose.rank import SHORTLIST, objective_values, rank, ranking_keys
from planner.choose.relax import nearest
from planner.choose.setting import resolve
from planner.choose.suggest import evaluating, measuring
from planner.choose.timed import is_timed
from planner.domain.advice import MeasurementAdvice, WorthMeasuring
from planner.domain.job import JobKind
from planner.domain.scenario import Objective, Scenario
from planner.domain.variant import Variant
from planner.estimate.columns import Booleans, Floats, Integers

MAX_MEASUREMENTS: Final = 20
LEAST: Final = 0.005
"""Probability below which a measurement is not listed."""
_SPEED_OBJECTIVES: Final = frozenset({Objective.FASTEST, Objective.HIGHEST_THROUGHPUT})


def measurements(scenario: Scenario, index: Index, *, now: datetime | None = None) -> MeasurementAdvice:
    """Return the measurements that could change the answer to `scenario`, likeliest first.

    Raises NotFound for an unknown device or model.
    """
    assessment = assess_selected(index, resolve(scenario, index, now=now))
    order = rank(assessment)
    contest = Contest(assessment, order)
    positions = np.concatenate((order[:SHORTLIST], _rejected(assessment)))
    found: list[WorthMeasuring] = []
    for figures in (Losses(assessment), Places(assessment)):
        found += _of_kind(assessment, contest, figures, positions)
    nearness = {
        index.records[int(assessment.rows[position])].id: number
        for number, position in enumerate(positions.tolist())
    }
    found.sort(
        key=lambda each: (
            each.probability is None,
            -(each.probability or 0.0),
            each.job.blocked is not None,
            nearness[each.variant_id],
        )
    )
    chosen = index.records[int(assessment.rows[order[0]])] if len(order) else None
    return MeasurementAdvice(
        chosen_id=chosen.id if chosen else None,
        chosen=chosen.name if chosen else None,
        measurements=tuple(found[:MAX_MEASUREMENTS]),
        considered=len(positions),
        unmeasurable=tuple(_unmeasurable(assessment)),
    )


def _rejected(assessment: Assessment) -> Integers:
    """Return rejected positions, nearest misses first, as many as are worth trying."""
    if not len(assessment.rows):
        return np.zeros(0, dtype=np.int64)
    order = nearest(assessment)
    rejected: Integers = order[~assessment.accepted[order]]
    return rejected[:SHORTLIST]


def _unmeasurable(assessment: Assessment) -> Iterator[str]:
    limits = any(is_timed(judgement) for judgement in assessment.judgements)
    objective = assessment.setting.scenario.objective
    if assessment.setting.device is None and (limits or objective in _SPEED_OBJECTIVES):
        yield "speed depends on the device: name one, and its measurements count"


def _of_kind(
    assessment: Assessment, contest: Contest, figures: OpenFigures, positions: Integers
) -> Iterator[WorthMeasuring]:
    index = assessment.index
    eligible = figures.eligible()
    for position in positions[eligible[positions]].tolist():
        opened = figures.open(position)
        if not opened:
            continue
        draws = figures.draws(position)
        probability, other = None, contest.best_beside(position)
        if draws is not None:
            wins, other = contest.wins(position, draws)
            share = float(wins.mean())
            probability = 1 - share if position == contest.chosen else share
            if probability < LEAST:
                continue
        elif not contest.might_win(position):
            continue
        row = int(assessment.rows[position])
        variant = index.records[row]
        becomes: Variant | None = variant
        if position == contest.chosen:
            becomes = index.records[int(assessment.rows[other])] if other is not None else None
        job = (
            measuring(assessment, position)
            if figures.kind is JobKind.MEASURE
            else evaluating(assessment, position, figures.limit_of(position))
        )
        yield WorthMeasuring(
            variant_id=variant.id,
            model_id=variant.model_id,
            name=variant.name,
            open=opened,
            probability=probability,
            assumed=figures.assumed(position),
            becomes=becomes.name if becomes else None,
            becomes_id=becomes.id if becomes else None,
            job=job,
        )


class Contest:
    """Who would be chosen if one variant's figures were others.

    Of the rest only two orders are possible, and both are kept: with and without the baselines standing back.
    """

    def __init__(self, assessment: Assessment, order: Integers) -> None:
        self.assessment = assessment
        self.chosen = int(order[0]) if len(order) else None
        self.values = objective_values(assessment)
        self.speed, self.loss = doubts(assessment.judgements, len(assessment.rows))
        self.baseline: Booleans = assessment.index.baseline[assessment.rows]
        accepted = assessment.accepted
        self._likely = accepted & self.loss
        self._evident = accepted & ~self.baseline & ~self.loss
        self._counts = int(self._likely.sum()), int(self._evident.sum())
        self._leaders = {back: self._first_two(stand_back=back) for back in (False, True)}

    def _tier(self, *, stand_back: bool) -> Integers:
        return self.speed + 2 * (self.loss | (self.baseline & stand_back))

    def _first_two(self, *, stand_back: bool) -> list[int]:
        positions = np.flatnonzero(self.assessment.accepted)
        keys = ranking_keys(
            self.assessment,
            positions,
            tier=self._tier(stand_back=stand_back)[positions],
            values=self.values[positions],
            loss=self.assessment.loss[positions],
            total=self.assessment.total.value[positions],
        )
        ordered: Integers = positions[np.lexsort(tuple(key for _, key in reversed(keys)))]
        return [int(position) for position in ordered[:2]]

    def _stands_back(self, position: int, *, accepted: bool, likely: bool) -> bool:
        """Return whether baselines stand back when this position is accepted, with a likely loss or a certified one."""
        counts = [
            self._counts[0] - int(self._likely[position]) + int(accepted and likely),
            self._counts[1]
            - int(self._evident[position])
            + int(accepted and not likely and not self.baseline[position]),
        ]
        objective = self.assessment.setting.scenario.objective
        return baselines_stand_back(objective, likely=counts[0] > 0, evident=counts[1] > 0)

    def _best_other(self, position: int, *, stand_back: bool) -> int | None:
        return next((other for other in self._leaders[stand_back] if other != position), None)

    def best_beside(self, position: int) -> int | None:
        """Return the best of the others if this one fell, None when there is none."""
        return self._best_other(
            position, stand_back=self._stands_back(position, accepted=False, likely=False)
        )

    def wins(self, position: int, draws: Draws) -> tuple[Booleans, int | None]:
        """Return in which draws the position is chosen, and the best of the others where it is not accepted."""
        likely = bool(self.loss[position]) and not draws.settles_loss
        back = self._stands_back(position, accepted=True, likely=likely)
        other = self._best_other(position, stand_back=back)
        won = draws.accepted.copy()
        if other is not None:
            doubt = likely or (back and bool(self.baseline[position]))
            speed = bool(self.speed[position]) and not draws.settles_speed
            tier = np.full(len(won), int(speed) + 2 * int(doubt))
            won &= self._is_before(position, draws, tier, other, stand_back=back)
        return won, self.best_beside(position)

    def _is_before(
        self, position: int, draws: Draws, tier: Integers, other: int, *, stand_back: bool
    ) -> Booleans:
        own = ranking_keys(
            self.assessment,
            np.array([position]),
            tier=tier,
            values=_drawn(draws.values, self.values[position]),
            loss=_drawn(draws.loss, self.assessment.loss[position]),
            total=_drawn(draws.total, self.assessment.total.value[position]),
        )
        place = np.array([other])
        theirs = ranking_keys(
            self.assessment,
            place,
            tier=self._tier(stand_back=stand_back)[place],
            values=self.values[place],
            loss=self.assessment.loss[place],
            total=self.assessment.total.value[place],
        )
        before = np.zeros(len(tier), dtype=np.bool_)
        equal = np.ones(len(tier), dtype=np.bool_)
        for (_, mine), (_, its) in zip(own, theirs, strict=True):
            before |= equal & (mine < its)
            equal &= mine == its
        return before

    def might_win(self, position: int) -> bool:
        """Return whether a variant with an unknown figure is not surely behind: by what is known it would come first.

        For the chosen one any surprise matters.
        """
        if position == self.chosen or self.chosen is None:
            return True
        objective = self.assessment.setting.scenario.objective
        own, best = self.values[position], self.values[self.chosen]
        return bool(own < best) if objective is not Objective.MOST_ACCURATE else bool(best > 0)


def _drawn(draws: Floats | None, known: np.float64) -> Floats:
    return np.array([known], dtype=np.float64) if draws is None else draws
