"""Times and sizes over repeated runs, against a limit, or against another's runs by a margin.

A percentile of one run says nothing about how runs differ: three runs of the same serving benchmark gave p99 TTFT of 533, 740
and 597 ms (vLLM pull request 7062). So the run is the sampling unit. Times are compared on a logarithmic scale, where a regression is
a factor: Student's t for one group, Welch's for two (Welch, Biometrika 34, 1947). Runs that agree exactly are exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from planner.domain.margin_test import POWER, more_of, normal_of_t, quantile, t_of_normal, tail
from planner.errors import InvalidInput

MIN_RUNS: Final = 2
_FLAT: Final = 1e-12
"""Spread of logarithms below which runs agree exactly."""


class RunsTest:
    """The test of a mean over runs against a limit, or, with `reference`, of its regression against a margin.

    Without `reference` value and margins are in the unit of the runs; with it they are ratios: 0.05 is 5 % more than the
    reference. Raises InvalidInput for fewer than two runs, or values not above 0.
    """

    def __init__(self, runs: Sequence[float], reference: Sequence[float] | None = None) -> None:
        groups = [np.asarray(runs, float)] + ([] if reference is None else [np.asarray(reference, float)])
        for group in groups:
            if len(group) < MIN_RUNS or not (group > 0).all():
                raise InvalidInput(
                    "runs", f"{len(group)} say too little", allowed=f"at least {MIN_RUNS} runs above 0"
                )
        logs = [np.log(group) for group in groups]
        self._relative = reference is not None
        self._runs = len(runs)
        self._centre = float(logs[0].mean() - (logs[1].mean() if reference is not None else 0.0))
        shares = [float(log.var(ddof=1)) / len(log) for log in logs]
        self._error = math.sqrt(sum(shares))
        if self._error <= _FLAT:
            self._error, self._degrees = 0.0, sum(len(log) - 1 for log in logs)
        else:
            below = sum(share**2 / (len(log) - 1) for share, log in zip(shares, logs, strict=True))
            self._degrees = max(1, math.floor(sum(shares) ** 2 / below))

    @property
    def value(self) -> float:
        """The geometric mean over runs, or how much it is above the reference's, as a ratio."""
        return self._from_log(self._centre)

    @property
    def size(self) -> int:
        """Runs of what is judged."""
        return self._runs

    @property
    def method(self) -> str:
        """The test's name."""
        return "Welch's t of logarithms over runs" if self._relative else "t of logarithms over runs"

    def p_below(self, margin: float) -> float:
        """Return the chance of runs this good if the truth were `margin`."""
        return self._p(margin, -1)

    def p_above(self, margin: float) -> float:
        """Return the chance of runs this bad if the truth were `margin`."""
        return self._p(margin, 1)

    def upper(self, alpha: float) -> float:
        """Return the upper bound."""
        return self._from_log(self._centre + self._half(alpha))

    def lower(self, alpha: float) -> float:
        """Return the lower bound."""
        return self._from_log(self._centre - self._half(alpha))

    def detectable(self, margin: float, alpha: float) -> float:
        """Return how far from the margin the truth must be to be decided with POWER by this many runs."""
        reach = self._half(alpha) + quantile(1 - POWER) * self._error
        return abs(self._from_log(self._log(margin) + reach) - margin)

    def more(self, margin: float, alpha: float) -> int | None:
        """Return about how many more runs (of each) decide with POWER, if the truth is what it seems."""
        distance = abs(self._log(margin) - self._centre)
        if distance <= 0 or self._error <= 0:
            return None
        needed = self._half(alpha) + quantile(1 - POWER) * self._error
        return more_of(self._runs * (needed / distance) ** 2, self._runs)

    def _log(self, margin: float) -> float:
        return math.log1p(margin) if self._relative else math.log(margin)

    def _from_log(self, value: float) -> float:
        bounded = min(value, 700.0)
        return math.expm1(bounded) if self._relative else math.exp(bounded)

    def _half(self, alpha: float) -> float:
        return t_of_normal(quantile(alpha), self._degrees) * self._error

    def _p(self, margin: float, side: int) -> float:
        distance = side * (self._centre - self._log(margin))
        if self._error <= 0:
            return 0.0 if distance > 0 or (side < 0 and distance >= 0) else 1.0
        return tail(normal_of_t(distance / self._error, self._degrees))
