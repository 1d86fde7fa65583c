"""Sequential certification: "is loss <= limit?" decided at the first item where it can be, with a bounded error.

The idea is a bet (Waudby-Smith & Ramdas, Estimating means of bounded random variables by betting, J. R. Stat. Soc. B 86,
2024). Loss is a ratio of means, E[difference] / E[base], so "loss = r" says that difference - r x base has mean zero,
and nobody can get rich betting against a true statement: wealth reaches 1/alpha with probability at most alpha, over all
items together (Ville's inequality). One gambler bets that the loss is below the limit, one that it is above; the first
to reach 1/alpha decides. Stopping at any item, for any reason, keeps the error. Inverting the bet for every r gives the
bounds of a confidence sequence.

Stakes are those that grow fastest at half and at twice the limit (Kelly's, gain / variance, both from earlier items
only), mixed with smaller ones so that losses nearer to the limit are decided too, and with one that follows the gains seen. Two forms differ in how much can be
lost on one item. Scores lie between 0 and 1: the error bound is exact. Log-likelihoods have no bound: stakes are kept below a
fifth of what would be lost at one standard deviation seen so far, and the error holds asymptotically (see
`tests/domain/test_certification.py` for what it is on few and on skewed documents), so nothing is decided on fewer documents
than an interval of fixed size would need.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from planner.domain.evaluation import Certification, Decision
from planner.domain.loss import CONFIDENCE, FEWEST_ITEMS
from planner.errors import InvalidInput

Floats = npt.NDArray[np.float64]

STAKES: Final = np.array([1.0, 0.5, 0.25])
"""Stakes as shares of the one that grows fastest at the design alternative."""
SHARES: Final = np.array([0.73, 0.13, 0.07, 0.07])
"""Of the wealth, how much is bet with each stake; the last is that of the gain seen so far, for losses far from the limit."""
PRIOR_ITEMS: Final = 20
PRIOR_VARIANCE: Final = 0.1
"""What is taken for the variance of score differences before any is seen, and how many items that weighs."""
MOST_AT_RISK: Final = 0.9
"""Share of its wealth that a bet on bounded scores may lose on one item."""
DEVIATIONS: Final = 5.0
"""Standard deviations below the gain expected at which a bet on unbounded differences loses everything."""
FIRST_BET: Final = 8
"""Unbounded differences are only watched, to learn their variance, before this many were seen."""
_RUIN: Final = 1e-6
_STEPS: Final = 48
_LEAST_BASE: Final = 1e-9
"""A mean baseline score below it is taken for none: no test has that many items."""


class _Gambler:
    """Wealth of one who bets that the loss is on one side of `ratio`: -1 below it, 1 above it."""

    def __init__(self, side: int, ratio: float, step: float, *, bounded: bool) -> None:
        self._side, self._ratio, self._step, self._bounded = side, ratio, step, bounded
        self._logs: Floats = np.zeros(len(SHARES))
        self._items = 0
        self._sums: Floats = np.zeros(3)

    def bet(self, difference: Floats, base: Floats) -> Floats:
        """Return the logarithm of the wealth after each further item."""
        gain = self._side * (difference - self._ratio * base)
        sums = np.cumsum(np.vstack([self._sums, np.column_stack([gain, gain**2, base])]), axis=0)
        stakes = self._stakes(self._items + np.arange(len(gain)), *sums[:-1].T)
        factors = np.log(np.maximum(1 + stakes * gain[:, None], _RUIN))
        logs: Floats = self._logs + np.cumsum(factors, axis=0)
        if len(gain):
            self._logs, self._sums = logs[-1], sums[-1]
            self._items += len(gain)
        peak = logs.max(axis=1)
        wealth: Floats = peak + np.log(np.exp(logs - peak[:, None]) @ SHARES)
        return wealth

    def next_stakes(self, difference: Floats, base: Floats) -> Floats:
        """Return the stakes on the item that follows these."""
        self.bet(difference, base)
        return np.asarray(self._stakes(np.array([self._items]), *self._sums[:, None])[0])

    def _stakes(self, seen: npt.NDArray[np.int64], gains: Floats, squares: Floats, bases: Floats) -> Floats:
        """Return the stakes on each item (items x stakes), from the sums over the items before it."""
        count = np.maximum(seen, 1)
        mean = gains / count
        design = self._step * bases / count
        expected = np.column_stack([design[:, None] * STAKES, np.maximum(design, mean)])
        if self._bounded:
            variance = (PRIOR_ITEMS * PRIOR_VARIANCE + squares - seen * mean**2) / (PRIOR_ITEMS + seen)
            variance = np.maximum(variance, 0)[:, None]
            limit = MOST_AT_RISK / (1 + abs(self._ratio))
            return np.asarray(np.minimum(expected / np.maximum(variance + expected**2, 1e-12), limit))
        variance = np.maximum(squares / count - mean**2, 0) * (1 + FIRST_BET / count)
        # identical documents have no variance: a thousandth of what is expected keeps the stake finite
        variance = np.maximum(variance, (1e-3 * self._step * bases / count) ** 2)[:, None]
        most = 1 / (DEVIATIONS * np.sqrt(np.maximum(variance, 1e-300)))
        stakes = np.minimum(expected / np.maximum(variance + expected**2, 1e-300), most)
        return np.asarray(np.where(seen[:, None] < FIRST_BET, 0.0, stakes))

    def gains(self, difference: Floats, base: Floats) -> Floats:
        """Return what each item adds for every unit staked."""
        return np.asarray(self._side * (difference - self._ratio * base))


def _items_to(
    target: float, gambler: _Gambler, wealth: float, difference: Floats, base: Floats
) -> int | None:
    """Return about how many items more bring the logarithm of the wealth to `target`, if the rest is like these."""
    gains = gambler.gains(difference, base)
    stakes = gambler.next_stakes(difference, base)
    growth = stakes * gains.mean() - stakes**2 * (gains**2).mean() / 2
    if growth.max() <= 0:
        return None
    best = int(growth.argmax())
    missing = target - math.log(SHARES[best]) - max(wealth, 0.0)
    return max(1, math.ceil(missing / float(growth[best])))


class Certifier:
    """Decides "relative loss <= limit" from paired items, one after the other.

    With `bounded`, items are scores between 0 and 1: add (baseline - variant, baseline), or (baseline - variant, 1) for
    the absolute loss as a share. Without, they are documents:
    add (variant - baseline negative log-likelihood, tokens), and the loss is that of perplexity, exp(ratio) - 1. The
    items must come in an order that says nothing about their loss. Raises InvalidInput.
    """

    def __init__(self, limit: float, *, confidence: float = CONFIDENCE, bounded: bool) -> None:
        if not 0 < limit < 1:
            raise InvalidInput(
                "certify", f"{limit} is out of range", allowed="a relative loss above 0 and below 1"
            )
        if not 0.5 < confidence < 1:
            raise InvalidInput("confidence", f"{confidence} is out of range", allowed="above 0.5, below 1")
        self._limit, self._confidence, self._bounded = limit, confidence, bounded
        self._ratio = limit if bounded else math.log1p(limit)
        half, twice = (limit / 2, 2 * limit) if bounded else (math.log1p(limit / 2), math.log1p(2 * limit))
        self._step = {-1: self._ratio - half, 1: twice - self._ratio}
        self._gamblers = {side: self._gambler(side, self._ratio) for side in (-1, 1)}
        self._target = -math.log(1 - confidence)
        self._wealth = {-1: 0.0, 1: 0.0}
        self._richest = {-1: 0.0, 1: 0.0}
        self._fewest = 1 if bounded else FEWEST_ITEMS
        self._decision = Decision.UNDECIDED
        self._difference: list[float] = []
        self._base: list[float] = []

    @property
    def decision(self) -> Decision:
        """What is known so far; once decided it stays so."""
        return self._decision

    @property
    def items(self) -> int:
        """Items added."""
        return len(self._base)

    def add(self, difference: float, base: float) -> Decision:
        """Take one more item. Raises InvalidInput when a bounded score is not between 0 and 1."""
        if not (math.isfinite(difference) and math.isfinite(base)):
            raise InvalidInput("item", f"{difference}, {base} are not finite", allowed="numbers")
        if self._bounded and not (0 <= base <= 1 and -1 <= difference <= 1):
            raise InvalidInput("item", f"{base} and {base - difference} are no scores", allowed="0 to 1")
        self._difference.append(difference)
        self._base.append(base)
        for side, decision in ((-1, Decision.CERTIFIED), (1, Decision.VIOLATED)):
            wealth = float(self._gamblers[side].bet(np.array([difference]), np.array([base]))[0])
            self._wealth[side] = wealth
            self._richest[side] = max(self._richest[side], wealth)
            decides = self._richest[side] >= self._target and self.items >= self._fewest
            if decides and self._decision is Decision.UNDECIDED:
                self._decision = decision
        return self._decision

    def is_finished(self) -> bool:
        """Return whether one may stop: it is decided, and the loss is bounded on both sides, which takes a little longer."""
        return self._decision is not Decision.UNDECIDED and None not in self.bounds()

    def bounds(self) -> tuple[float | None, float | None]:
        """Return the lower and upper bound of the relative loss, each at the confidence; None where there is none yet.

        They agree with the decision: certified means upper <= limit, violated means lower >= limit. On too few documents
        there are none. Where the baseline scores practically nothing, no ratio to it can be told, and the decision is all
        that is known.
        """
        if self.items < self._fewest:
            return None, None
        if not self._has_base():
            violated, certified = (
                self._decision is known for known in (Decision.VIOLATED, Decision.CERTIFIED)
            )
            return self._limit if violated else None, self._limit if certified else None
        lower, upper = self._bound(1), self._bound(-1)
        if self._bounded:
            return lower, 1.0 if upper is None else min(upper, 1.0)
        return (
            None if lower is None else math.expm1(lower),
            None if upper is None else math.expm1(upper),
        )

    def result(self, available: int) -> Certification:
        """Return the record of this certification, of which `available` items there were."""
        lower, upper = self.bounds()
        return Certification(
            limit=self._limit,
            confidence=self._confidence,
            decision=self._decision,
            items=self.items,
            available=available,
            lower=lower,
            upper=upper,
            exact=self._bounded,
            method=(
                "betting confidence sequence, bounded scores"
                if self._bounded
                else f"betting confidence sequence, stakes within {DEVIATIONS:g} running standard deviations, asymptotic"
            ),
            more_items=self.more_items(),
        )

    def more_items(self) -> int | None:
        """Return about how many items more would decide, if the loss is what it seems; None when that never ends."""
        if self._decision is not Decision.UNDECIDED or self.items < 2:
            return None
        difference, base = np.array(self._difference), np.array(self._base)
        if not self._has_base():
            return None
        gap = float(difference.sum() / base.sum()) - self._ratio
        side = 1 if gap > 0 else -1
        gambler = self._gambler(side, self._ratio)
        more = _items_to(self._target, gambler, self._wealth[side], difference, base)
        return None if more is None else max(more, self._fewest - self.items)

    def _has_base(self) -> bool:
        """Return whether the baseline's sum is large enough to divide by."""
        return sum(self._base) > _LEAST_BASE * self.items

    def _gambler(self, side: int, ratio: float) -> _Gambler:
        return _Gambler(side, ratio, self._step[side], bounded=self._bounded)

    def _rejects(self, side: int, ratio: float) -> bool:
        """Return whether the gambler on this side of `ratio` ever got rich."""
        path = self._gambler(side, ratio).bet(np.array(self._difference), np.array(self._base))
        return bool(path.max() >= self._target)

    def _bound(self, side: int) -> float | None:
        """Return where one gambler begins to get rich: below (side 1) or above (side -1) what the items say."""
        centre = sum(self._difference) / sum(self._base)
        decided = Decision.VIOLATED if side == 1 else Decision.CERTIFIED
        if self._decision is decided:
            inside, outside = centre, self._ratio
            if (inside - outside) * side <= 0:
                return self._ratio
        else:
            inside = min(centre, self._ratio) if side == 1 else max(centre, self._ratio)
            outside, width = inside, max(self._step[side], abs(centre - self._ratio))
            for _ in range(24):
                outside = inside - side * width
                if self._rejects(side, outside):
                    break
                width *= 2
            else:
                return None
        for _ in range(_STEPS):
            middle = (inside + outside) / 2
            if self._rejects(side, middle):
                outside = middle
            else:
                inside = middle
        return outside


