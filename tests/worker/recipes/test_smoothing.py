"""Smoothing: the base's very logits afterwards, on architectures that are wired differently, and less lost to rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from planner.errors import InvalidFile, InvalidInput
from tests.worker.conftest import calibration_text, write_model
from worker.engines.loading import load_model, resolve_device
from worker.recipes import parse_recipe
from worker.recipes.build import build_variant
from worker.recipes.recipe import Ingredients
from worker.recipes.smoothing import find_places, smooth

pytestmark = pytest.mark.worker

CPU = resolve_device("cpu")
WINDOWS = [np.random.default_rng(seed).integers(0, 200, 24) for seed in range(3)]
SIZES = {
    "vocab_size": 256,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "pad_token_id": 0,
}


def _model(kind: str, dtype: torch.dtype = torch.bfloat16, **more: Any) -> Any:
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**{**SIZES, **more})
    model = getattr(transformers, f"{kind}ForCausalLM")(config).to(dtype).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                parameter.add_(torch.rand_like(parameter))
    return model


def _given() -> Ingredients:
    return Ingredients(base=Path(), device=CPU)


@torch.inference_mode()
def _logits(model: Any) -> torch.Tensor:
    logits: torch.Tensor = model(torch.arange(40)[None], use_cache=False).logits
    return logits


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize(
    ("kind", "more", "layers"),
    [
        ("Llama", {}, 2 * 7),  # grouped-query attention
        ("Llama", {"num_key_value_heads": 4}, 2 * 7),
        ("Qwen2", {}, 2 * 7),  # biases behind q, k and v
        ("Qwen3", {}, 2 * 7),  # norms behind q and k
    ],
)
def test_the_logits_stay_bit_for_bit(kind, more, layers, dtype):
    model, given = _model(kind, dtype, **more), _given()
    before = _logits(model)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    smooth(model, WINDOWS, 0.7, given)
    assert torch.equal(_logits(model), before)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, weights[name])}
    assert {name.rsplit(".", 2)[-2] for name in changed} >= {"o_proj", "down_proj", "q_proj", "gate_proj"}
    assert given.facts == {"smoothed_layers": layers}


@pytest.mark.parametrize(
    ("kind", "more", "left"),
    [
        # its norms add 1 to their weights
        ("Gemma", {}, ["input_layernorm", "post_attention_layernorm"]),
        # the router reads what the experts read, and the experts are no linear layers
        ("Mixtral", {"num_local_experts": 2}, []),
        # squared activations behind the layer called up_proj
        ("Nemotron", {}, ["up_proj"]),
    ],
)
def test_a_place_where_scaling_changes_answers_is_left_alone_and_named(kind, more, left):
    model, given = _model(kind, **more), _given()
    before = _logits(model)
    smooth(model, WINDOWS, 0.7, given)
    assert torch.equal(_logits(model), before)
    assert int(str(given.facts["smoothed_layers"])) > 0
    told = str(given.facts.get("not_smoothed", ""))
    assert all(name in told for name in left), told


def test_a_model_without_such_places_is_left_as_it_is():
    model, given = _model("GPTNeoX"), _given()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    smooth(model, WINDOWS, 0.0, given)
    assert _same_function(model, weights)


def _same_function(model: Any, weights: dict[str, torch.Tensor]) -> bool:
    after = _logits(model)
    model.load_state_dict(weights)
    return torch.equal(after, _logits(model))


def test_layers_that_read_one_input_are_one_place():
    places = find_places(_model("Llama"), torch.from_numpy(WINDOWS[0])[None])
    read = {place.name: {name.rsplit(".", 1)[1] for name, _ in place.readers} for place in places}
    assert read["model.layers.0.input_layernorm"] == {"q_proj", "k_proj", "v_proj"}
    assert read["model.layers.1.post_attention_layernorm"] == {"gate_proj", "up_proj"}
    assert read["model.layers.0.self_attn.v_proj"] == {"o_proj"}
    assert read["model.layers.0.mlp.up_proj"] == {"down_proj"}
    assert len(places) == 8  # the last norm feeds the output head, which stays


def _spiked(folder: Path) -> Path:
    """A base whose layers get a few channels sixty times as large as the rest, as large language models do."""
    write_model(folder)
    model = load_model(folder, device=CPU)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.input_layernorm.weight[:2] *= 64
            layer.mlp.up_proj.weight[:2] *= 64
            layer.mlp.down_proj.weight[:, :2] /= 64
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ["int8_static", "int8_dynamic"])
def test_large_channels_cost_less(tmp_path, name):
    base = _spiked(tmp_path / "base")
    errors = {}
    for alpha in (None, 0.7):
        recipe = parse_recipe(name, {"smoothing": alpha})
        out = tmp_path / f"out-{alpha}"
        construction, reload = build_variant(base, out, recipe, text=calibration_text())
        assert reload.bit_equal
        assert construction.facts.get("smoothed_layers") == (None if alpha is None else 14)
        assert construction.text_digest == (calibration_text().digest if recipe.uses_text else None)
        errors[alpha] = float(
            (_logits(load_model(out, device=CPU)) - _logits(load_model(base, device=CPU)))
            .float()
            .pow(2)
            .mean()
        )
    assert errors[0.7] < 0.6 * errors[None]


def test_a_stock_loader_reads_the_smoothed_norms(built, base):
    """Smoothing is in the weights: nothing in the configuration asks a loader for anything."""
    from safetensors.torch import load_file

    smoothed, plain = built("int8_static"), built("int8_static", {"smoothing": None})
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (smoothed, plain))
    assert {name: value.shape for name, value in ours.items()} == {
        name: value.shape for name, value in theirs.items()
    }
    assert not torch.equal(
        ours["model.layers.0.input_layernorm.weight"], theirs["model.layers.0.input_layernorm.weight"]
    )


def test_a_share_out_of_range_is_refused():
    for name in ("int8_static", "int8_dynamic"):
        with pytest.raises(InvalidInput, match=r"recipe\.smoothing: 1\.5 is out of range; allowed: 0 to 1"):
            parse_recipe(name, {"smoothing": 1.5})


def test_inputs_that_are_not_finite_are_refused():
    model = _model("Llama")
    with torch.no_grad():
        model.model.layers[0].input_layernorm.weight[0] = float("inf")
    with pytest.raises(InvalidFile, match="not finite"):
        smooth(model, WINDOWS, 0.7, _given())


def test_names_tell_smoothing_where_it_is_not_the_default():
    names = [
        parse_recipe(name, {"smoothing": alpha}).variant_name
        for name, alpha in (
            ("int8_static", 0.7),
            ("int8_static", 0.5),
            ("int8_static", None),
            ("int8_dynamic", None),
            ("int8_dynamic", 0.8),
        )
    ]
    assert names == [
        "int8-static",
        "int8-static-smoothed-0.5",
        "int8-static-unsmoothed",
        "int8-dynamic",
        "int8-dynamic-smoothed-0.8",
    ]
