"""Conformal calibration: interval widths that are quantiles of what the estimators really missed by.

An interval is the estimate times exp(+-half). `half` is the finite-sample quantile, the ceil((n + 1) x confidence)-th
smallest, of |log(recorded / estimated)| over recordings that the estimate had not seen (split conformal prediction: Vovk,
Gammerman and Shafer 2005; Lei et al. 2018). Residuals are pooled by how far the evidence was and made out of the fold,
as in the jackknife+ and CV+ of Barber et al. 2021, so every recording calibrates and none its own estimate. The further
the evidence, the wider: a class is never narrower than a nearer one. Too few recordings leave a class uncalibrated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from planner.estimate.columns import Floats, Integers

CONFIDENCE: Final = 0.9
"""Two-sided confidence of calibrated intervals."""
LEAST_POINTS: Final = 30
LEAST_GROUPS: Final = 5
"""Fewer recordings, or from fewer variants or devices, calibrate nothing: one group's residuals resemble each other."""


class Distance(IntEnum):
    """How far the nearest evidence of an estimate is."""

    INSIDE = 0
    """Other workload points of the same variant, device and runtime, around the one asked for."""
    OUTSIDE = 1
    """The same, on one side of it only."""
    VARIANT = 2
    """Other variants of the same number format on the same device, under the same runtime family."""
    SCHEME = 3
    """The same device and runtime family, in other number formats."""
    DEVICE = 4
    """Other devices only."""

    @property
    def words(self) -> str:
        """What the evidence was."""
        return _WORDS[self]


_WORDS: Final = {
    Distance.INSIDE: "points of this variant around the one asked for",
    Distance.OUTSIDE: "points of this variant to one side",
    Distance.VARIANT: "other variants of this number format on this device",
    Distance.SCHEME: "other number formats on this device",
    Distance.DEVICE: "other devices",
}


@dataclass(frozen=True, slots=True)
class Width:
    """Half width of an interval in log space at reach 0, and how much evidence it is calibrated by."""

    half: float
    points: int
    groups: int

    @property
    def calibrated(self) -> bool:
        """Whether enough recordings of enough groups stand behind it."""
        return self.points >= LEAST_POINTS and self.groups >= LEAST_GROUPS


def scale(distance: Integers, reach: Floats) -> Floats:
    """Return by how much an interval is wider than at reach 0: points of a variant age with every octave between."""
    near = distance <= Distance.OUTSIDE
    grown: Floats = np.where(near, 1 + np.nan_to_num(reach), 1.0)
    return grown


def quantile(scores: Floats, confidence: float = CONFIDENCE) -> float:
    """Return the ceil((n + 1) x confidence)-th smallest score, infinite when there are too few for it."""
    rank = math.ceil((len(scores) + 1) * confidence)
    return float(np.sort(scores)[rank - 1]) if 0 < rank <= len(scores) else math.inf


def monotone(given: Mapping[Distance, Width], assumed: Mapping[Distance, float]) -> dict[Distance, Width]:
    """Return a width per distance, none narrower than a nearer one; `assumed` half widths where nothing is calibrated."""
    found: dict[Distance, Width] = {}
    least = 0.0
    for distance in Distance:
        width = given.get(distance, Width(math.inf, 0, 0))
        least = max(least, width.half if width.calibrated else assumed[distance])
        found[distance] = Width(least, width.points, width.groups)
    return found


def halves(widths: Mapping[Distance, Width], distance: Integers, reach: Floats) -> Floats:
    """Return the half width in log space of each row; a variant's own points never say less than other devices do."""
    table = np.array([widths[each].half for each in Distance])
    farthest = table[Distance.DEVICE] if widths[Distance.DEVICE].calibrated else np.inf
    return np.minimum(table[distance] * scale(distance, reach), farthest)
