"""Non-inferiority on paired items: the loss is shown below a margin, shown above it, or neither.

The loss is that of `planner.domain.loss`. For 0/1 scores the four paired counts are multinomial, and "loss = margin" is one
linear constraint on their shares: only_baseline - only_variant = margin (in points), or margin x the baseline's share (relative). The test
is the score test under that constraint: Tango, Stat. Med. 17, 1998, for the difference, and Nam & Blackwelder, Stat. Med. 21, 2002, for the
ratio of paired proportions; with margin 0 it is McNemar's. Unlike Wald intervals it does not take a handful of changes for
proof. Two corrections make its tails those of the counts it stands for: half a count, because counts are whole, and the first
term of the Edgeworth series (Hall, The Bootstrap and Edgeworth Expansion, 1992), because few changes are skewed; where it would
make a tail smaller it is left out. `tests/domain/test_non_inferiority.py` enumerates the true error.

Graded scores and documents are judged by the ratio estimator with Student's t, of which skewness is removed by a cubic
transformation (Hall, J. R. Stat. Soc. B 54, 1992) where that makes a tail larger. Where a few of the documents carry all of the
loss the error is still above what is asked: 6 to 8 % for 5 % with exponentially distributed differences.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from planner.domain.evaluation import Document, ItemOutcome, PairedCounts
from planner.domain.loss import LossKind, absolute_loss, relative_loss
from planner.domain.margin_test import (
    POWER,
    MarginTest,
    crossing,
    density,
    more_of,
    normal_of_t,
    quantile,
    t_of_normal,
    tail,
)
from planner.domain.statistics import paired_counts
from planner.errors import InvalidInput

Floats = npt.NDArray[np.float64]
MIN_GRADED: Final = 4
"""Graded items or documents below which there is no interval."""
_HALF: Final = 0.5
_Cells = tuple[float, float, float, float]


@dataclass(frozen=True)
class CountsTest:
    """The score test of 0/1 scores from their four paired counts. Margins are ratios, or points, as `kind` says."""

    counts: PairedCounts
    kind: LossKind

    def __post_init__(self) -> None:
        if self.kind is LossKind.RELATIVE and self.counts.baseline_score <= 0:
            raise InvalidInput("counts", "the baseline got no item right", allowed="at least one item right")

    @property
    def value(self) -> float:
        """The loss."""
        base, variant = self.counts.baseline_score, self.counts.variant_score
        if self.kind is LossKind.RELATIVE:
            return relative_loss(base, variant, higher_is_better=True)
        return absolute_loss(base, variant)

    @property
    def size(self) -> int:
        """Items."""
        return self.counts.items

    @property
    def method(self) -> str:
        """The test's name."""
        of = "ratio (Nam-Blackwelder)" if self.kind is LossKind.RELATIVE else "difference (Tango)"
        return f"paired score test of the {of}, continuity and skewness corrected"

    def p_below(self, margin: float) -> float:
        """Return the chance of counts this good if the loss were `margin`."""
        total, variance, skewness = self._score(margin)
        z = (total + _HALF) / math.sqrt(variance)
        return min(1.0, max(tail(-z), tail(-z) - skewness / 6 * (z * z - 1) * density(z)))

    def p_above(self, margin: float) -> float:
        """Return the chance of counts this bad if the loss were `margin`."""
        total, variance, skewness = self._score(margin)
        z = (total - _HALF) / math.sqrt(variance)
        return min(1.0, max(tail(z), tail(z) + skewness / 6 * (z * z - 1) * density(z)))

    def upper(self, alpha: float) -> float | None:
        """Return the upper bound; None when even a loss of everything is not rejected."""
        most = 1 - 1e-9 if self.kind is LossKind.RELATIVE else 100 * (1 - 1e-9)
        return crossing(self.p_below, self.value, alpha, towards=most, step=self._step)

    def lower(self, alpha: float) -> float | None:
        """Return the lower bound, negative for what may be a gain."""
        least = -1e6 if self.kind is LossKind.RELATIVE else -100 * (1 - 1e-9)
        return crossing(self.p_above, self.value, alpha, towards=least, step=self._step)

    def detectable(self, margin: float, alpha: float) -> float:
        """Return how far from the margin a loss must be to be decided with POWER on this many items."""
        share = self._needed_deviation(margin, alpha) / math.sqrt(self.size) + _HALF / self.size
        return share / self._scale

    def more(self, margin: float, alpha: float) -> int | None:
        """Return about how many more items decide with POWER, if the loss is what it seems."""
        needed = self.needed(margin, alpha)
        return None if needed is None else more_of(needed, self.size)

    def needed(self, margin: float, alpha: float) -> float | None:
        """Return how many items in all decide with POWER if the loss and the share of changes are what they seem.

        (z_alpha x deviation at the margin + z_power x deviation)^2 / distance^2 items (Connor, Biometrics 43, 1987), enlarged
        for the half count.
        """
        distance = abs(margin - self.value) * self._scale
        if distance <= 0:
            return None
        deviation = self._needed_deviation(margin, alpha)
        root = (deviation + math.sqrt(deviation * deviation + 2 * distance)) / (2 * distance)
        return root * root

    @property
    def _scale(self) -> float:
        """Share of the items for one unit of loss."""
        return self.counts.baseline_score if self.kind is LossKind.RELATIVE else 0.01

    @property
    def _step(self) -> float:
        return 1 / math.sqrt(self.size) / self._scale / 4

    def _weights(self, margin: float) -> _Cells:
        if self.kind is LossKind.RELATIVE:
            return (-margin, 1 - margin, -1.0, 0.0)
        share = margin / 100
        return (-share, 1 - share, -1 - share, -share)

    def _score(self, margin: float) -> tuple[float, float, float]:
        """Return the score, its variance and its skewness if the loss were `margin`."""
        weights, cells = self._weights(margin), _cells(self.counts)
        shares = constrained_shares(cells, weights)
        variance = math.fsum(p * w * w for p, w in zip(shares, weights, strict=True))
        third = math.fsum(p * w**3 for p, w in zip(shares, weights, strict=True))
        total = math.fsum(n * w for n, w in zip(cells, weights, strict=True))
        n = self.size
        variance = max(variance, 1e-300)
        return total, n * variance, third / variance**1.5 / math.sqrt(n)

    def _needed_deviation(self, margin: float, alpha: float) -> float:
        """Return what a distance times the root of the items must reach, as a share of the items.

        One pseudo-item in each direction keeps it above zero where nothing changed yet.
        """
        weights, cells = self._weights(self.value), _cells(self.counts)
        n = self.size + 2
        adjusted = (cells[0], cells[1] + 1, cells[2] + 1, cells[3])
        seen = math.fsum(c * w * w for c, w in zip(adjusted, weights, strict=True)) / n
        at_margin = self._score(margin)[1] / self.size
        return quantile(alpha) * math.sqrt(at_margin) + quantile(1 - POWER) * math.sqrt(seen)


