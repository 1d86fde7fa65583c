"""Spreads: what an interval says about where a figure will lie once it is measured.

An interval is read as a normal distribution whose two halves may differ, as `planner.estimate.memory.fit_score` reads it;
times are read so in their logarithm, since their intervals are ratios.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

import numpy as np

from planner.estimate.columns import Floats

_NORMAL: Final = NormalDist()
_TINY: Final = 1e-300


def deviations(confidence: float) -> float:
    """Return how many standard deviations reach from the middle to an end of a two-sided interval."""
    return _NORMAL.inv_cdf((1 + confidence) / 2)


def scores(count: int, *, base: int) -> Floats:
    """Return `count` standard normal values that fill the distribution evenly: quantiles of a van der Corput sequence.

    Sequences of different prime bases together fill several dimensions evenly (Halton, Numer. Math. 2, 1960).
    """
    return np.array([_NORMAL.inv_cdf(_radical_inverse(number + 1, base)) for number in range(count)])


def _radical_inverse(number: int, base: int) -> float:
    inverse, scale = 0.0, 1.0 / base
    while number:
        number, digit = divmod(number, base)
        inverse += digit * scale
        scale /= base
    return inverse


def at_scores(
    value: float, lo: float, hi: float, z: Floats, *, confidence: float, logarithmic: bool
) -> Floats:
    """Return the figure at standard normal values `z`."""
    if logarithmic:
        value, lo, hi = (math.log(max(end, _TINY)) for end in (value, lo, hi))
    moved: Floats = value + z * np.where(z >= 0, hi - value, value - lo) / deviations(confidence)
    return np.exp(moved) if logarithmic else moved


def share_below(
    limit: float, value: float, lo: float, hi: float, *, confidence: float, logarithmic: bool
) -> float:
    """Return the probability that the figure will be at most `limit`."""
    if logarithmic:
        limit, value, lo, hi = (math.log(max(each, _TINY)) for each in (limit, value, lo, hi))
    half = hi - value if limit >= value else value - lo
    if half <= 0:
        return 1.0 if limit >= value else 0.0
    return _NORMAL.cdf((limit - value) / half * deviations(confidence))
