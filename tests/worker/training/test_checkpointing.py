from __future__ import annotations

import pytest
import torch

from planner.errors import InvalidInput
from worker.engines.loading import load_model
from worker.training.allocation import peak_allocated_bytes
from worker.training.checkpointing import compare_checkpointing, set_checkpointing
from worker.training.loop import Steps
from worker.training.objectives import NextToken
from worker.training.sequences import Sequences

pytestmark = pytest.mark.worker

CPU = torch.device("cpu")
STEPS = Steps(steps=1, learning_rate=1e-3, batch=4, sequence=64, seed=0)


@pytest.fixture
def sequences():
    ids = torch.randint(0, 256, (8, 65), generator=torch.Generator().manual_seed(0)).numpy()
    return Sequences(train=ids, held_out=ids[:1])


@pytest.fixture
def deep():
    """Many narrow blocks and a small vocabulary: kept activations are most of a step's memory."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=12,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def test_gradients_are_the_same_with_and_without(base, sequences):
    gradients = []
    for enabled in (False, True):
        model = load_model(base, device=CPU, dtype="float32").train()
        set_checkpointing(model, enabled=enabled)
        NextToken()(model, torch.from_numpy(sequences.train[:2])).backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], rtol=1e-5, atol=1e-7), name


def test_it_saves_memory_and_the_comparison_says_how_much(deep, sequences):
    before = {name: tensor.clone() for name, tensor in deep.state_dict().items()}
    found = compare_checkpointing(
        deep, NextToken(), sequences, STEPS, steps=1, report=lambda share, message: None
    )
    assert found.without is not None
    saved = 1 - found.checkpointed.peak_allocator_bytes / found.without.peak_allocator_bytes
    assert found.memory_saved_share == pytest.approx(saved)
    assert saved > 0.15
    assert found.extra_time_share == pytest.approx(found.checkpointed.seconds / found.without.seconds - 1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in deep.state_dict().items())
    assert not any(getattr(module, "gradient_checkpointing", False) for module in deep.modules())


def test_the_peak_says_what_the_step_really_holds(deep, sequences):
    """Twice the sequences hold twice the activations."""

    def peak(count: int) -> int:
        batch = torch.from_numpy(sequences.train[:count])
        deep.train()
        deep.zero_grad(set_to_none=True)
        loss = NextToken()
        loss(deep, batch).backward()
        return peak_allocated_bytes(lambda: loss(deep, batch).backward(), held_bytes=0, device=CPU)

    assert peak(8) == pytest.approx(2 * peak(4), rel=0.1)


def test_a_model_that_cannot_says_so(deep):
    deep.supports_gradient_checkpointing = False
    with pytest.raises(InvalidInput, match=r"recipe\.checkpointing"):
        set_checkpointing(deep, enabled=True)
