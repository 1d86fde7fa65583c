"""What every test against a margin answers, and the arithmetic they share: tails, bounds by inversion, and size.

A quantity that is better when smaller (a loss, a time, a number of bytes) is *shown below* a margin when records this good
would be rare if it lay at the margin, and *shown above* when records this bad would be. Neither is "cannot tell", which
a plain comparison with a threshold never says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Final, Protocol

POWER: Final = 0.9
"""Chance of a decision that a number of items is planned for."""
MOST: Final = 10_000_000
"""Items beyond which "more items" is no advice."""
NORMAL: Final = NormalDist()
_STEPS: Final = 60


class MarginTest(Protocol):
    """A test of one quantity against margins in its own unit. `size` counts what was sampled: items, documents, runs."""

    @property
    def value(self) -> float:
        """The estimate."""
        ...

    @property
    def size(self) -> int:
        """How many were sampled."""
        ...

    @property
    def method(self) -> str:
        """The test's name."""
        ...

    def p_below(self, margin: float) -> float:
        """Return the chance of records this good if the quantity were `margin`; small shows that it is below."""
        ...

    def p_above(self, margin: float) -> float:
        """Return the chance of records this bad if the quantity were `margin`; small shows that it is above."""
        ...

    def upper(self, alpha: float) -> float | None:
        """Return the bound above: the largest margin not rejected by `p_below` at `alpha`; None when there is none."""
        ...

    def lower(self, alpha: float) -> float | None:
        """Return the bound below."""
        ...

    def detectable(self, margin: float, alpha: float) -> float | None:
        """Return how far from the margin the quantity must lie to be decided with POWER; None when unknown."""
        ...

    def more(self, margin: float, alpha: float) -> int | None:
        """Return about how many more would decide with POWER, if the quantity is what it seems; None when none would."""
        ...


def tail(z: float) -> float:
    """Return the chance that a standard normal exceeds `z`."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def density(z: float) -> float:
    """Return the standard normal density."""
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def quantile(alpha: float) -> float:
    """Return the deviate that a standard normal exceeds with chance `alpha`."""
    return NORMAL.inv_cdf(1 - min(max(alpha, 1e-15), 0.5))


def normal_of_t(t: float, degrees: int) -> float:
    """Return the normal deviate with the tail of Student's `t`.

    Wallace, Bounds on normal approximations to Student's and the chi-square distributions, Ann. Math. Stat. 30, 1959.
    It errs on the careful side: at 5 % by 2 % of the quantile for 2 degrees, 0.5 % for 3, 0.1 % for 5; more further out.
    """
    scale = (8 * degrees + 1) / (8 * degrees + 3)
    return math.copysign(scale * math.sqrt(degrees * math.log1p(t * t / degrees)), t)


def t_of_normal(z: float, degrees: int) -> float:
    """Return Student's t with the tail of the normal deviate `z`: the inverse of `normal_of_t`."""
    stretched = z * (8 * degrees + 3) / (8 * degrees + 1)
    return math.copysign(math.sqrt(degrees * math.expm1(min(stretched * stretched / degrees, 700.0))), z)


def crossing(
    p_value: Callable[[float], float], start: float, alpha: float, *, towards: float, step: float
) -> float | None:
    """Return where `p_value` falls to `alpha` on the way from `start` to `towards`, looking ever further; None if nowhere.

    What is returned is on the side that is not rejected by at most 2**-60 of the stretch searched.
    """
    inside, outside = start, start
    side = math.copysign(1.0, towards - start)
    for _ in range(80):
        outside = start + side * step
        if (outside - towards) * side >= 0:
            outside = towards
        if p_value(outside) <= alpha:
            break
        if outside == towards:
            return None
        inside, step = outside, 2 * step
    else:
        return None
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        if p_value(middle) <= alpha:
            outside = middle
        else:
            inside = middle
    return outside


def more_of(needed: float, size: int) -> int | None:
    """Return how many more than `size` make `needed`, at least 1; None beyond MOST."""
    if not math.isfinite(needed) or needed > MOST:
        return None
    return max(1, math.ceil(needed) - size)