def _cells(counts: PairedCounts) -> _Cells:
    return (counts.both_right, counts.only_baseline, counts.only_variant, counts.both_wrong)


def constrained_shares(cells: Sequence[float], weights: Sequence[float]) -> tuple[float, ...]:
    """Return the likeliest shares of a multinomial under "the weighted shares sum to 0".

    Lagrange: share = count / (n (1 + t x weight)), with one t where the constraint holds. A cell nobody was seen in gets a share
    only where the constraint cannot hold without. `weights` must have both signs.
    """
    n = math.fsum(cells)
    top, bottom = max(weights), min(weights)
    low, high = -1 / top, -1 / bottom

    def slope(t: float) -> float:
        return math.fsum(c * w / max(1 + t * w, 1e-300) for c, w in zip(cells, weights, strict=True) if c > 0)

    def shares(t: float) -> list[float]:
        return [
            c / (n * max(1 + t * w, 1e-300)) if c > 0 else 0.0 for c, w in zip(cells, weights, strict=True)
        ]

    for end, extreme in ((low, top), (high, bottom)):
        empty = all(c == 0 for c, w in zip(cells, weights, strict=True) if w == extreme)
        if empty and slope(end) * (1 if end == low else -1) <= 0:
            found = shares(end)
            first = list(weights).index(extreme)
            found[first] += max(0.0, 1 - math.fsum(found))
            return tuple(found)
    inside, outside = low, high
    for _ in range(100):
        middle = (inside + outside) / 2
        if slope(middle) > 0:
            inside = middle
        else:
            outside = middle
    found = shares((inside + outside) / 2)
    total = math.fsum(found)
    return tuple(share / total for share in found)


