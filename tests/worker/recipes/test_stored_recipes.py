"""Recipes over the layers of `engines.formats`: built, saved, loaded in a process of its own, compared, inspected."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from planner.artifacts.inspection import inspect
from planner.artifacts.manifest import scan
from planner.domain.variant import manifest_digest
from planner.errors import InvalidInput
from tests.worker.conftest import calibration_text, write_model
from worker.engines.loading import load_model, resolve_device
from worker.measure.weights import count_weights
from worker.recipes import parse_recipe
from worker.recipes.build import build_variant

pytestmark = pytest.mark.worker

CASES: list[tuple[str, dict[str, Any]]] = [
    ("int4_packed", {"group_size": 32}),
    ("int4_packed", {"group_size": 32, "symmetric": True}),
    ("int4_packed", {"group_size": 32, "bits": 3}),
    ("int4_packed", {"group_size": 32, "bits": 2}),
    ("int8_static", {}),
    ("int8_static", {"statistic": "absmax"}),
    ("int8_static", {"smoothing": None}),
    ("int8_static", {"statistic": "percentile", "percentile": 99.0}),
    ("fp8_weight_only", {}),
    ("fp8_weight_only", {"granularity": "tensor"}),
    ("fp8_dynamic", {}),
    ("fp8_dynamic", {"granularity": "tensor"}),
    ("fp8_static", {}),
    ("fp8_static", {"granularity": "row"}),
]
IDS = ["-".join([name, *map(str, settings.values())]) for name, settings in CASES]


@pytest.mark.parametrize(("name", "settings"), CASES, ids=IDS)
def test_a_variant_reloads_bit_equal_and_is_what_it_claims(base, tmp_path, name, settings):
    recipe = parse_recipe(name, settings)
    construction, reload = build_variant(base, tmp_path / "out", recipe, text=calibration_text())
    assert reload.bit_equal
    assert construction.coverage.quantized_layers == 14
    assert [skipped.reason for skipped in construction.coverage.skipped] == ["output head is left alone"]
    found = inspect({path.name: path for path in (tmp_path / "out").iterdir()})
    assert found.scheme == recipe.scheme
    assert not found.warnings
    assert found.parameters == construction.weights.parameters
    assert found.weight_bytes == construction.weights.total_bytes
    if recipe.needs_text:
        assert construction.facts["calibration_windows"] == 6
        assert construction.text_digest == calibration_text().digest
        assert construction.facts["text"] == "tiny"


@pytest.mark.parametrize(("name", "settings"), CASES, ids=IDS)
def test_quantized_weights_take_the_bits_that_are_told(base, tmp_path, name, settings):
    recipe = parse_recipe(name, settings)
    construction, _ = build_variant(base, tmp_path / "out", recipe, text=calibration_text())
    quantized = construction.coverage.quantized_parameters
    others = construction.weights.parameters - quantized
    bits = (construction.weights.total_bytes - 2 * others) * 8 / quantized
    # What is left out: scales of rows 64 to 96 wide, and the stored shapes.
    assert recipe.stored_bits <= bits <= recipe.stored_bits + 0.7


def test_how_much_of_the_text_was_used_is_recorded(base, tmp_path):
    """The digest is the whole file's."""
    text = calibration_text()
    construction, _ = build_variant(base, tmp_path / "out", parse_recipe("int8_static"), text=text.first(3))
    assert construction.facts["text"] == "tiny[:3]"
    assert construction.text_digest == text.digest


def test_building_twice_gives_the_same_digest(base, tmp_path):
    digests = set()
    for attempt in ("a", "b"):
        build_variant(base, tmp_path / attempt, parse_recipe("int8_static"), text=calibration_text())
        digests.add(manifest_digest(scan(tmp_path / attempt)))
    assert len(digests) == 1


def test_memory_on_this_machine_is_about_that_of_the_file(built):
    directory = built("int4_packed", {"group_size": 32})
    found = inspect({path.name: path for path in directory.iterdir()})
    weights = count_weights(load_model(directory, device=resolve_device("cpu")))
    assert weights.parameters == found.parameters
    assert weights.total_bytes == pytest.approx(found.weight_bytes, rel=0.02)


def test_the_kernel_that_ran_is_told(base, tmp_path):
    facts = {
        name: build_variant(base, tmp_path / name, parse_recipe(name, settings))[0].facts["kernel"]
        for name, settings in (("int4_packed", {"group_size": 32}), ("fp8_dynamic", {}))
    }
    assert facts == {
        "int4_packed": "torch._weight_int4pack_mm_for_cpu",
        "fp8_dynamic": "torch.mm (FP8 emulated in FP32)",
    }


def test_layers_that_cannot_be_taken_are_declared_and_counted(tmp_path):
    partly = write_model(tmp_path / "partly", hidden=64, intermediate=80)
    construction, reload = build_variant(
        partly, tmp_path / "out", parse_recipe("int4_packed", {"group_size": 32})
    )
    reasons = {skipped.reason: len(skipped.layers) for skipped in construction.coverage.skipped}
    assert reasons == {
        "input width 80 is not a multiple of the group size 32": 2,
        "output head is left alone": 1,
    }
    assert reload.bit_equal
    assert inspect({path.name: path for path in (tmp_path / "out").iterdir()}).scheme.mixed


