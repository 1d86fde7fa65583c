"""Builds: which recipe, on which of the models that are meant, is predicted to satisfy a question, and with what odds.

Every known recipe on every model that is meant is put beside the variants as if it were one, its weights modelled, and
judged by the planner's own assessment. What that cannot know is its loss: there the losses of the same scheme on other
models speak. The odds are the product of fitting, being fast enough and losing little enough; one that is not known leaves
them unknown, not one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
import numpy as np

from planner.choose.feasible import (
    MEMORY,
    Assessment,
    Judgement,
    assess_rows,
    assess_selected,
)
from planner.choose.index import Index
from planner.choose.rank import counted_loss, objective_values, rank
from planner.choose.recipes import RECIPES, KnownRecipe
from planner.choose.scheme_losses import ENOUGH, SchemeRecords
from planner.choose.setting import Setting, resolve
from planner.choose.spread import share_below
from planner.choose.suggest import building
from planner.choose.timed import asked_of, is_timed, spread_of
from planner.domain.advice import BuildAdvice, LossOdds, Purpose, WorthBuilding
from planner.domain.constraint import LossLimit
from planner.domain.device import Device
from planner.domain.figure import Basis, Figure, Interval
from planner.domain.job_requirement import unmet
from planner.domain.loss import LossKind
from planner.domain.model import Model
from planner.domain.scenario import Objective, Scenario
from planner.domain.units import Unit
from planner.domain.variant import Provenance, Variant
from planner.estimate.calibration import CENTRAL, Metric
from planner.estimate.columns import Floats
from planner.estimate.memory import fit_score, probability
from planner.estimate.priors import CONFIDENCE as MEMORY_CONFIDENCE
from planner.estimate.weights import modelled_weight_bytes

MAX_BUILDS: Final = 10
CHEAPER: Final = 0.75
"""Share of the chosen variant's memory up to which a build is offered as cheaper."""
LEAST_ODDS: Final = 0.01
"""Probability below which a build is ruled out."""
_HELD, _DEVICE = "held", "device"


@dataclass(frozen=True, slots=True)
class _Idea:
    """One recipe on one model, standing for a variant."""

    known: KnownRecipe
    model: Model
    variant: Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bar:
    """What a build must reach for a purpose, beside satisfying the question. None asks for nothing."""

    purpose: Purpose
    loss: float | None = None
    value: float | None = None
    memory: float | None = None
    model_id: str | None = None


def builds(scenario: Scenario, index: Index, *, now: datetime | None = None) -> BuildAdvice:
    """Return the builds worth queueing for `scenario`, best odds first.

    Raises NotFound for an unknown device or model.
    """
    setting = resolve(scenario, index, now=now)
    current = assess_selected(index, setting)
    order = rank(current, at_least=1)
    best = int(order[0]) if len(order) else None
    fallen: Counter[str] = Counter()
    ideas = list(_ideas(index, setting, fallen))
    found: list[WorthBuilding] = []
    if ideas:
        found = _predicted(index, setting, ideas, _bars(current, best), fallen)
    found.sort(key=_by_odds)
    chosen = index.records[int(current.rows[best])] if best is not None else None
    return BuildAdvice(
        chosen_id=chosen.id if chosen else None,
        chosen=chosen.name if chosen else None,
        builds=tuple(found[:MAX_BUILDS]),
        considered=len(ideas) + sum(fallen[key] for key in (_HELD, _DEVICE)),
        ruled_out=dict(sorted(fallen.items())),
    )


def _by_odds(build: WorthBuilding) -> tuple[bool, float, float, str, str]:
    likely = build.odds
    if likely is None:  # among those whose speed is not known, the likelier by the rest
        likely = (build.loss.probability or 0.0) if build.loss else 1.0
    return build.odds is None, -likely, build.total.value, build.model_id, build.name


def _ideas(index: Index, setting: Setting, fallen: Counter[str]) -> Iterable[_Idea]:
    """Yield every recipe on every model that is meant, but for what is held already or the device cannot run."""
    loss = index.losses(LossKind.RELATIVE, None).answers
    meant = sorted({int(code) for code in index.model[setting.selected]})
    codes = set(meant)
    held = {
        (variant.model_id, variant.scheme.name, variant.scheme.method)
        for row, variant in enumerate(index.records)
        if int(index.model[row]) in codes and (loss[row] is not None or variant.is_fetchable)
    }
    words = _words_of(setting.device)
    for code in meant:
        model = index.model_list[code]
        for known in RECIPES:
            if (model.id, known.scheme.name, known.scheme.method) in held:
                fallen[_HELD] += 1
            elif words is not None and unmet(_of_device(known.needs), words):
                fallen[_DEVICE] += 1
            else:
                yield _Idea(known, model, _variant(model, known))


