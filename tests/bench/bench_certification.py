"""Items that a certification uses, against a test of fixed size: `pytest -m bench tests/bench/bench_certification.py -s`.

A test of fixed size must be planned before the loss is known. So that it decides at half the limit, the closer of the two
losses, it takes n = (z_0.95 + z_power)^2 x variance / distance^2 items, whatever the loss turns out to be; its power is
how often it then decides. What cannot be beaten: for two errors of 5 % no sequential test at half the limit needs less than
49 % of the items of the fixed test with 95 % power on average (Wald & Wolfowitz, Ann. Math. Stat. 19, 1948).
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest

from planner.domain.certification import Certifier
from tests.domain.test_certification import answers, documents

pytestmark = pytest.mark.bench

LIMIT = 0.05
POWERS = (0.8, 0.95, 0.99, 0.999)
RUNS = 400
NEVER = 10**9
_NORMAL = NormalDist()


def _fixed(variance: float, distance: float, power: float) -> float:
    return (_NORMAL.inv_cdf(0.95) + _NORMAL.inv_cdf(power)) ** 2 * variance / distance**2


def _first(certifier: Certifier, side: int, difference: np.ndarray, base: np.ndarray) -> int:
    path = certifier._gambler(side, certifier._ratio).bet(difference, base)
    return int((path >= certifier._target).argmax()) + 1 if path.max() >= certifier._target else NEVER


@pytest.mark.parametrize(
    ("name", "draw", "bounded", "items"),
    [
        ("0/1 scores, 6 % flips", answers, True, 15_000),
        ("0/1 scores, 20 % flips", lambda rng, n, loss: answers(rng, n, loss, 0.2), True, 45_000),
        ("documents, normal", documents, False, 1000),
        ("documents, heavy tails", lambda rng, n, loss: documents(rng, n, loss, "heavy"), False, 1000),
        (
            "documents, noisy",
            lambda *drawn: _noisy(*drawn),  # noqa: PLW0108 - defined below
            False,
            4000,
        ),
    ],
)
def test_items_used(
    name: str,
    draw: Callable[[np.random.Generator, int, float], tuple[np.ndarray, np.ndarray]],
    bounded: bool,
    items: int,
) -> None:
    ratios: dict[str, dict[float, float]] = {}
    for truth, side in ((LIMIT / 2, -1), (2 * LIMIT, 1)):
        needed, wrong = [], 0
        moments = np.zeros(3)
        for seed in range(RUNS):
            certifier = Certifier(LIMIT, bounded=bounded)
            difference, base = draw(np.random.default_rng(seed), items, truth)
            right, other = (_first(certifier, s, difference, base) for s in (side, -side))
            wrong += other < right
            needed.append(min(right, other, items))
            deviation = difference - certifier._ratio * base
            moments += (deviation.var(), base.mean(), right == NEVER)
        variance, base_mean, missed = moments / RUNS
        half = LIMIT / 2 if bounded else np.log1p(LIMIT) - np.log1p(LIMIT / 2)
        fixed = {power: _fixed(variance, half * base_mean, power) for power in POWERS}
        key = "half the limit" if side < 0 else "twice the limit"
        ratios[key] = {power: float(np.mean(needed)) / size for power, size in fixed.items()}
        print(
            f"\n{name}, loss {key}: {np.mean(needed):.0f} items on average (median {np.median(needed):.0f}, "
            f"p95 {np.quantile(needed, 0.95):.0f}); wrong {wrong / RUNS:.2%}, undecided {missed:.2%}; of the fixed size: "
            + ", ".join(f"{ratio:.0%} at power {power:.1%}" for power, ratio in ratios[key].items())
        )
    mean = {power: sum(each[power] for each in ratios.values()) / 2 for power in POWERS}
    print(
        f"{name}, mean of both: "
        + ", ".join(f"{ratio:.0%} at power {power:.1%}" for power, ratio in mean.items())
    )
    assert mean[0.999] < 1


def _noisy(rng: np.random.Generator, items: int, loss: float) -> tuple[np.ndarray, np.ndarray]:
    """Documents whose differences scatter five times as much."""
    difference, tokens = documents(rng, items, loss)
    return difference + 0.15 * rng.normal(size=items) * tokens, tokens
