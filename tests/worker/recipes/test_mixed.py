from __future__ import annotations

from typing import Any

import pytest
import torch

from planner.artifacts.inspection import inspect
from planner.domain.scheme import NumberFormat
from planner.errors import InvalidInput
from tests.worker.conftest import write_model
from worker.engines.loading import load_model
from worker.evaluate.dataset import read_dataset
from worker.recipes import parse_recipe
from worker.recipes.build import build_variant
from worker.recipes.sensitivity import Probe, group_layers, measure_sensitivity, quantized

pytestmark = pytest.mark.worker

QUICK = {"sequences": 4, "sequence": 24, "batch": 2}
CPU = torch.device("cpu")


@pytest.fixture
def text(text_file):
    return read_dataset(text_file)


def reasons_of(construction):
    return {skipped.reason: skipped.layers for skipped in construction.coverage.skipped}


def test_a_budget_of_bits_is_kept_and_the_mix_reloads_bit_equal(base, tmp_path, text):
    recipe = parse_recipe("mixed", {**QUICK, "limit": "bits", "budget": 7.0})
    construction, reload = build_variant(base, tmp_path / "out", recipe, text=text)
    assert reload.bit_equal
    facts: Any = construction.facts
    assert 4.5 <= facts["mix.bits_per_linear_weight"] <= 7.0
    assert 1 <= facts["mix.points_tried"] <= 3
    assert facts["mix.measured_kl"] > 0
    assert set(construction.coverage.by_type) >= {"IntxUnpackedToInt8Tensor", "Tensor"}
    assert construction.text_digest == text.digest
    found = inspect({path.name: path for path in (tmp_path / "out").iterdir()})
    assert found.scheme.mixed
    tensors = load_model(tmp_path / "out", device=CPU).state_dict()
    names = {name: type(tensor).__name__ for name, tensor in tensors.items() if name.endswith("proj.weight")}
    for form, kind in (("int4", "IntxUnpackedToInt8Tensor"), ("int8", "Int8Tensor"), ("full", "Tensor")):
        for group in filter(None, facts[f"mix.layers.{form}"].split(", ")):
            members = {type_ for name, type_ in names.items() if name.startswith(group)}
            assert members == {kind}


def test_a_kept_layer_is_in_the_coverage_with_its_divergence(base, tmp_path, text):
    recipe = parse_recipe("mixed", {**QUICK, "formats": "int4", "limit": "bits", "budget": 9.0})
    construction, _ = build_variant(base, tmp_path / "out", recipe, text=text)
    kept = [
        reason for reason in reasons_of(construction) if reason.startswith("kept at 16 bits: sensitive, KL ")
    ]
    assert kept
    assert construction.coverage.quantized_layers < 14
    facts: Any = construction.facts
    sensitivity = {name: value for name, value in facts.items() if name.startswith("sensitivity.model.")}
    assert len(sensitivity) == 4
    assert all(value > 0 for value in sensitivity.values())


def test_a_loss_budget_is_met_by_the_measured_bound(base, tmp_path, text):
    recipe = parse_recipe("mixed", {**QUICK, "budget": 0.2, "formats": "int8,int3"})
    construction, reload = build_variant(base, tmp_path / "out", recipe, text=text)
    assert reload.bit_equal
    facts: Any = construction.facts
    assert facts["mix.measured_loss"] <= facts["mix.measured_loss_upper_95"] <= 0.2


def test_what_is_asked_to_be_kept_is_kept(base, tmp_path, text):
    recipe = parse_recipe(
        "mixed", {**QUICK, "formats": "int8_dynamic", "keep": "*.self_attn.*", "budget": 5.0}
    )
    construction, _ = build_variant(base, tmp_path / "out", recipe, text=text)
    asked = reasons_of(construction)["kept at 16 bits: asked for by `*.self_attn.*`"]
    assert len(asked) == 8
    assert construction.coverage.by_type == {"Int8Tensor": 6, "Tensor": 9}


