"""Intervals that are said to hold the truth 9 times in 10 do, and a certified bound fails at most about 1 time in 20.

Simulated with fixed seeds, so these tests either always pass or never; tolerances are about three standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from planner.domain import loss as module
from planner.domain.evaluation import Document, PairedCounts
from planner.domain.figure import Basis, Figure
from planner.domain.loss import LossKind, counts_loss, perplexity_loss, scores_loss


def coverage(
    simulate: Callable[[np.random.Generator], Figure], truth: float, *, runs: int, seed: int
) -> tuple[float, float]:
    """Return how often the interval held `truth`, and how often its upper end did."""
    rng = np.random.default_rng(seed)
    inside = below = 0
    for _ in range(runs):
        interval = simulate(rng).interval
        assert interval is not None
        assert interval.confidence == pytest.approx(0.9)
        inside += interval.lo <= truth <= interval.hi
        below += truth <= interval.hi
    return inside / runs, below / runs


@pytest.mark.parametrize("documents", [8, 30, 120])
def test_perplexity_interval(documents: int):
    """Documents of very different length, with differences that vary between them: the ratio estimator's case."""
    per_token = 0.01

    def simulate(rng: np.random.Generator) -> Figure:
        tokens = rng.integers(50, 600, size=documents)
        change = tokens * (per_token + rng.normal(0, 0.01, size=documents))
        base = tokens * rng.normal(2.5, 0.3, size=documents)
        return perplexity_loss(
            [
                Document(id=str(i), tokens=int(t), baseline_nll=float(b), variant_nll=float(b + c))
                for i, (t, b, c) in enumerate(zip(tokens, base, change, strict=True))
            ],
            basis=Basis.MEASURED,
        )

    inside, below = coverage(simulate, math.expm1(per_token), runs=500, seed=documents)
    assert 0.85 <= inside <= 0.94
    assert below >= 0.92


@pytest.mark.parametrize(
    ("items", "only_baseline", "only_variant"),
    [(100, 0.05, 0.03), (400, 0.05, 0.04), (1000, 0.03, 0.02), (1000, 0.003, 0.001), (400, 0.005, 0.003), (100, 0.02, 0.01), (300, 0.01, 0.0)],
)  # fmt: skip
@pytest.mark.parametrize("kind", LossKind)
def test_counts_interval(
    items: int, only_baseline: float, only_variant: float, kind: LossKind, monkeypatch: pytest.MonkeyPatch
):
    """From many changed answers to a handful, where a plain bootstrap would certify wrongly 1 time in 7."""
    monkeypatch.setattr(module, "BOOTSTRAP_RESAMPLES", 2000)
    right = 0.75
    shares = [right - only_baseline, only_baseline, only_variant, 1 - right - only_variant]
    difference = only_baseline - only_variant
    truth = difference / right if kind is LossKind.RELATIVE else 100 * difference

    def simulate(rng: np.random.Generator) -> Figure:
        cells = [int(cell) for cell in rng.multinomial(items, shares)]
        counts = PairedCounts(
            both_right=cells[0], only_baseline=cells[1], only_variant=cells[2], both_wrong=cells[3]
        )
        return counts_loss(counts, kind=kind, basis=Basis.MEASURED, seed=int(rng.integers(1 << 30)))

    inside, below = coverage(simulate, truth, runs=300, seed=items)
    assert inside >= 0.86
    assert below >= 0.92


@pytest.mark.parametrize("kind", LossKind)
def test_graded_scores_interval(kind: LossKind, monkeypatch: pytest.MonkeyPatch):
    """Scores between 0 and 1, where variant and baseline are correlated item by item."""
    monkeypatch.setattr(module, "BOOTSTRAP_RESAMPLES", 1000)
    population = np.random.default_rng(11)
    base = population.beta(4, 2, size=200_000)
    other = np.clip(base - 0.01 + population.normal(0, 0.05, size=base.size), 0, 1)
    difference = float(base.mean() - other.mean())
    truth = difference / float(base.mean()) if kind is LossKind.RELATIVE else 100 * difference

    def simulate(rng: np.random.Generator) -> Figure:
        rows = rng.integers(0, base.size, size=80)
        return scores_loss(
            base[rows].tolist(),
            other[rows].tolist(),
            kind=kind,
            basis=Basis.MEASURED,
            seed=int(rng.integers(1 << 30)),
        )

    inside, below = coverage(simulate, truth, runs=250, seed=5)
    assert 0.84 <= inside <= 0.95
    assert below >= 0.91
