from __future__ import annotations

import itertools

import pytest
import torch

from worker.training.optimizer import MasterAdamW, rate_share

pytestmark = pytest.mark.worker


def test_the_rate_rises_then_falls_to_nothing():
    shares = [rate_share(step, 100) for step in range(100)]
    assert shares[0] == pytest.approx(0.1)
    assert max(shares) == pytest.approx(1.0)
    assert shares.index(max(shares)) in {9, 10}
    assert all(a >= b for a, b in itertools.pairwise(shares[10:]))
    assert shares[-1] == pytest.approx(0, abs=1e-3)
    assert rate_share(0, 1) == 1


def test_small_steps_add_up_in_sixteen_bits():
    weight = torch.nn.Parameter(torch.ones(8, dtype=torch.bfloat16))
    optimizer = MasterAdamW([weight], learning_rate=1e-4, steps=200)
    for _ in range(200):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    # a step of 1e-4 is 40 times smaller than what BF16 can tell from 1
    assert (weight < 0.995).all()
    assert weight.dtype is torch.bfloat16
    assert optimizer.held_bytes == 3 * 8 * 4 + 4
    assert optimizer.parameters == 8


def test_in_full_precision_it_is_plain_adamw_with_clipping():
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.linspace(-1, 1, 6)) for _ in range(2))
    optimizer = MasterAdamW([ours], learning_rate=1e-2, steps=1)
    plain = torch.optim.AdamW([theirs], lr=1e-2, betas=(0.9, 0.95), weight_decay=0.0)
    gradient = torch.randn(6) * 10
    ours.grad, theirs.grad = gradient.clone(), gradient.clone()
    optimizer.step()
    torch.nn.utils.clip_grad_norm_([theirs], 1.0)
    plain.step()
    assert torch.equal(ours, theirs)
    assert ours.grad is None


def test_what_needs_no_gradient_is_left_alone():
    trained, frozen = (
        torch.nn.Parameter(torch.ones(2)),
        torch.nn.Parameter(torch.ones(3), requires_grad=False),
    )
    optimizer = MasterAdamW([trained, frozen], learning_rate=0.1, steps=1)
    trained.grad = torch.ones(2)
    optimizer.step()
    assert optimizer.parameters == 2
    assert torch.equal(frozen, torch.ones(3))