def _of_device(needs: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(need for need in needs if need == "cuda" or need.startswith("cc"))


def _words_of(device: Device | None) -> frozenset[str] | None:
    """Return what a device states, None when none is named."""
    if device is None:
        return None
    words = {"cuda"} if device.vendor.casefold() == "nvidia" else set[str]()
    return frozenset(words | ({f"cc:{device.compute_capability}"} if device.compute_capability else set()))


def _variant(model: Model, known: KnownRecipe) -> Variant:
    stored = (
        known.scheme if known.storage is None else msgspec.structs.replace(known.scheme, weight=known.storage)
    )
    return Variant(
        id=f"recipe:{model.id}/{known.variant_name}",
        model_id=model.id,
        name=f"{model.id}-{known.variant_name}",
        scheme=known.scheme,
        file_format=known.file_format,
        weight_bytes=modelled_weight_bytes(model.architecture, stored),
        provenance=Provenance(recipe=known.recipe, settings=known.settings, needs=known.needs),
    )


def _bars(current: Assessment, best: int | None) -> tuple[_Bar, ...]:
    """Return what builds could be for: to satisfy the question at all, or to do better or cheaper than what is chosen."""
    if best is None:
        return (_Bar(purpose=Purpose.SATISFIES),)
    bars: list[_Bar] = []
    value = float(objective_values(current)[best])
    if current.setting.scenario.objective is Objective.MOST_ACCURATE:
        loss = float(counted_loss(current)[best])
        if loss > 0:
            bars.append(_Bar(purpose=Purpose.BETTER, loss=loss))
    elif np.isfinite(value):
        bars.append(_Bar(purpose=Purpose.BETTER, value=value))
    if current.limit is not None:  # without a limit on loss the fewest bits would always be cheaper
        total = float(current.total.value[best] * current.terms.degree[best])
        model = current.index.records[int(current.rows[best])].model_id
        bars.append(_Bar(purpose=Purpose.CHEAPER, memory=CHEAPER * total, model_id=model))
    return tuple(bars)


def _predicted(
    index: Index, setting: Setting, ideas: list[_Idea], bars: tuple[_Bar, ...], fallen: Counter[str]
) -> list[WorthBuilding]:
    beside = Index.build(
        models={idea.model.id: idea.model for idea in ideas}.values(),
        variants=[idea.variant for idea in ideas],
        devices=index.devices.values(),
        revision=index.revision,
    )
    by_id = {idea.variant.id: idea for idea in ideas}
    imagined = assess_rows(
        beside,
        resolve(setting.scenario, beside, now=setting.now),
        np.arange(len(beside), dtype=np.int64),
    )
    prophet = _Prophet(index, imagined)
    totals = imagined.total.value * imagined.terms.degree
    found: list[WorthBuilding] = []
    for position, variant in enumerate(beside.records):
        reason = prophet.certain_failure(position)
        if reason is not None:
            fallen[reason] += 1
            continue
        for bar in bars:
            if bar.memory is not None and totals[position] > bar.memory:
                continue
            if bar.model_id is not None and variant.model_id != bar.model_id:
                continue
            if bar.value is not None and not prophet.values[position] < bar.value:
                continue
            build = prophet.build(position, by_id[variant.id], bar)
            if build.loss is not None and build.loss.models >= ENOUGH and not build.loss.within:
                reason = "loss"  # of enough models not one kept within the limit
            elif build.odds is None or build.odds >= LEAST_ODDS:
                found.append(build)
                reason = None
                break
        if reason is not None:
            fallen[reason] += 1
    return found


class _Prophet:
    """What can be foretold of builds that were assessed as if they were variants."""

    def __init__(self, index: Index, imagined: Assessment) -> None:
        self.index, self.imagined = index, imagined
        capacity = imagined.setting.capacity
        self.values = objective_values(imagined)
        self._fits = None if capacity is None else fit_score(imagined.total, capacity)
        self._records: dict[tuple[KnownRecipe | str, LossKind, str | None], SchemeRecords] = {}

    def certain_failure(self, position: int) -> str | None:
        """Return the constraint that a build is sure to fall at, None when there is none."""
        for judgement in self.imagined.judgements:
            if isinstance(judgement.constraint, LossLimit):
                continue
            if judgement.key == MEMORY:
                certain = (self.fit_probability(position) or 0.0) < LEAST_ODDS
            elif is_timed(judgement):
                chance = self._fast_enough(judgement, position)
                certain = chance is not None and chance < LEAST_ODDS
            else:
                certain = not judgement.accepted[position]
            if certain:
                return judgement.key
        return None

    def fit_probability(self, position: int) -> float | None:
        """Return the probability that a build fits, None when the question names no memory."""
        return None if self._fits is None else probability(float(self._fits[position]))

    def _fast_enough(self, judgement: Judgement, position: int) -> float | None:
        asked = asked_of(self.imagined, judgement, position)
        spread = spread_of(self.imagined, asked.metric, asked.quantile, position)
        if spread is None:
            return None
        ends = (spread.value, spread.lo, spread.hi)
        return share_below(asked.seconds, *ends, confidence=spread.confidence, logarithmic=True)

    def _speed(self, position: int) -> tuple[bool, float | None]:
        """Return whether the question limits speed, and the probability of keeping all its limits.

        All times of one build come from the same kernels, so they are late together: the least probability holds.
        """
        chances = [
            self._fast_enough(judgement, position)
            for judgement in self.imagined.judgements
            if is_timed(judgement)
        ]
        known = [chance for chance in chances if chance is not None]
        return bool(chances), min(known) if known and len(known) == len(chances) else None

    def _loss(self, position: int, idea: _Idea, bar: _Bar) -> LossOdds | None:
        """Return the odds of the loss that is hardest to keep within, None when nothing limits loss."""
        scenario = self.imagined.setting.scenario
        limits = [(c.kind, c.task, c.limit) for c in scenario.constraints if isinstance(c, LossLimit)]
        if bar.loss is not None:
            kind, task, limit = limits[0] if limits else (LossKind.RELATIVE, None, np.inf)
            limits[:1] = [(kind, task, min(limit, bar.loss))]
        if not limits:
            return None
        if self.imagined.index.baseline[self.imagined.rows[position]]:
            return LossOdds(
                limit=limits[0][2],
                within=0,
                models=0,
                probability=1.0,
                match="zero by definition: this is the baseline itself",
            )
        odds = [
            self._records_of(idea, kind, task).beside(idea.model).odds(limit) for kind, task, limit in limits
        ]
        return min(odds, key=lambda each: -1.0 if each.probability is None else each.probability)

    def _beats(self, position: int, value: float) -> float:
        """Return the probability that what the objective minimizes comes out below `value`, that of the chosen variant.

        Only the build's own interval counts. What is ordered by weight bytes for want of times has none.
        """
        imagined, central = self.imagined, float(self.values[position])
        metric: Metric = "per_token"
        match imagined.setting.scenario.objective:
            case Objective.SMALLEST:
                columns = imagined.columns
                ends = (columns.weight_bytes, columns.weight_lo, columns.weight_hi)
                return self._below(value, ends, position, scale=1.0)
            case Objective.CHEAPEST if imagined.setting.scenario.price is None:
                total = imagined.total
                scale = float(imagined.terms.degree[position])
                return self._below(value, (total.value, total.lo, total.hi), position, scale=scale)
            case Objective.FASTEST:
                metric = "tpot"
            case _:
                pass
        spread = spread_of(imagined, metric, CENTRAL, position)
        if spread is None or central <= 0:
            return 1.0 if central < value else 0.0
        # A cost is proportional to the time of a token, so that the share of the bound carries over.
        seconds = value / central * spread.value
        return share_below(
            seconds, spread.value, spread.lo, spread.hi, confidence=spread.confidence, logarithmic=True
        )

    def _below(
        self, value: float, ends: tuple[Floats, Floats, Floats], position: int, *, scale: float
    ) -> float:
        middle, lo, hi = (float(end[position]) * scale for end in ends)
        return share_below(
            value, middle, min(lo, middle), max(hi, middle), confidence=MEMORY_CONFIDENCE, logarithmic=False
        )

    def _records_of(self, idea: _Idea, kind: LossKind, task: str | None) -> SchemeRecords:
        key = (f"{idea.known.scheme.name}:{idea.known.scheme.method}", kind, task)
        if key not in self._records:
            self._records[key] = SchemeRecords(self.index, idea.known.scheme, kind=kind, task=task)
        return self._records[key]

    def build(self, position: int, idea: _Idea, bar: _Bar) -> WorthBuilding:
        """Return a build with its odds for one purpose."""
        imagined = self.imagined
        fits = self.fit_probability(position)
        limited, fast = self._speed(position)
        loss = self._loss(position, idea, bar)
        parts = [
            *([fits] if fits is not None else []),
            *([fast] if limited else []),
            *([loss.probability] if loss is not None else []),
            *([self._beats(position, bar.value)] if bar.value is not None else []),
        ]
        odds: float | None = 1.0
        for part in parts:
            odds = None if part is None or odds is None else odds * part
        lo, value, hi = (
            float(end[position]) for end in (imagined.total.lo, imagined.total.value, imagined.total.hi)
        )
        return WorthBuilding(
            model_id=idea.model.id,
            model=idea.model.name,
            recipe=idea.known.recipe,
            settings=idea.known.settings,
            scheme=idea.known.scheme.name,
            name=idea.variant.name,
            purpose=bar.purpose,
            odds=odds,
            fit_probability=fits,
            speed_probability=fast,
            loss=loss,
            weights=idea.variant.weight_bytes,
            total=Figure(
                value=value,
                unit=Unit.BYTES,
                basis=Basis.MODELLED,
                interval=Interval(lo=min(lo, value), hi=max(hi, value), confidence=MEMORY_CONFIDENCE),
            ),
            tpot=imagined.speeds.figure("tpot", CENTRAL, position),
            capacity=imagined.setting.capacity,
            job=building(self.index, idea.model, idea.known, weight_bytes=idea.variant.weight_bytes.value),
        )
