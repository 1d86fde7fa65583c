from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from worker.training.objectives import Distillation, NextToken

pytestmark = pytest.mark.worker

BATCH = torch.tensor([[1, 2, 3, 0], [3, 3, 1, 2]])


class Fixed:
    """A model that gives the same logits whatever it is asked."""

    def __init__(self, seed: int, **more: bool) -> None:
        self.logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(seed)).requires_grad_(
            **more
        )

    def __call__(self, *, input_ids, use_cache):
        assert input_ids.shape == (2, 3)
        return SimpleNamespace(logits=self.logits)


def test_next_token_is_the_mean_of_minus_log_probability():
    model = Fixed(0)
    probabilities = torch.softmax(model.logits, -1)
    expected = -torch.stack(
        [probabilities[row, place, BATCH[row, place + 1]].log() for row in range(2) for place in range(3)]
    ).mean()
    assert torch.allclose(NextToken()(model, BATCH), expected)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_distillation_is_forward_divergence_times_the_temperature_squared(temperature):
    teacher, student = Fixed(1), Fixed(2)
    p, q = (torch.softmax(model.logits / temperature, -1) for model in (teacher, student))
    expected = temperature**2 * (p * (p / q).log()).sum(-1).mean()
    assert torch.allclose(Distillation(teacher, temperature)(student, BATCH), expected)


def test_a_student_that_equals_its_teacher_has_nothing_to_learn():
    teacher, student = Fixed(3), Fixed(3)
    loss = Distillation(teacher, 2.0)(student, BATCH)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert student.logits.grad is not None
    assert torch.allclose(student.logits.grad, torch.zeros_like(student.logits), atol=1e-6)


def test_only_the_student_gets_gradients():
    teacher, student = Fixed(4), Fixed(5)
    Distillation(teacher)(student, BATCH).backward()
    assert teacher.logits.grad is None
    assert student.logits.grad is not None
    assert student.logits.grad.abs().sum() > 0