def test_bytes_are_those_of_the_stored_weights(base, tmp_path, text):
    recipe = parse_recipe("mixed", {**QUICK, "formats": "int8", "limit": "bytes", "budget": 620_000})
    construction, _ = build_variant(base, tmp_path / "out", recipe, text=text)
    assert construction.weights.total_bytes <= 620_000
    with pytest.raises(
        InvalidInput, match=r"recipe\.budget.*no mix is as small as 400000 bytes.*at least 590848 bytes"
    ):
        build_variant(
            base,
            tmp_path / "small",
            parse_recipe("mixed", {**QUICK, "formats": "int8", "limit": "bytes", "budget": 400_000}),
            text=text,
        )


def test_layers_that_no_format_takes_are_left_alone(tmp_path, text):
    partly = write_model(tmp_path / "partly", hidden=64, intermediate=80)
    recipe = parse_recipe("mixed", {**QUICK, "formats": "int4", "budget": 5.0})
    construction, reload = build_variant(partly, tmp_path / "out", recipe, text=text)
    assert reload.bit_equal
    assert reasons_of(construction)["input width 80 is not a multiple of the group size 32"] == (
        "model.layers.0.mlp.down_proj",
        "model.layers.1.mlp.down_proj",
    )


def test_a_budget_that_leaves_everything_at_sixteen_bits_is_refused(base, tmp_path, text):
    recipe = parse_recipe("mixed", {**QUICK, "limit": "bits", "budget": 16.0})
    with pytest.raises(InvalidInput, match=r"recipe\.budget"):
        build_variant(base, tmp_path / "out", recipe, text=text)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("grouping", "count"), [("module", 4), ("block", 2), ("layer", 14)])
def test_layers_are_grouped(base, grouping, count):
    model = load_model(base, device=CPU)
    layers = [name for name, _ in model.named_modules() if name.endswith("_proj")]
    groups = group_layers(model, layers, grouping)
    assert len(groups) == count
    assert sorted(layer for group in groups for layer in group.layers) == sorted(layers)
    assert sum(group.parameters for group in groups) == sum(
        model.get_submodule(layer).weight.numel() for layer in layers
    )


def test_probing_leaves_the_model_as_it_was_and_sees_more_in_fewer_bits(base):
    model = load_model(base, device=CPU)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ids = torch.randint(0, 4096, (4, 33), generator=torch.Generator().manual_seed(0)).numpy()
    probe = Probe(model, ids, batch=2)
    nothing = probe.measure()
    assert (nothing.kl, nothing.loss, nothing.upper) == (0, 0, 0)
    groups = group_layers(
        model, [name for name, _ in model.named_modules() if name.endswith("_proj")], "block"
    )
    formats = {f"int{bits}": parse_recipe("intx_weight_only", {"bits": bits}) for bits in (2, 4, 8)}
    table = measure_sensitivity(model, probe, groups, formats, report=lambda share, message: None)
    for entries in table.values():
        assert entries["int2"].kl > entries["int4"].kl > entries["int8"].kl > 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_mix_in_memory_is_the_one_that_uniform_recipes_build(base, built):
    model = load_model(base, device=CPU)
    layers = [name for name, _ in model.named_modules() if name.endswith("_proj")]
    ids = torch.arange(32)[None]
    wanted = load_model(built("intx_weight_only"), device=CPU)(ids).logits
    with quantized(model, dict.fromkeys(layers, parse_recipe("intx_weight_only"))):
        assert torch.equal(model(ids).logits, wanted)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"formats": "int8,int7"}, "recipe.formats"),
        ({"formats": ""}, "recipe.formats"),
        ({"formats": "int8,int8"}, "recipe.formats"),
        ({"budget": 0}, "recipe.budget"),
        ({"budget": "nan"}, "recipe.budget"),
        ({"limit": "bits", "budget": 40}, "recipe.budget"),
        ({"group_size": 33}, "recipe.group_size"),
        ({"sequences": 1}, "recipe.sequences"),
        ({"trials": 0}, "recipe.trials"),
    ],
)
def test_a_wrong_setting_is_named(settings, field):
    with pytest.raises(InvalidInput) as caught:
        parse_recipe("mixed", settings)
    assert caught.value.details["field"] == field


def test_the_scheme_is_of_the_formats_offered():
    recipe = parse_recipe("mixed", {"formats": "int4, int3"})
    assert recipe.scheme.mixed
    assert recipe.scheme.weight.format is NumberFormat.INT4
    assert recipe.needs == ()
    assert parse_recipe("mixed", {"formats": "int4_tile_packed"}).needs[0] == "cuda"