class RatioTest:
    """Student's t of a ratio of means over items: sum of differences / sum of baselines, skewness corrected.

    With `exponential` the loss is exp(ratio) - 1: that of perplexity, from differences of log-likelihood and tokens. `percent` is
    for points. Items that all agree bound a loss only by the rule of three, where scores are bounded by 1.
    """

    def __init__(
        self,
        difference: Sequence[float],
        base: Sequence[float],
        *,
        exponential: bool = False,
        percent: bool = False,
    ) -> None:
        self._difference, self._base = np.asarray(difference, float), np.asarray(base, float)
        self._exponential, self._factor = exponential, 100.0 if percent else 1.0
        n = len(self._base)
        if n < MIN_GRADED or self._base.sum() <= 0:
            raise InvalidInput(
                "items",
                f"{n} say too little",
                allowed=f"at least {MIN_GRADED} items with a baseline above 0",
            )
        mean = float(self._base.mean())
        self._ratio = float(self._difference.sum()) / float(self._base.sum())
        residual = self._difference - self._ratio * self._base
        squares = float((residual**2).sum())
        spread = math.sqrt(squares / n)
        self._error = math.sqrt(squares / (n - 1) / n) / mean
        self._skewness = 0.0 if spread == 0 else float((residual**3).mean()) / spread**3 / math.sqrt(n)
        self._mean, self._n = mean, n

    @property
    def value(self) -> float:
        """The loss."""
        return self._loss(self._ratio)

    @property
    def size(self) -> int:
        """Items or documents."""
        return self._n

    @property
    def method(self) -> str:
        """The test's name."""
        of = "log-likelihoods of documents" if self._exponential else "graded scores"
        return f"paired t of the ratio over {of}, skewness corrected"

    def p_below(self, margin: float) -> float:
        """Return the chance of records this good if the loss were `margin`."""
        return self._p(margin, -1)

    def p_above(self, margin: float) -> float:
        """Return the chance of records this bad if the loss were `margin`."""
        return self._p(margin, 1)

    def upper(self, alpha: float) -> float | None:
        """Return the upper bound."""
        return self._bound(alpha, -1)

    def lower(self, alpha: float) -> float | None:
        """Return the lower bound."""
        return self._bound(alpha, 1)

    def detectable(self, margin: float, alpha: float) -> float:
        """Return how far from the margin a loss must be to be decided with POWER on this many items."""
        distance = self._needed(alpha) * self._error
        return abs(self._loss(self._ratio_of(margin) + distance) - margin)

    def more(self, margin: float, alpha: float) -> int | None:
        """Return about how many more items decide with POWER, if the loss is what it seems."""
        distance = abs(self._ratio_of(margin) - self._ratio)
        if distance <= 0 or self._error <= 0:
            return None
        return more_of(self._n * (self._needed(alpha) * self._error / distance) ** 2, self._n)

    def _needed(self, alpha: float) -> float:
        return t_of_normal(quantile(alpha), self._n - 1) + quantile(1 - POWER)

    def _ratio_of(self, loss: float) -> float:
        return math.log1p(max(loss, -1 + 1e-12)) if self._exponential else loss / self._factor

    def _loss(self, ratio: float) -> float:
        return math.expm1(min(ratio, 700.0)) if self._exponential else self._factor * ratio

    def _p(self, margin: float, side: int) -> float:
        distance = self._ratio - self._ratio_of(margin)
        if self._error <= 0:
            if not self._exponential and side < 0 and not self._difference.any():
                return math.exp(self._n * min(distance, 0.0) * self._mean)
            return 0.0 if distance * side > 0 else 1.0
        t, skew = distance / self._error, self._skewness
        straight = t + skew * t * t / 3 + skew * skew * t**3 / 27 + skew / 6
        return max(tail(side * normal_of_t(each, self._n - 1)) for each in (t, straight))

    def _bound(self, alpha: float, side: int) -> float | None:
        step = max(self._error, 1e-9) * self._factor
        far = -1 + 1e-12 if side > 0 and self._exponential else -side * 1e9
        return crossing(lambda loss: self._p(loss, side), self.value, alpha, towards=far, step=step)


def document_test(documents: Sequence[Document]) -> MarginTest:
    """Return the test of relative perplexity loss. Raises InvalidInput for fewer than 4 documents."""
    return RatioTest(
        [document.variant_nll - document.baseline_nll for document in documents],
        [document.tokens for document in documents],
        exponential=True,
    )


def outcome_test(outcomes: Sequence[ItemOutcome], kind: LossKind) -> MarginTest:
    """Return the test of a task's loss: by counts where every score is 0 or 1. Raises InvalidInput."""
    counts = paired_counts(outcomes) if outcomes else None
    if counts is not None:
        return CountsTest(counts, kind)
    difference = [outcome.baseline - outcome.variant for outcome in outcomes]
    relative = kind is LossKind.RELATIVE
    return RatioTest(
        difference,
        [outcome.baseline if relative else 1.0 for outcome in outcomes],
        percent=not relative,
    )
