from __future__ import annotations

import pytest
import torch

from worker.engines.loading import load_model
from worker.recipes import Ingredients, parse_recipe
from worker.recipes.qat import Qat
from worker.training.fake_quantization import (
    fake_quantize,
    freeze_quantized,
    prepare_config,
    quantizable_layers,
    remove_fake_quantization,
    round_in_packed_groups,
)
from worker.training.straight_through import RoundedInGroups

pytestmark = pytest.mark.worker

CPU = torch.device("cpu")
IDS = torch.arange(64)[None] * 7


@pytest.mark.parametrize(
    ("settings", "uniform", "options"),
    [
        ({"bits": 4}, "intx_weight_only", {"bits": 4}),
        ({"bits": 2, "group_size": 16}, "intx_weight_only", {"bits": 2, "group_size": 16}),
        ({"bits": 8}, "int8_weight_only", {}),
        ({"bits": 8, "int8_activations": True}, "int8_dynamic", {"symmetric": False}),
    ],
)
def test_rounding_during_training_is_that_of_the_built_variant(base, settings, uniform, options):
    """Weights agree bit for bit at 16 bits; so do products at 32, but for activations that are rounded anew."""
    recipe = Qat(**settings)
    config = prepare_config(recipe.torchao_config(), bits=recipe.bits, activations=recipe.int8_activations)
    for dtype in ("bfloat16", "float32"):
        model = load_model(base, device=CPU, dtype=dtype)
        layers = quantizable_layers(model, ())
        assert len(layers) == 14
        full = model(IDS).logits
        fake_quantize(model, layers, config)
        rounded = model(IDS).logits
        wanted = load_model(
            base, device=CPU, dtype=dtype, torchao_config=parse_recipe(uniform, options).torchao_config()
        )
        for name in layers:
            layer = model.get_submodule(name)
            fake = layer.weight_fake_quantizer(layer.weight)
            assert torch.equal(fake, wanted.get_submodule(name).weight.dequantize())
        if dtype == "float32":
            built = wanted(IDS).logits
            allowed = 0.5 if recipe.int8_activations else 1e-3
            assert (rounded - built).norm() < allowed * (full - built).norm()
        remove_fake_quantization(model)
        assert torch.equal(model(IDS).logits, full)


def test_layers_left_alone_and_frozen_weights(base):
    model = load_model(base, device=CPU)
    left = ("model.layers.0.mlp.down_proj",)
    layers = quantizable_layers(model, left)
    assert len(layers) == 13
    assert left[0] not in layers
    fake_quantize(
        model, layers, prepare_config(parse_recipe("qat").torchao_config(), bits=4, activations=False)
    )
    freeze_quantized(model, layers)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {
        "model.embed_tokens.weight",
        "model.norm.weight",
        "model.layers.0.mlp.down_proj.weight",
        *(
            f"model.layers.{block}.{norm}_layernorm.weight"
            for block in range(2)
            for norm in ("input", "post_attention")
        ),
    }


@pytest.mark.parametrize("bits", [2, 4])
def test_packed_integers_round_in_training_as_they_are_built(base, bits):
    model = load_model(base, device=CPU)
    layers = quantizable_layers(model, ())
    full = model(IDS).logits
    recipe = parse_recipe("int4_packed", {"bits": bits, "group_size": 32})
    wanted = recipe.build(Ingredients(base=base, device=CPU))
    round_in_packed_groups(model, layers, bits=bits, group_size=32)
    for name in layers:
        weight = model.get_submodule(name).weight
        assert torch.equal(weight, wanted.get_submodule(name).dequantize().to(torch.bfloat16))
    model(IDS).logits.float().sum().backward()
    original = model.get_submodule(layers[0]).parametrizations.weight.original
    assert original.grad.abs().sum() > 0
    freeze_quantized(model, layers)
    assert not original.requires_grad
    remove_fake_quantization(model)
    assert torch.equal(model(IDS).logits, full)


def test_gradients_pass_straight_through_the_rounding():
    weight = torch.randn(4, 64, requires_grad=True)
    factor = torch.randn(4, 64)
    rounded = RoundedInGroups(bits=4, group_size=32)(weight)
    assert not torch.equal(rounded, weight)
    (rounded * factor).sum().backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad, factor)
