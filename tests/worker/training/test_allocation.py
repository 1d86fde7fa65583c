from __future__ import annotations

import pytest
import torch

from worker.training.allocation import peak_allocated_bytes, tensor_bytes

pytestmark = pytest.mark.worker

CPU = torch.device("cpu")


def test_the_peak_is_of_what_is_held_at_the_same_time():
    kept = []

    def run() -> None:
        first = torch.zeros(1000, 1000)
        del first
        second = torch.zeros(2000, 1000)
        third = torch.zeros(500, 1000)
        kept.append(third)
        del second

    assert peak_allocated_bytes(run, held_bytes=7, device=CPU) == 7 + 2500 * 1000 * 4


def test_gradients_of_a_product_are_counted():
    weight = torch.nn.Parameter(torch.randn(512, 512))
    inputs = torch.randn(512, 512)
    peak = peak_allocated_bytes(lambda: (inputs @ weight).sum().backward(), held_bytes=0, device=CPU)
    size = 512 * 512 * 4
    assert 2 * size <= peak <= 4 * size


def test_shared_tensors_count_once_and_gradients_too():
    layer = torch.nn.Linear(10, 10, bias=False)
    other = torch.nn.Linear(10, 10, bias=False)
    other.weight = layer.weight
    assert tensor_bytes(layer, other) == 400
    layer(torch.ones(1, 10)).sum().backward()
    assert tensor_bytes(layer, other) == 800
