"""Shortlist: the few rows that an answer can show, out of all a survey found acceptable or not.

Every one of them is the exact choice of the full ranking, the full list of near misses or the full frontier: what is left
out comes after what is kept by the very keys the answer is ordered by, or is beaten by it. The rows kept are then judged
and explained as if they were all there are, beside a census of the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from planner.choose.census import TIERS, Census
from planner.choose.explain import MAX_LISTED
from planner.choose.feasible import (
    Assessment,
    Judgement,
    assess_rows,
    baselines_stand_back,
    doubts,
    judge_by_row,
    tally,
    tiers,
)
from planner.choose.least import Column, Keys, Values, least, least_by_weight, smallest
from planner.choose.losses import Codes32
from planner.choose.margins import ON_HARDWARE, ON_WORKLOAD, PAST, by_row, counted, margins, past
from planner.choose.rank import objective_values
from planner.choose.survey import Survey, is_by_row
from planner.domain.constraint import DiskLimit, LossLimit
from planner.domain.loss import LossKind
from planner.domain.scenario import Objective
from planner.estimate.calibration import Metric
from planner.estimate.columns import Floats, Integers

RANKED: Final = 64
"""Accepted rows kept at least: more than an answer lists."""
NEAREST: Final = 5
"""Nearest misses kept at least where nothing is accepted: as many as are shown, and loosened jointly."""


def _clipped(margin: Floats) -> Floats:
    """Return margins as they count among several: none less than nothing, none more than PAST."""
    found: Floats = np.clip(np.nan_to_num(margin, posinf=PAST), 0.0, PAST)
    return found


class Shortlist:
    """What can be shown of the rows of a survey."""

    def __init__(self, survey: Survey, *, best_alone: bool = False) -> None:
        """With `best_alone`, only what comes first is kept, not what an answer shows beside it."""
        self.survey: Final = survey
        self.index: Final = survey.index
        scenario = survey.setting.scenario
        self._scenario: Final = scenario
        limit = next((c for c in scenario.constraints if isinstance(c, LossLimit)), None)
        self._losses: Final = self.index.losses(
            *((limit.kind, limit.task) if limit else (LossKind.RELATIVE, None))
        )
        self._accepted: Final = survey.accepted
        accepted = self._accepted
        rows = survey.rows if len(accepted) == len(survey) else survey.rows[accepted]
        self._order: Final = self._losses.order[rows]
        """Of each accepted place, where its loss stands among all."""
        self._plain: Final = len(survey.recorded) == 0
        """Whether nothing was recorded of any row."""
        tier = self._tiers(accepted, rows)
        self.census: Final = Census(
            rows=len(survey),
            fell=survey.fell,
            tiers=tally(self.index, rows, tier),
            models=len(np.unique(self.index.model[survey.rows[survey.lightest_accepted]])),
            known=self._known(accepted),
        )
        behind = self.index.standing.order(rows)
        grade = tier if behind is None else tier + TIERS * behind.astype(np.int64)
        parts = [accepted[:0], *self._best(accepted, grade, 1 if best_alone else RANKED)]
        if not best_alone:
            listed = min(max(len(accepted) - 1, 0), MAX_LISTED // 2)
            parts += [*self._misses(MAX_LISTED - listed), self._undominated(accepted)]
            if not len(accepted):
                parts += [*self._nearest(), *self._loosened()]
        self.rows: Final = np.unique(survey.rows[np.concatenate(parts)])

    def assess(self) -> Assessment:
        """Return the assessment of the rows kept, with the census of all."""
        found = assess_rows(self.index, self.survey.setting, self.rows)
        tier = tiers(found.judgements, self.index.baseline[found.rows], baselines_back=self._baselines_back)
        return replace(found, tier=tier, census=self.census)

    # -- what is accepted ---------------------------------------------------------------------------------------------

    def _tiers(self, accepted: Integers, rows: Integers) -> Integers:
        """Return the tier of the accepted places, and keep whether baselines count as likely."""
        survey = self.survey
        kinds = survey.kinds
        by_kind, _ = doubts(survey.judgements, 2 * kinds)
        by_kind = by_kind[:kinds]
        certain = not by_kind.any()
        speed = np.zeros(len(accepted), dtype=np.bool_) if certain else by_kind[survey.kind[accepted]]
        loss = np.zeros(len(accepted), dtype=np.bool_)
        for limit in self._scenario.constraints:
            if isinstance(limit, LossLimit) and not limit.certified_only:
                loss |= ~survey.bounds(limit).certified(limit.limit, survey.at(accepted))
        if survey.seen is not None:
            own, _ = doubts(survey.seen.judgements, len(survey.recorded))
            at = survey.is_recorded[accepted]
            speed[at] = own[np.searchsorted(survey.recorded, accepted[at])]
        self._baselines_back = False
        if loss.any():
            baseline = self.index.baseline[rows]
            self._baselines_back = baselines_stand_back(
                self._scenario.objective, likely=True, evident=bool((~baseline & ~loss).any())
            )
            if self._baselines_back:
                loss |= baseline
        return speed + 2 * loss

    def _known(self, accepted: Integers) -> dict[str, bool]:
        metric = self._metric
        if metric is None:
            return {}
        survey = self.survey
        value = survey.ends.speeds.of(metric).value[: survey.kinds]
        plain = accepted if self._plain else accepted[~survey.is_recorded[accepted]]
        known = bool(np.isfinite(value[survey.kind[plain]]).any())
        if survey.seen is not None:
            known |= bool(np.isfinite(survey.seen.speeds.of(metric).value[survey.seen.accepted]).any())
        return {metric: known}

    @property
    def _metric(self) -> Metric | None:
        """The time that the objective depends on."""
        match self._scenario.objective:
            case Objective.FASTEST:
                return "tpot"
            case Objective.HIGHEST_THROUGHPUT:
                return "per_token"
            case Objective.CHEAPEST:
                return "per_token" if self._scenario.price is not None else None
            case _:
                return None

    def _best(self, accepted: Integers, grade: Integers, count: int) -> Iterator[Integers]:
        """Yield at least the first `count` accepted places of the ranking."""
        grades = np.flatnonzero(np.bincount(grade)).tolist()
        for each in grades:
            alone = len(grades) == 1
            among = grade == each
            places = accepted if alone else accepted[among]
            if len(places) > count:
                yield self._first(places, self._order if alone else self._order[among], count)
                return
            yield places
            count -= len(places)
            if not count:
                return

    def _first(self, places: Integers, order: Codes32, count: int) -> Integers:
        """Return the first `count` of places of one grade, by the keys of `planner.choose.rank.ranking_keys`.

        `order` says where the loss of each of them stands among all.
        """
        index, rows, loss = self.index, self.survey.rows, self._losses.value

        def objective(at: Integers) -> Column:
            if at is places and self._scenario.objective is Objective.MOST_ACCURATE:
                return order
            return self._objective(at)

        if self._scenario.objective is Objective.MOST_ACCURATE:
            second: tuple[Values, ...] = (
                lambda at: -index.parameters[rows[at]],
                lambda at: np.where(np.isnan(loss[rows[at]]), -index.bits[rows[at]], 0.0),
            )
        else:
            second = (lambda at: np.nan_to_num(loss[rows[at]], nan=np.inf),)
        rest: Keys = (
            *second,
            self.survey.totals,
            lambda at: ~index.fetchable[rows[at]],
            lambda at: rows[at],
        )
        if self._by_weight and self.survey.single:
            return least_by_weight(self.survey, places, count, objective, rest)
        return least(places, count, (objective, *rest))

    @property
    def _by_weight(self) -> bool:
        """Whether what the objective minimizes is worked out row by row and never falls with weight."""
        return self._scenario.objective not in {Objective.MOST_ACCURATE, Objective.SMALLEST}

    def _objective(self, places: Integers) -> Column:
        """Return what the objective minimizes at some accepted places."""
        survey = self.survey
        match self._scenario.objective:
            case Objective.MOST_ACCURATE:
                return self._losses.order[survey.rows[places]]
            case Objective.SMALLEST:
                return self.index.columns.weight_bytes[survey.rows[places]]
            case _:
                return objective_values(replace(survey.judge(places), census=self.census))

    def _undominated(self, accepted: Integers) -> Integers:
        """Return the accepted places without those that a lighter one of their kind with no more loss beats or equals."""
        survey = self.survey
        if not survey.single:
            return accepted
        plain, order, recorded = accepted, self._order, accepted[:0]
        if not self._plain:
            seen = survey.is_recorded[accepted]
            plain, order, recorded = accepted[~seen], order[~seen], accepted[seen]
        kind = survey.kind if len(plain) == len(survey) else survey.kind[plain]
        # Of an earlier kind every value is larger, so the running minimum starts anew with each.
        step = self._losses.distinct + 1
        wide = survey.kinds * step >= 2**31
        value = (kind.astype(np.int64) if wide else kind) * -step
        value += order
        before = np.minimum.accumulate(value)
        kept = np.ones(len(plain), dtype=np.bool_)
        np.less(value[1:], before[:-1], out=kept[1:])
        return np.concatenate((plain[kept], recorded))

    # -- what is not --------------------------------------------------------------------------------------------------

    def _misses(self, count: int) -> Iterator[Integers]:
        """Yield at least the first `count` near misses: those that came furthest, then those least past the bound."""
        survey = self.survey
        for number in reversed(np.flatnonzero(survey.fell).tolist()):
            places = np.flatnonzero(survey.fell_at(number))
            if len(places) > count:
                yield self._nearest_past(places, count, number)
                return
            yield places
            count -= len(places)
            if not count:
                return

    def _nearest_past(self, places: Integers, count: int, number: int) -> Integers:
        """Return the first `count` of places by how far they are past the bound of a judgement, then by row."""
        survey = self.survey
        judgement = survey.judgements[number]
        if judgement.is_placed and survey.single:
            return least_by_weight(
                survey, places, count, lambda at: self._margin(number, at), [lambda at: survey.rows[at]]
            )
        if is_by_row(judgement):
            places = self._least_lost(places, count, judgement)
        return least(places, count, (lambda at: self._margin(number, at), lambda at: survey.rows[at]))

    def _least_lost(self, places: Integers, count: int, judgement: Judgement) -> Integers:
        """Return at least the first `count` places by margin where it follows from the loss alone, else all."""
        limit = judgement.constraint
        if not isinstance(limit, LossLimit) or limit.limit <= 0:
            return places
        values = self.survey.bounds(limit).value[self.survey.at(places)]
        pivot = smallest(np.fmin(values, np.inf), count)
        # Losses this close may be equally far past the limit.
        return places[values <= pivot + abs(pivot) * 1e-12] if np.isfinite(pivot) else places

    def _margin(self, number: int, places: Integers) -> Floats:
        """Return how far places are past the bound of a judgement: all recorded, or all taken as if nothing had been."""
        survey = self.survey
        judgement = survey.judgements[number]
        if is_by_row(judgement):
            return by_row(self.index, judgement, survey.rows[places])
        if not judgement.is_placed:
            return margins(judgement)[survey.kind[places]]
        if survey.single and not survey.is_recorded[places].any():
            return margins(survey.judge_placed(places, [number])[0])
        return margins(survey.judge(places).judgements[number])

    def _nearest(self) -> Iterator[Integers]:
        """Yield at least the first NEAREST places by how many constraints they fail, and by how much."""
        survey = self.survey
        failing = np.array([pattern.bit_count() for pattern in survey.known.tolist()], dtype=np.int64)
        wanted = NEAREST
        for many in np.unique(failing).tolist():
            for pattern in survey.known[failing == many].tolist():
                yield self._nearest_alike(np.flatnonzero(survey.patterns == pattern), pattern)
            wanted -= int(survey.counts[failing == many].sum())
            if wanted <= 0:
                return

    def _nearest_alike(self, places: Integers, pattern: int) -> Integers:
        """Return at least the first NEAREST of places that fail the same constraints."""
        survey = self.survey
        failing = [number for number in range(len(survey.judgements)) if pattern >> number & 1]
        if len(places) <= NEAREST:
            return places
        by_place: Values = lambda at: survey.rows[at]  # noqa: E731
        if len(failing) == 1:
            number = failing[0]
            value: Values = lambda at: _clipped(self._margin(number, at))  # noqa: E731
            by_weight = survey.single and survey.judgements[number].is_placed
        else:
            value = lambda at: self._past(failing, at)  # noqa: E731
            by_weight = survey.single and not any(is_by_row(survey.judgements[number]) for number in failing)
        if by_weight:
            return least_by_weight(survey, places, NEAREST, value, [by_place])
        return least(places, NEAREST, (value, by_place))

    def _past(self, failing: list[int], places: Integers) -> Column:
        """Return how far places are past all bounds that they fail, as `planner.choose.margins.past` adds them up."""
        survey = self.survey
        placed = [number for number in failing if survey.judgements[number].is_placed]
        if not survey.single or survey.is_recorded[places].any():
            return past(survey.judge(places))
        judged = dict(zip(placed, survey.judge_placed(places, placed) if placed else (), strict=True))
        total = np.zeros(len(places))
        for number in failing:
            judgement = survey.judgements[number]
            if number in judged:
                total += counted(judged[number])
            elif is_by_row(judgement):
                total += counted(judge_by_row(self.index, judgement, survey.rows[places]))
            else:
                total += counted(judgement)[survey.kind[places]]
        return total

    def _loosened(self) -> Iterator[Integers]:
        """Yield the places that decide how far each constraint must be loosened to admit one."""
        survey, index = self.survey, self.index
        for judgement in survey.judgements:
            where = survey.only(frozenset({judgement.key}))
            places = np.flatnonzero(where)
            if not len(places):
                continue
            constraint, rows = judgement.constraint, survey.rows[places]
            if isinstance(constraint, LossLimit):
                losses = index.losses(constraint.kind, constraint.task)
                upper = losses.bounds(constraint.confidence)[1][rows]
                for values in (losses.value[rows], upper):
                    yield places[[int(np.argmin(np.nan_to_num(values, nan=np.inf, posinf=np.inf)))]]
            elif isinstance(constraint, DiskLimit):
                yield places[[int(np.argmin(index.disk_bytes[rows]))]]
            elif judgement.is_placed:
                yield survey.lightest(where)
            else:
                yield places[:1]
        yield survey.lightest(survey.only(ON_WORKLOAD))
        yield survey.lightest(survey.only(ON_HARDWARE))
