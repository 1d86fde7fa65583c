"""The fleet as an integer program: one option per demand, no more devices than there are, solved to proven optimality.

Options are few hundred binaries, so the solver (HiGHS, by way of SciPy) closes the gap entirely; objectives are solved one
after the other, each held at its optimum while the next one decides between equals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import numpy as np

from planner.estimate.columns import Floats

_SLACK: Final = 1e-9
"""How far an earlier objective may be from its optimum, relative to it, while a later one is solved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One way to serve one demand."""

    demand: int
    kind: int
    """Device type, as a position in the pool."""
    devices: int
    utilization: float
    penalty: float
    """What decides between equals: how unsure the loss bound is, then how much is lost."""
    source: int = -1
    """The caller's own number of what is behind it."""


class Program:
    """The constraints of a fleet. Methods return the positions of the chosen options, in the order of the demands."""

    def __init__(self, options: Sequence[Option], pool: Sequence[int], demands: int) -> None:
        self.options = tuple(options)
        self.pool = np.array(pool, dtype=np.float64)
        self.demands = demands
        count = len(self.options)
        self._serves = np.zeros((demands, count))
        self._takes = np.zeros((len(pool), count))
        for position, option in enumerate(self.options):
            self._serves[option.demand, position] = 1
            self._takes[option.kind, position] = option.devices
        self.utilization: Floats = np.array([option.utilization for option in self.options])
        self.penalty: Floats = np.array([option.penalty for option in self.options])
        self.devices: Floats = self._takes.sum(axis=0)

    def cost(self, per_device: Sequence[float]) -> Floats:
        """Return what each option costs, given the cost of a device of each type."""
        weighted: Floats = np.array(per_device, dtype=np.float64) @ self._takes
        return weighted

    def cheapest(self, *stages: Floats) -> list[int] | None:
        """Return the options that minimize the sums of `stages`, the first one first; None when nothing is feasible."""
        rows, bounds = (
            [self._serves, self._takes],
            [(1.0, 1.0)] * self.demands + [(0.0, c) for c in self.pool],
        )
        chosen: Floats | None = None
        for stage in stages:
            chosen = _solve(stage, np.vstack(rows), bounds)
            if chosen is None:
                return None
            best = float(stage @ chosen)
            rows.append(stage[None, :])
            bounds.append((-np.inf, best + _SLACK * max(1.0, abs(best))))
        return None if chosen is None else self._positions(chosen)

    def least_busy(self, *stages: Floats) -> list[int] | None:
        """Return the options whose busiest demand is least busy, then by `stages`; None when nothing is feasible."""
        count = len(self.options)
        rows = np.zeros((2 * self.demands + len(self.pool), count + 1))
        rows[: self.demands, :count] = self._serves
        rows[self.demands : self.demands + len(self.pool), :count] = self._takes
        rows[self.demands + len(self.pool) :, :count] = self._serves * self.utilization
        rows[self.demands + len(self.pool) :, count] = -1
        bounds = [(1.0, 1.0)] * self.demands + [(0.0, c) for c in self.pool] + [(-np.inf, 0.0)] * self.demands
        objective = np.zeros(count + 1)
        objective[count] = 1
        found = _solve(objective, rows, bounds, continuous=1)
        if found is None:
            return None
        worst = max(self.utilization[position] for position in self._positions(found[:count]))
        kept = [
            position
            for position, value in enumerate(self.utilization.tolist())
            if value <= worst * (1 + _SLACK)
        ]
        inner = Program([self.options[position] for position in kept], self.pool.tolist(), self.demands)
        chosen = inner.cheapest(*(stage[kept] for stage in stages))
        return None if chosen is None else [kept[position] for position in chosen]

    def fewest_dropped(self) -> list[int] | None:
        """Return the demands of a smallest set without which the others can be served."""
        count = len(self.options)
        rows = np.zeros((self.demands + len(self.pool), count + self.demands))
        rows[: self.demands, :count] = self._serves
        rows[: self.demands, count:] = np.eye(self.demands)
        rows[self.demands :, :count] = self._takes
        bounds = [(1.0, 1.0)] * self.demands + [(0.0, c) for c in self.pool]
        found = _solve(np.concatenate((np.zeros(count), np.ones(self.demands))), rows, bounds)
        return None if found is None else [int(d) for d in np.flatnonzero(found[count:] > 0.5)]

    def fewest_added(self, per_device: Sequence[float], allowed: Sequence[bool]) -> list[int] | None:
        """Return how many devices to add of each type so that all is served, at the least cost; only `allowed` types."""
        count, kinds = len(self.options), len(self.pool)
        most = float(self._takes.max(initial=0)) * self.demands
        rows = np.zeros((self.demands + kinds, count + kinds))
        rows[: self.demands, :count] = self._serves
        rows[self.demands :, :count] = self._takes
        rows[self.demands :, count:] = -np.eye(kinds)
        bounds = [(1.0, 1.0)] * self.demands + [(-np.inf, c) for c in self.pool]
        upper = np.concatenate((np.ones(count), [most if may else 0.0 for may in allowed]))
        objective = np.concatenate((np.zeros(count), np.array(per_device, dtype=np.float64)))
        found = _solve(objective, rows, bounds, upper=upper)
        return None if found is None else [round(float(n)) for n in found[count:]]

    def largest(self, demand: int, worth: Floats) -> int | None:
        """Return the option of `demand` that is worth most while every other demand is served; None when none can be."""
        value = np.where(self._serves[demand] > 0, -worth, 0.0)
        chosen = self.cheapest(value)
        return None if chosen is None else chosen[demand]

    def _positions(self, chosen: Floats) -> list[int]:
        return [
            int(np.flatnonzero((chosen > 0.5) & (self._serves[demand] > 0))[0])
            for demand in range(self.demands)
        ]


def _solve(
    objective: Floats,
    rows: Floats,
    bounds: Sequence[tuple[float, float]],
    *,
    continuous: int = 0,
    upper: Floats | None = None,
) -> Floats | None:
    """Return the minimizer over integers from 0 to `upper` (1 unless given); the last `continuous` are real numbers."""
    optimize: Any = import_module("scipy.optimize")  # untyped, and a third of a second that only fleets take
    count = len(objective)
    if not count:
        return None  # a demand without any option
    integrality = np.ones(count)
    limit = np.ones(count) if upper is None else upper
    if continuous:
        integrality[-continuous:] = 0
        limit = limit.copy()
        limit[-continuous:] = np.inf
    lower, most = (np.array(side, dtype=np.float64) for side in zip(*bounds, strict=True))
    answer: Any = optimize.milp(
        objective,
        constraints=optimize.LinearConstraint(rows, lower, most),
        integrality=integrality,
        bounds=optimize.Bounds(np.zeros(count), limit),
        options={"mip_rel_gap": 0.0},
    )
    if answer.x is None:
        return None
    found: Floats = np.asarray(answer.x, dtype=np.float64)
    return found
