from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from worker.recipes.magnitudes import Magnitudes, watch

pytestmark = pytest.mark.worker


@pytest.mark.parametrize("spread", [1e-6, 1.0, 1e5])
@pytest.mark.parametrize("percent", [50.0, 99.0, 99.99])
def test_percentiles_are_known_to_a_bin(spread, percent):
    values = torch.randn(20_000, generator=torch.Generator().manual_seed(5)) * spread
    seen = Magnitudes()
    for piece in values.split(3000):
        seen.add(piece)
    exact = float(np.quantile(values.abs().numpy(), percent / 100))
    assert exact / 1.012 <= seen.percentile(percent) <= exact * 1.012
    assert seen.most == float(values.abs().max())
    assert seen.percentile(100.0) == seen.most


def to_int8(steps):
    return steps.round().clamp(max=127)


def squared_error(values, limit):
    scale = limit / 127
    return float((to_int8(values.abs() / scale) * scale - values.abs()).square().sum())


@pytest.mark.parametrize("outlier", [1.0, 30.0, 1000.0])
def test_the_scale_of_least_error_is_that_of_the_values_themselves(outlier):
    values = torch.randn(50_000, generator=torch.Generator().manual_seed(6))
    values[:20] *= outlier
    seen = Magnitudes()
    seen.add(values)
    chosen = seen.least_error(to_int8, 127)
    best = min(squared_error(values, seen.most * 2 ** (-step / 32)) for step in range(300))
    assert squared_error(values, chosen) <= 1.05 * best
    assert chosen <= seen.most
    if outlier == 30.0:  # a few large values are worth saturating; a thousandfold one is worth the grid
        assert chosen < 0.8 * seen.most


def test_zeros_and_what_is_not_finite():
    seen = Magnitudes()
    seen.add(torch.zeros(10))
    assert seen.percentile(99.0) == seen.most == 0.0
    seen.add(torch.tensor([1.0, float("nan")]))
    assert seen.most == math.inf


def test_every_linear_layer_is_watched_and_let_go():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.first, self.second = nn.Embedding(10, 8), nn.Linear(8, 8), nn.Linear(8, 8)
            self.device = torch.device("cpu")

        def forward(self, input_ids: torch.Tensor, use_cache: bool) -> Any:
            assert not use_cache
            return self.second(torch.full_like(self.first(self.table(input_ids)), 3.0))

    model, told = Model(), []
    seen = watch(model, [np.array([1, 2, 3]), np.array([4])], lambda share, text: told.append((share, text)))
    assert set(seen) == {"first", "second"}
    assert seen["second"].most == 3.0
    assert [share for share, _ in told] == [0.0, 0.5]
    assert not model.first._forward_pre_hooks
