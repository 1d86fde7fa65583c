"""From predicted to measured: which point of the frontier is taken.

Losses of groups do not add up (Sieberling et al., EvoPress, arXiv 2410.14649), so no prediction is trusted: the point the
budget leads to is measured on the whole model, and so are points beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from planner.errors import InvalidInput
from worker.recipes.knapsack import Frontier
from worker.recipes.sensitivity import Deviation

NEIGHBOURS: Final = 2
"""How many smaller points are measured beside the one that a size budget leads to."""
_TINY: Final = 1e-9


@dataclass(frozen=True)
class Trial:
    """A point of the frontier that was measured."""

    point: int
    size: int
    predicted_loss: float
    """Relative rise of perplexity if divergences added up."""
    measured: Deviation


class MixSearch:
    """Measures points of a frontier, each at most once, and remembers all of them."""

    def __init__(self, frontier: Frontier, measure: Callable[[tuple[int, ...]], Deviation]) -> None:
        self._frontier = frontier
        self._measure = measure
        self._trials: dict[int, Trial] = {}

    @property
    def trials(self) -> tuple[Trial, ...]:
        """What was measured, in that order."""
        return tuple(self._trials.values())

    def within_size(self, size: int) -> Trial:
        """Return the measured best of the largest point that is no larger than `size` and the next smaller ones.

        Raises ValueError when every mix is larger.
        """
        first = self._frontier.largest_within(size)
        if first is None:
            raise ValueError(f"no mix is as small as {size}")
        tried = [self._try(point) for point in range(first, max(-1, first - 1 - NEIGHBOURS), -1)]
        return min(tried, key=lambda trial: trial.measured.kl)

    def within_loss(self, loss: float, *, trials: int) -> Trial:
        """Return the smallest point found, in at most `trials` measurements, whose loss is surely at most `loss`.

        Each measurement says by how much the prediction was off there, which gives the next point; where that leads
        nowhere new, the neighbour towards the side that is still open is tried, so that the search ends between two
        neighbours. Raises InvalidInput when no point measured is within the loss.
        """
        violating, fulfilling, target = -1, len(self._frontier), loss
        best: Trial | None = None
        while len(self._trials) < trials and violating + 1 < fulfilling:
            point = self._frontier.smallest_within(math.log1p(target))
            point = fulfilling - 1 if point is None else min(max(point, violating + 1), fulfilling - 1)
            trial = self._try(point)
            if trial.measured.upper <= loss:
                best, fulfilling = trial, point
            else:
                violating = point
            target = loss * trial.predicted_loss / max(trial.measured.upper, _TINY)
        if best is None:
            nearest = min(trial.measured.upper for trial in self.trials)
            raise InvalidInput(
                "recipe.budget",
                f"none of {len(self.trials)} mixes measured loses at most {loss:.3%} (95 % bound); the nearest loses "
                f"{nearest:.3%}",
                allowed="a larger budget, more calibration text, more trials or formats that lose less",
            )
        return best

    def _try(self, point: int) -> Trial:
        if point not in self._trials:
            self._trials[point] = Trial(
                point=point,
                size=int(self._frontier.sizes[point]),
                predicted_loss=math.expm1(float(self._frontier.losses[point])),
                measured=self._measure(self._frontier.choice(point)),
            )
        return self._trials[point]
