from __future__ import annotations

import pytest
import torch
from torch import nn

from planner.errors import InvalidFile
from worker.engines.formats.quantized_linear import (
    FP8,
    FP8_MAX,
    Float8Linear,
    Int8Linear,
    check_finite_scales,
    kernels,
    replace_layers,
)
from worker.measure.weights import count_weights
from worker.recipes.rounding import round_rows_to_int8, round_to_fp8

pytestmark = pytest.mark.worker

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
]
FP8_DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(
            not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 9),
            reason="needs FP8 on a GPU",
        ),
    ),
]


def inputs(rows=5, columns=64):
    return (torch.randn(rows, columns, generator=torch.Generator().manual_seed(3)) * 2).bfloat16()


def weight(out=32, columns=64):
    return torch.randn(out, columns, generator=torch.Generator().manual_seed(4)).bfloat16()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("rows", [1, 5, 40])
def test_int8_products_are_those_of_the_integers(device, static, rows):
    bias = nn.Parameter(torch.ones(32).bfloat16())
    layer = Int8Linear(64, 32, bias, static=static)
    layer.weight, layer.weight_scale = round_rows_to_int8(weight())
    x = inputs(rows)
    scale = torch.tensor([0.03]) if static else x.float().abs().amax(dim=1, keepdim=True) / 127
    if static:
        layer.input_scale = scale
    integers = (x.float() / scale).round().clamp(-128, 127)
    exact = (integers.double() @ layer.weight.double().t()) * (scale * layer.weight_scale.t()).double()
    y = layer.to(device)(x.to(device)[None]).cpu()
    assert y.shape == (1, rows, 32)
    assert torch.equal(y[0], (exact.float().bfloat16() + bias.detach().cpu()))


def test_inputs_beyond_a_static_scale_saturate():
    layer = Int8Linear(64, 32, None, static=True)
    layer.weight, layer.weight_scale = round_rows_to_int8(weight())
    layer.input_scale = torch.tensor([0.01])
    assert torch.equal(layer(torch.full((1, 64), 500.0)), layer(torch.full((1, 64), 1.27)))


@pytest.mark.parametrize("device", FP8_DEVICES)
@pytest.mark.parametrize("per_row", [True, False])
@pytest.mark.parametrize("static", [True, False])
def test_fp8_products_are_those_of_the_rounded_numbers(device, per_row, static):
    layer = Float8Linear(64, 32, None, static=static, per_row=per_row)
    layer.weight, layer.weight_scale = round_to_fp8(weight(), per_row=per_row)
    x = inputs(16).to(
        device
    )  # a GPU divides by a constant in its own way: its scales may differ in the last bit
    most = x.float().abs().amax(dim=1, keepdim=True) if per_row else x.float().abs().amax()
    scale = torch.tensor([0.05], device=device) if static else most / FP8_MAX
    if static:
        layer.input_scale = scale
    rounded = (x / scale.reshape(-1, 1)).clamp(-FP8_MAX, FP8_MAX).to(FP8).double() * scale.double()
    exact = rounded.cpu() @ layer.dequantize().double().t()
    y = layer.to(device)(x).cpu()
    assert y.dtype is torch.bfloat16
    assert (y.double() - exact).abs().max() <= 2**-7 * exact.abs().max()
    assert ("emulated" in layer.kernel) is (device == "cpu")


def test_a_layer_of_integers_is_one_weight_and_its_scales():
    layer = Int8Linear(64, 32, nn.Parameter(torch.zeros(32).bfloat16()), static=True)
    weights = count_weights(layer)
    assert weights.parameters == 64 * 32 + 32
    assert weights.total_bytes == 64 * 32 + 32 * 4 + 4 + 32 * 2


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_a_scale_that_would_spoil_the_product_is_refused(value):
    layer = Int8Linear(64, 32, None, static=True)
    layer.input_scale = torch.tensor([value])
    with pytest.raises(InvalidFile, match=r"q_proj\.input_scale"):
        check_finite_scales(layer, "q_proj")


def test_a_shared_layer_is_replaced_once():
    model = nn.Module()
    model.a = model.b = nn.Linear(64, 32)
    model.c = nn.Linear(8, 8)
    kept = replace_layers(
        model,
        lambda name, layer: (
            None if name == "c" else Int8Linear(layer.in_features, 32, layer.bias, static=False)
        ),
    )
    assert model.a is model.b
    assert kept == ["c"]
    assert kernels(model) == ["torch._int_mm"]
