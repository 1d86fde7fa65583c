"""Several tests at once: Holm's step-down procedure, which keeps the chance of any false rejection at the level of one test.

Source: Holm, A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6, 1979. It holds under any dependence
between the tests, so tasks that share items or a model may be judged together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Adjusted:
    """A p-value among several: rejected when `p_value` <= alpha, which is the same as raw p-value <= `level`."""

    p_value: float
    level: float
    """The level the step-down procedure gives this test: what a bound that agrees with the rejection is taken at."""


def holm(p_values: Sequence[float], *, alpha: float) -> tuple[Adjusted, ...]:
    """Return each p-value adjusted for all of them, in their order."""
    count = len(p_values)
    order = sorted(range(count), key=lambda each: p_values[each])
    found: dict[int, Adjusted] = {}
    running, level, stopped = 0.0, alpha, False
    for rank, position in enumerate(order):
        running = min(1.0, max(running, (count - rank) * p_values[position]))
        if not stopped:
            level = alpha / (count - rank)
            stopped = p_values[position] > level
        found[position] = Adjusted(p_value=running, level=level)
    return tuple(found[position] for position in range(count))
