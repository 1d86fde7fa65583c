"""An exact optimizer for one choice per group: every total size at which a smaller loss can be had, and how.

This is the multiple-choice knapsack problem (Kellerer, Pferschy & Pisinger, Knapsack Problems (2004), chapter 11), solved
by extending the list of undominated totals group by group (Nemhauser & Ullmann, 1969). The result is the whole frontier,
so a budget of either kind is a look-up. There are never more points than different total sizes, and blocks of a model
are alike, so their number stays small where it would be exponential in general.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from planner.errors import InvalidInput

MAX_POINTS: Final = 2_000_000

Sizes = npt.NDArray[np.int64]
Losses = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Option:
    """One way to hold a group: its size in any whole unit, and the loss it is predicted to add (not negative)."""

    size: int
    loss: float


@dataclass(frozen=True)
class Frontier:
    """The undominated totals: sizes rise strictly, losses fall strictly."""

    sizes: Sizes
    losses: Losses
    _steps: tuple[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]], ...]
    """Per group: the point each point was extended from, and by which option."""

    def __len__(self) -> int:
        return len(self.sizes)

    def choice(self, point: int) -> tuple[int, ...]:
        """Return the option of every group at a point."""
        chosen: list[int] = []
        for parents, options in reversed(self._steps):
            chosen.append(int(options[point]))
            point = int(parents[point])
        return tuple(reversed(chosen))

    def largest_within(self, size: int) -> int | None:
        """Return the point with the least loss whose size is at most `size`, None when there is none."""
        point = int(np.searchsorted(self.sizes, size, side="right")) - 1
        return point if point >= 0 else None

    def smallest_within(self, loss: float) -> int | None:
        """Return the smallest point whose loss is at most `loss`, None when there is none."""
        point = int(np.searchsorted(-self.losses, -loss, side="left"))
        return point if point < len(self) else None


def find_frontier(groups: Sequence[Sequence[Option]]) -> Frontier:
    """Return the exact frontier over all ways to take one option of each group.

    Raises InvalidInput when it has more than two million points, which takes thousands of groups of unlike sizes.
    """
    sizes: Sizes = np.zeros(1, dtype=np.int64)
    losses: Losses = np.zeros(1)
    steps: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]] = []
    for options in groups:
        count = len(sizes)
        all_sizes = np.concatenate([sizes + option.size for option in options])
        all_losses = np.concatenate([losses + option.loss for option in options])
        order = np.lexsort((all_losses, all_sizes))
        least = np.minimum.accumulate(all_losses[order])
        better = np.concatenate([[True], all_losses[order][1:] < least[:-1]])
        kept = order[better]
        if len(kept) > MAX_POINTS:
            raise InvalidInput(
                "recipe.grouping", f"leaves more than {MAX_POINTS} mixes to compare", allowed="larger groups"
            )
        sizes, losses = all_sizes[kept], all_losses[kept]
        steps.append(((kept % count).astype(np.int32), (kept // count).astype(np.int32)))
    return Frontier(sizes, losses, tuple(steps))
