"""The margin test that may be looked at whenever there are more items: p-values from the bets of `certification`.

Wealth reaches 1/alpha with chance at most alpha over all items together (Ville's inequality), so the smallest 1/wealth so far is a
p-value at every moment, also one chosen by looking. That is what repeated gating of growing evidence needs, and what holds for an
evaluation that stopped by itself. It takes more items than a test of fixed size that is looked at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from planner.domain.certification import Bets, Floats
from planner.domain.margin_test import crossing
from planner.errors import InvalidInput

FAR: Final = 1e3
"""Loss beyond which a bound is not looked for."""


class AnytimeTest:
    """The test of a loss by betting on items in an order that says nothing about their loss.

    `bounded` items are (baseline - variant, baseline) of scores from 0 to 1, or (baseline - variant, 1) with `percent` for points.
    Others are documents, (variant - baseline negative log-likelihood, tokens), and the loss is that of perplexity.
    `margin`, above 0 and in the unit of the loss, is what the stakes are made for; it must not depend on the items. Raises
    InvalidInput when the baseline scores nothing.
    """

    def __init__(
        self,
        difference: Sequence[float],
        base: Sequence[float],
        *,
        margin: float,
        bounded: bool,
        percent: bool = False,
    ) -> None:
        self._difference: Floats = np.asarray(difference, dtype=np.float64)
        self._base: Floats = np.asarray(base, dtype=np.float64)
        self._bounded, self._factor = bounded, 100.0 if percent else 1.0
        self._scale = margin / self._factor
        if not len(self._base) or self._base.sum() <= 0:
            raise InvalidInput("items", "the baseline scores nothing", allowed="a baseline above 0")

    @property
    def value(self) -> float:
        """The loss over all items."""
        return self._loss(float(self._difference.sum()) / float(self._base.sum()))

    @property
    def size(self) -> int:
        """Items or documents."""
        return len(self._base)

    @property
    def method(self) -> str:
        """The test's name."""
        return "betting confidence sequence, valid at every look" + (
            "" if self._bounded else " (asymptotic for documents)"
        )

    def p_below(self, margin: float) -> float:
        """Return the smallest 1/wealth of who bets that the loss is below `margin`."""
        return self._p(margin, -1)

    def p_above(self, margin: float) -> float:
        """Return the smallest 1/wealth of who bets that the loss is above `margin`."""
        return self._p(margin, 1)

    def upper(self, alpha: float) -> float | None:
        """Return the upper bound."""
        return self._bound(alpha, -1)

    def lower(self, alpha: float) -> float | None:
        """Return the lower bound."""
        return self._bound(alpha, 1)

    def detectable(self, margin: float, alpha: float) -> float | None:  # noqa: ARG002 - how far is known only in hindsight
        """Return None: the size is not fixed, so that no effect is the smallest detectable."""
        return None

    def more(self, margin: float, alpha: float) -> int | None:
        """Return about how many more items decide, if the loss is what it seems."""
        side = 1 if self.value > margin else -1
        bets = self._bets(margin)
        return bets.more_items(side, self._difference, self._base, -math.log(alpha))

    def _p(self, margin: float, side: int) -> float:
        best = self._bets(margin).best(side, self._difference, self._base)
        return math.exp(-max(best, 0.0))

    def _bets(self, margin: float) -> Bets:
        return Bets(margin / self._factor, bounded=self._bounded, scale=self._scale)

    def _bound(self, alpha: float, side: int) -> float | None:
        most = self._factor * (1 - 1e-9) if self._bounded else FAR
        least = -FAR * self._factor if self._bounded else -1 + 1e-9
        return crossing(
            lambda loss: self._p(loss, side),
            self.value,
            alpha,
            towards=most if side < 0 else least,
            step=self._scale * self._factor / 4,
        )

    def _loss(self, ratio: float) -> float:
        return self._factor * ratio if self._bounded else math.expm1(min(ratio, 700.0))