class Bets:
    """The bets of both gamblers on all items at once, for p-values at any confidence: 1/wealth bounds the chance of an error.

    `limit` is the loss bet around; `scale` is the loss whose half and twice the stakes are made for, the limit itself in a
    certification.
    """

    def __init__(self, limit: float, *, scale: float, bounded: bool) -> None:
        if bounded:
            self._ratio, steps = limit, (scale / 2, scale)
        else:
            self._ratio = math.log1p(limit)
            steps = (
                math.log1p(scale) - math.log1p(scale / 2),
                math.log1p(2 * scale) - math.log1p(scale),
            )
        self._step = {-1: steps[0], 1: steps[1]}
        self._bounded = bounded

    def best(self, side: int, difference: Floats, base: Floats) -> float:
        """Return the logarithm of the most wealth that who bets "below" (-1) or "above" (1) ever had."""
        return float(self._gambler(side).bet(difference, base).max())

    def more_items(self, side: int, difference: Floats, base: Floats, target: float) -> int | None:
        """Return about how many items more bring the logarithm of the wealth to `target`; None when that never ends."""
        gambler = self._gambler(side)
        wealth = float(gambler.bet(difference, base)[-1])
        return _items_to(target, self._gambler(side), wealth, difference, base)

    def _gambler(self, side: int) -> _Gambler:
        return _Gambler(side, self._ratio, self._step[side], bounded=self._bounded)