def test_shapes_that_a_gpu_could_not_multiply_are_left_alone():
    assert "100 is not a multiple of 8" in str(parse_recipe("int8_static").refusal(100, 64))
    assert "24 is not a multiple of 16" in str(parse_recipe("fp8_static").refusal(64, 24))
    assert parse_recipe("fp8_dynamic").refusal(64, 32) is None


def test_calibration_without_text_is_refused(base, tmp_path):
    with pytest.raises(InvalidInput, match="calibrates or trains on text"):
        build_variant(base, tmp_path / "out", parse_recipe("int8_static"))


@pytest.mark.parametrize(
    ("name", "settings", "field"),
    [
        ("int4_packed", {"bits": 5}, "recipe.bits"),
        ("int4_packed", {"group_size": 16}, "recipe.group_size"),
        ("int8_static", {"percentile": 20}, "recipe.percentile"),
        ("int8_static", {"windows": 0}, "recipe.windows"),
        ("fp8_static", {"window": 1}, "recipe.window"),
        ("fp8_dynamic", {"granularity": "block"}, "recipe.granularity"),
        ("autoround", {"bits": 8}, "recipe.bits"),
        ("autoround", {"iterations": -1}, "recipe.iterations"),
    ],
)
def test_a_wrong_setting_is_named(name, settings, field):
    with pytest.raises(InvalidInput) as caught:
        parse_recipe(name, settings)
    assert caught.value.details["field"] == field


def test_percentiles_saturate_more_than_the_largest_magnitude(base, tmp_path):
    from safetensors.torch import load_file

    scales = {}
    for statistic in ("absmax", "percentile"):
        recipe = parse_recipe("int8_static", {"statistic": statistic, "percentile": 99.0})
        build_variant(base, tmp_path / statistic, recipe, text=calibration_text())
        tensors = load_file(tmp_path / statistic / "model.safetensors")
        scales[statistic] = torch.cat([t for name, t in tensors.items() if name.endswith("input_scale")])
    assert len(scales["absmax"]) == 14
    assert bool((scales["percentile"] < scales["absmax"]).all())


CUDA_KERNELS = [
    ("int4_packed", {"group_size": 32}, "torch._weight_int4pack_mm"),
    ("int4_packed", {"group_size": 32, "bits": 3}, "int3 widened in each product"),
    ("int8_static", {}, "torch._int_mm"),
    ("fp8_dynamic", {}, "torch._scaled_mm"),
    ("fp8_dynamic", {"granularity": "tensor"}, "torch._scaled_mm"),
    ("fp8_static", {}, "torch._scaled_mm"),
    ("fp8_static", {"granularity": "row"}, "torch._scaled_mm"),
    ("fp8_weight_only", {}, None),
    ("nf4", {}, None),
]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("name", "settings", "kernel"), CUDA_KERNELS)
def test_on_cuda_it_builds_reloads_and_says_nearly_what_the_cpu_says(tmp_path, name, settings, kernel):
    if name == "nf4":
        pytest.importorskip("bitsandbytes")
    if name.startswith("fp8") and torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("needs FP8 on a GPU")
    base = write_model(tmp_path / "base", hidden=128, intermediate=256)
    recipe = parse_recipe(name, settings)
    construction, reload = build_variant(
        base, tmp_path / "out", recipe, text=calibration_text(), device="cuda"
    )
    assert reload.largest_difference <= recipe.reload_tolerance
    assert construction.facts.get("kernel") == kernel
    ids = torch.arange(64)[None]
    with torch.inference_mode():
        cpu, cuda, full = (
            load_model(folder, device=resolve_device(device))(ids.to(device)).logits.cpu().double()
            for folder, device in ((tmp_path / "out", "cpu"), (tmp_path / "out", "cuda"), (base, "cuda"))
        )
    # Devices round sums differently, which a random model amplifies; a wrong weight or scale would give several times more.
    assert (cpu - cuda).pow(2).mean() < 1.5 * (full - cuda).pow(2).mean()


def test_another_process_gives_the_same_bits(base, tmp_path):
    """The files alone carry the model: nothing of the building process is there."""
    names = ("int4_packed", "int8_static", "fp8_dynamic")
    settings = {"int4_packed": {"group_size": 32}}
    ids = torch.arange(48)[None]
    for name in names:
        build_variant(base, tmp_path / name, parse_recipe(name, settings.get(name)), text=calibration_text())
        with torch.inference_mode():
            logits = load_model(tmp_path / name, device=resolve_device("cpu"))(ids).logits
        torch.save(logits, tmp_path / f"{name}.logits")
    program = """
import sys, torch
from pathlib import Path
from worker.engines.loading import load_model, resolve_device
torch.set_num_threads(1)
root = Path(sys.argv[1])
for name in sys.argv[2:]:
    with torch.inference_mode():
        logits = load_model(root / name, device=resolve_device("cpu"))(torch.arange(48)[None]).logits
    assert torch.equal(logits, torch.load(root / f"{name}.logits")), name
    print(name, "equal")
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), *names], capture_output=True, text=True, check=False
    )
    assert done.stdout.split("\n")[:3] == [f"{name} equal" for name in names], done.stderr
