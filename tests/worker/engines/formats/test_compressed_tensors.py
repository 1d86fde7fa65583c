from __future__ import annotations

import json
import shutil

import pytest
import torch

from planner.artifacts.inspection import inspect
from planner.domain.scheme import ActivationScaling, NumberFormat
from planner.errors import InvalidFile
from worker.engines.formats.compressed_tensors import read_declaration
from worker.engines.formats.packed_linear import PackedLinear
from worker.engines.formats.quantized_linear import Int8Linear
from worker.engines.loading import load_model, resolve_device

pytestmark = pytest.mark.worker

CPU = resolve_device("cpu")
INT8 = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "dynamic": False}
PER_TOKEN = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}


def declared(**changes):
    return {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "config_groups": {
            "group_0": {"targets": ["Linear"], "weights": INT8, "input_activations": PER_TOKEN}
        },
        "ignore": ["lm_head"],
        **changes,
    }


@pytest.fixture
def folder(built, tmp_path):
    return shutil.copytree(built("int4_packed", {"group_size": 32}), tmp_path / "variant")


def redeclare(folder, change):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config["quantization_config"])
    path.write_text(json.dumps(config))


def test_what_another_writer_declares_loads_too(base_copy):
    """Dynamic INT8 as llm-compressor writes it: scales in BF16, patterns in `ignore`, fields we do not use."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(base_copy / "model.safetensors")
    for name in [name for name in tensors if name.endswith("_proj.weight") and "layers.0.mlp" not in name]:
        wide = tensors[name].float()
        scale = wide.abs().amax(dim=1, keepdim=True).div(127).bfloat16()
        tensors[name] = (wide / scale.float()).round().clamp(-128, 127).to(torch.int8)
        tensors[name.replace(".weight", ".weight_scale")] = scale
    save_file(tensors, base_copy / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((base_copy / "config.json").read_text())
    config["quantization_config"] = declared(
        ignore=["lm_head", r"re:model\.layers\.0\.mlp.*"], version="0.12.0", global_compression_ratio=1.5
    )
    (base_copy / "config.json").write_text(json.dumps(config))
    model = load_model(base_copy, device=CPU)
    layers = {name for name, module in model.named_modules() if isinstance(module, Int8Linear)}
    assert len(layers) == 11
    assert not any(name.startswith("model.layers.0.mlp") for name in layers)
    with torch.inference_mode():
        assert torch.isfinite(model(torch.arange(16)[None]).logits).all()
    found = inspect({path.name: path for path in base_copy.iterdir()})
    assert found.scheme.activation_scaling is ActivationScaling.DYNAMIC
    assert found.scheme.weight.format is NumberFormat.INT8


def test_the_configuration_stays_that_of_the_files(folder):
    model = load_model(folder, device=CPU)
    saved = json.loads(model.config.to_json_string())["quantization_config"]
    assert saved == json.loads((folder / "config.json").read_text())["quantization_config"]


def test_loaded_layers_have_settled(folder):
    layer = load_model(folder, device=CPU).model.layers[0].mlp.up_proj
    assert isinstance(layer, PackedLinear)
    assert layer.kernel == "torch._weight_int4pack_mm_for_cpu"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"config_groups": None}, "config_groups"),
        ({"quantization_status": "frozen"}, "quantization_status"),
        ({"ignore": ["re:(a+)+$"]}, "ignore"),
        ({"ignore": ["re:.*.*.*.*x"]}, "ignore"),
        ({"ignore": ["re:(lm_head"]}, "ignore"),
        ({"ignore": ["re:" + "a" * 300]}, "ignore"),
        ({"config_groups": {"g": {"targets": ["Linear"], "weights": {"num_bits": "many"}}}}, "num_bits"),
    ],
)
def test_a_declaration_that_cannot_be_followed_is_named(change, field):
    with pytest.raises(InvalidFile, match=field):
        read_declaration(declared(**change))


@pytest.mark.parametrize(
    "weights",
    [
        {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16},
        {"num_bits": 8, "type": "int", "strategy": "group", "group_size": 32},
        {"num_bits": 4, "type": "int", "strategy": "channel"},
        {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "actorder": "group"},
        {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 48},
    ],
)
def test_a_scheme_that_no_layer_computes_is_refused_before_anything_runs(folder, weights):
    redeclare(folder, lambda q: q["config_groups"]["group_0"].update(weights=weights))
    with pytest.raises(InvalidFile, match=r"config_groups.*is not supported"):
        load_model(folder, device=CPU)


def test_tensors_of_another_group_size_are_refused(folder):
    redeclare(folder, lambda q: q["config_groups"]["group_0"]["weights"].update(group_size=16))
    with pytest.raises(InvalidFile, match="wrong shape"):
        load_model(folder, device=CPU)


def test_a_scale_that_is_no_number_is_refused(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight_scale"][0, 0] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InvalidFile, match=r"layers\.1\.mlp\.up_proj\.weight_scale"):
        load_model(folder, device=CPU)
