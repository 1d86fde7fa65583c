from __future__ import annotations

import pytest
import torch
from torch import nn

from worker.engines.formats.packed_linear import PackedLinear
from worker.measure.weights import count_weights
from worker.recipes.rounding import round_in_groups

pytestmark = pytest.mark.worker

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
]


def layer_of(out=64, columns=256, *, bits=4, group_size=64, symmetric=False, bias=False, device="cpu"):
    generator = torch.Generator().manual_seed(7)
    weight = (torch.randn(out, columns, generator=generator) * 0.05).bfloat16().to(device)
    integers = round_in_groups(
        weight, bits=bits, group_size=group_size, symmetric=symmetric, dtype=torch.bfloat16
    )
    parameter = nn.Parameter(torch.randn(out, generator=generator).bfloat16().to(device)) if bias else None
    return PackedLinear.of(integers, parameter, bits=bits, symmetric=symmetric), integers


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("symmetric", [True, False])
def test_a_layer_gives_back_the_integers_it_was_made_of(bits, symmetric):
    layer, integers = layer_of(out=48, bits=bits, symmetric=symmetric)
    assert all(torch.equal(a, b) for a, b in zip(layer.integers, integers, strict=True))
    assert integers.group_size == 64


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("group_size", [32, 64, 128])
@pytest.mark.parametrize("symmetric", [True, False])
def test_the_kernel_multiplies_by_the_weight_the_file_stands_for(device, group_size, symmetric):
    layer, integers = layer_of(group_size=group_size, symmetric=symmetric, bias=True, device=device)
    x = torch.randn(3, 5, 256, generator=torch.Generator().manual_seed(1)).bfloat16().to(device)
    expected = x.double() @ integers.dequantize().double().t() + layer.bias.double()
    layer.settle()
    assert layer.kernel.startswith("torch._weight_int4pack_mm")
    y = layer(x)
    assert y.dtype is torch.bfloat16
    assert y.shape == (3, 5, 64)
    # BF16 keeps 8 significant bits: the result is rounded once, weights once more by CUDA's kernel
    assert (y.double() - expected).abs().max() <= 2**-7 * expected.abs().max()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("symmetric", [True, False])
def test_every_weight_reaches_the_kernel_exactly(device, symmetric):
    """One input at a time times one: each product is a single weight, rounded to BF16."""
    layer, integers = layer_of(columns=128, group_size=32, symmetric=symmetric, device=device)
    layer.settle()
    weights = layer(torch.eye(128, dtype=torch.bfloat16, device=device)).t()
    assert torch.equal(weights, integers.dequantize().bfloat16())


@pytest.mark.parametrize("device", DEVICES)
def test_settled_weights_take_half_a_byte_and_their_scales(device):
    layer, _ = layer_of(out=128, columns=1024, group_size=128, device=device)
    stored = count_weights(layer)
    layer.settle()
    held = count_weights(layer)
    assert stored.parameters == held.parameters == 128 * 1024
    assert stored.effective_bits == pytest.approx(4 + (16 + 4) / 128, abs=0.002)
    assert held.effective_bits == pytest.approx(4 + 32 / 128, abs=0.002)
    with pytest.raises(ValueError, match="form of its kernel"):
        _ = layer.integers


@pytest.mark.parametrize(("out", "bits"), [(24, 4), (64, 3), (64, 2)])
def test_what_no_kernel_takes_stays_packed(out, bits):
    layer, integers = layer_of(out=out, bits=bits)
    layer.settle()
    x = torch.randn(2, 256).bfloat16()
    assert "widened" in layer.kernel
    assert torch.equal(layer(x), x @ integers.dequantize().bfloat16().t())
    assert count_weights(layer).effective_bits < bits + 0.6


def test_settling_twice_is_settling_once():
    layer, _ = layer_of()
    layer.settle()
    y = layer(torch.ones(1, 256, dtype=torch.bfloat16))
    layer.settle()
    assert torch.equal(layer(torch.ones(1, 256, dtype=torch.bfloat16)), y)
