"""Advice: what measurement could change an answer, and what build could satisfy a question, each with its odds.

Odds are probabilities from the intervals of estimates and from losses that were recorded, never from a fixed penalty; what
nothing at hand says anything about has no odds, and is not given any.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from planner.domain.figure import Figure, Interval
from planner.domain.suggested_job import SuggestedJob


class OpenFigure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A figure that a measurement would settle: which constraint it is for, what is known now, and what is wrong with it."""

    key: str
    why: str
    """"unknown", "modelled", "its interval is not known", or the verdict that evidence does not yet settle."""
    figure: Figure | None = None


class WorthMeasuring(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One job on one variant whose result could change the answer."""

    variant_id: str
    model_id: str
    name: str
    open: tuple[OpenFigure, ...]
    probability: float | None
    """Probability that the measured figures change which variant is chosen; None when nothing says how they are spread."""
    assumed: tuple[str, ...]
    """Where the spread of each figure comes from."""
    becomes: str | None = None
    """Name of the variant that would be chosen then; None when nothing would be left."""
    becomes_id: str | None = None
    job: SuggestedJob


class MeasurementAdvice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Measurements that could change an answer, the likeliest to do so first."""

    chosen_id: str | None
    """The answer as it is; None when nothing satisfies the question."""
    chosen: str | None
    measurements: tuple[WorthMeasuring, ...]
    considered: int
    """Variants whose figures were looked at."""
    unmeasurable: tuple[str, ...] = ()
    """What no measurement can settle until the question says more."""


class LossOdds(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How often builds of a scheme kept within a loss, over the other models that were evaluated."""

    limit: float
    """Loss to keep within, as the question counts it."""
    within: int
    models: int
    """Models with a recorded loss; each counts once, with the median of its builds."""
    probability: float | None
    """(within + 1/2)/(models + 1), the mean under Jeffreys' prior; None without any model."""
    share: Interval | None = None
    """Wilson interval of the share, two-sided at 90 %."""
    match: str = ""
    """Which builds were counted."""
    median: float | None = None
    lowest: float | None = None
    highest: float | None = None
    sources: tuple[str, ...] = ()
    """Ids of evaluations behind it, at most 50."""


class Purpose(StrEnum):
    """What a build would be for."""

    SATISFIES = "satisfies"
    """Nothing satisfies the question today."""
    BETTER = "better"
    """It would be ranked before the variant that is chosen."""
    CHEAPER = "cheaper"
    """It would satisfy the question with the chosen model in three quarters of its memory or less."""


class WorthBuilding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One recipe on one model that is predicted to satisfy a question."""

    model_id: str
    model: str
    recipe: str
    settings: Mapping[str, Any]
    scheme: str
    name: str
    purpose: Purpose
    odds: float | None
    """Product of the probabilities below that the question needs, and, to be better, of beating the chosen variant by the
    objective; None when one of them is not known."""
    fit_probability: float | None = None
    speed_probability: float | None = None
    loss: LossOdds | None = None
    weights: Figure
    total: Figure
    """Predicted peak memory of one device."""
    tpot: Figure | None = None
    capacity: Figure | None = None
    job: SuggestedJob


class BuildAdvice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Builds that could satisfy a question, those with the best odds first."""

    chosen_id: str | None
    chosen: str | None
    builds: tuple[WorthBuilding, ...]
    considered: int
    """Recipe and model pairs that were predicted."""
    ruled_out: Mapping[str, int] = {}
    """How many of them fell for certain, by the constraint they fell at first."""
