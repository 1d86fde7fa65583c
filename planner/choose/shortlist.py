"""Shortlist: the few rows that an answer can show, out of all a survey found acceptable or not.

Every one of them is the exact choice of the full ranking, the full list of near misses or the full frontier: what is left
out comes after what is kept by the very keys the answer is ordered by, or is beaten by it. The rows kept are then judged
and explained as if they were all there are, beside a census of the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from planner.choose.census import TIERS, Census
from planner.choose.explain import MAX_LISTED
from planner.choose.feasible import (
    Assessment,
    Judgement,
    assess_rows,
    baselines_stand_back,
    doubts,
    tally,
    tiers,
)
from planner.choose.losses import CODE
from planner.choose.margins import ON_HARDWARE, ON_WORKLOAD, PAST, by_row, margins, past
from planner.choose.rank import objective_values
from planner.choose.survey import Survey, is_by_row
from planner.domain.constraint import DiskLimit, LossLimit
from planner.domain.loss import LossKind
from planner.domain.outcome import Verdict
from planner.domain.scenario import Objective
from planner.estimate.calibration import Metric
from planner.estimate.columns import Floats, Integers

RANKED: Final = 64
"""Accepted rows kept at least: more than an answer lists."""
NEAREST: Final = 5
"""Nearest misses kept at least where nothing is accepted: as many as are shown, and loosened jointly."""
_GROWTH: Final = 8
_SAMPLED: Final = 4096
"""Values up to which no sample is drawn."""
_SAMPLE: Final = 512

Column = npt.NDArray[np.float64] | npt.NDArray[np.int64] | npt.NDArray[np.int32] | npt.NDArray[np.bool_]
Values = Callable[[Integers], Column]
Keys = Iterable[Values]


def smallest(values: Column, count: int) -> float:
    """Return the `count`-th smallest value.

    A sample guesses it: what lies below the guess, and how much equals it, mostly settles the rest.
    """
    if len(values) > _SAMPLED:
        sample = values[:: len(values) // _SAMPLE]
        at = min(count * len(sample) // len(values) + 2, len(sample) - 1)
        guess = np.partition(sample, at)[at]
        below = values[values < guess]
        if len(below) >= count:
            values = below
        elif len(below) + np.count_nonzero(values == guess) >= count:
            return float(guess)
    return float(np.partition(values, count - 1)[count - 1])


def least(places: Integers, count: int, keys: Keys) -> Integers:
    """Return the `count` places that come first by some keys, first key first, and those tied with the last of them.

    A key is worked out only for the places that the keys before it leave undecided.
    """
    sure: list[Integers] = []
    for key in keys:
        if len(places) <= count:
            break
        values = key(places)
        pivot = smallest(values, count)
        sure.append(places[values < pivot])
        count -= len(sure[-1])
        places = places[values == pivot]
    return np.concatenate((*sure, places))


def least_by_weight(survey: Survey, places: Integers, count: int, value: Values) -> Integers:
    """Return the `count` places of the least value, and those tied with the last, where value never falls with weight.

    The lightest rows of each kind are tried first, and heavier ones for as long as they may still be among the least.
    """
    seen = places[survey.is_recorded[places]]
    plain = places[~survey.is_recorded[places]]
    values: list[Floats] = [np.asarray(value(seen), dtype=np.float64)] if len(seen) else []
    tried = [seen]
    kind = survey.kind[plain]
    begins = np.flatnonzero(np.concatenate(([True], kind[1:] != kind[:-1]))) if len(plain) else kind
    low, end = begins, np.append(begins[1:], len(plain))
    width = 1
    while len(low):
        high = np.minimum(low + width, end)
        sizes = high - low
        offsets = np.concatenate(([0], sizes.cumsum()))
        at = plain[np.repeat(low - offsets[:-1], sizes) + np.arange(offsets[-1])]
        found = np.asarray(value(at), dtype=np.float64)
        tried.append(at)
        values.append(found)
        known = np.concatenate(values)
        bound = smallest(known, count) if len(known) >= count else np.inf
        more = (high < end) & (found[offsets[1:] - 1] <= bound)
        low, end, width = high[more], end[more], width * _GROWTH
    if not values:
        return places
    all_tried, known = np.concatenate(tried), np.concatenate(values)
    if len(known) <= count:
        return all_tried
    return all_tried[known <= smallest(known, count)]


def _clipped(margin: Values) -> Values:
    """Return margins as they count among several: none less than nothing, none more than PAST."""

    def value(places: Integers) -> Column:
        found: Floats = np.nan_to_num(np.asarray(margin(places), dtype=np.float64), posinf=PAST)
        return np.clip(found, 0.0, PAST)

    return value


def _past_of(survey: Survey) -> Values:
    """Return how far places are past all bounds they fail."""

    def value(places: Integers) -> Column:
        return past(survey.judge(places))

    return value


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
        self._fell: Final = [] if best_alone else survey.fell()
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
            fell=np.array([np.count_nonzero(fell) for fell in self._fell], dtype=np.int64),
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
                judged = self.index.losses(limit.kind, limit.task).judged(
                    limit.limit, confidence=limit.confidence
                )
                loss |= judged[rows] == CODE[Verdict.LIKELY]
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
            places = accepted if len(grades) == 1 else accepted[grade == each]
            if len(places) > count:
                yield self._first(places, count)
                return
            yield places
            count -= len(places)
            if not count:
                return

    def _first(self, places: Integers, count: int) -> Integers:
        """Return the first `count` of places of one grade, by the keys of `planner.choose.rank.ranking_keys`."""
        index, rows, loss = self.index, self.survey.rows, self._losses.value
        objective = self._objective
        if self._by_weight and self.survey.single:
            places = least_by_weight(self.survey, places, count, objective)
        if self._scenario.objective is Objective.MOST_ACCURATE:
            second: tuple[Values, ...] = (
                lambda at: -index.parameters[rows[at]],
                lambda at: np.where(np.isnan(loss[rows[at]]), -index.bits[rows[at]], 0.0),
            )
        else:
            second = (lambda at: np.nan_to_num(loss[rows[at]], nan=np.inf),)
        return least(
            places,
            count,
            (
                objective,
                *second,
                self.survey.totals,
                lambda at: ~index.fetchable[rows[at]],
                lambda at: rows[at],
            ),
        )

    @property
    def _by_weight(self) -> bool:
        """Whether what the objective minimizes is worked out row by row and never falls with weight."""
        return self._scenario.objective not in {Objective.MOST_ACCURATE, Objective.SMALLEST}

    def _objective(self, places: Integers) -> Column:
        """Return what the objective minimizes at some accepted places."""
        survey = self.survey
        match self._scenario.objective:
            case Objective.MOST_ACCURATE:
                if places is self._accepted:
                    return self._order
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
        rows = self.survey.rows
        for number in range(len(self._fell) - 1, -1, -1):
            places = np.flatnonzero(self._fell[number])
            if len(places) > count:
                value, by_weight = self._margin(number)
                if by_weight:
                    places = least_by_weight(self.survey, places, count, value)
                else:
                    places = self._least_lost(places, count, self.survey.judgements[number])
                yield least(places, count, (value, lambda at: rows[at]))
                return
            yield places
            count -= len(places)
            if not count:
                return

    def _least_lost(self, places: Integers, count: int, judgement: Judgement) -> Integers:
        """Return at least the first `count` places by margin where it follows from the loss alone, else all."""
        limit = judgement.constraint
        if not isinstance(limit, LossLimit) or limit.limit <= 0:
            return places
        values = self.index.losses(limit.kind, limit.task).value[self.survey.rows[places]]
        pivot = smallest(np.fmin(values, np.inf), count)
        # Losses this close may be equally far past the limit.
        return places[values <= pivot + abs(pivot) * 1e-12] if np.isfinite(pivot) else places

    def _margin(self, number: int) -> tuple[Values, bool]:
        """Return how far places are past the bound of a judgement, and whether that never falls with weight."""
        survey, index = self.survey, self.index
        judgement = survey.judgements[number]
        if is_by_row(judgement):
            return (lambda at: by_row(index, judgement, survey.rows[at])), False
        if judgement.is_placed:
            return (lambda at: margins(survey.judge(at).judgements[number])), survey.single
        by_kind = margins(survey.judgements[number])
        return (lambda at: by_kind[survey.kind[at]]), False

    def _nearest(self) -> Iterator[Integers]:
        """Yield at least the first NEAREST places by how many constraints they fail, and by how much."""
        survey = self.survey
        count = survey.failures.sum(axis=0, dtype=np.uint8)
        wanted = NEAREST
        for failing in np.flatnonzero(np.bincount(count)).tolist():
            places = np.flatnonzero(count == failing)
            pattern = 2 ** np.arange(len(survey.judgements)) @ survey.failures[:, places]
            for each in np.unique(pattern).tolist():
                yield self._nearest_alike(places[pattern == each], each)
            wanted -= len(places)
            if wanted <= 0:
                return

    def _nearest_alike(self, places: Integers, pattern: int) -> Integers:
        """Return at least the first NEAREST of places that fail the same constraints."""
        survey = self.survey
        failing = [number for number in range(len(survey.judgements)) if pattern >> number & 1]
        if len(places) <= NEAREST:
            return places
        if len(failing) == 1:
            margin, by_weight = self._margin(failing[0])
            value = _clipped(margin)
        else:
            value, by_weight = _past_of(survey), False
            if survey.single and not any(is_by_row(survey.judgements[number]) for number in failing):
                by_weight = True
        if by_weight:
            places = least_by_weight(survey, places, NEAREST, value)
        return least(places, NEAREST, (value, lambda at: survey.rows[at]))

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
