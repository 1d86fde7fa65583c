from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from planner.artifacts.inspection import inspect
from planner.artifacts.manifest import scan
from planner.domain.job import FailureReason
from planner.domain.variant import manifest_digest
from planner.errors import InvalidFile, InvalidInput, UnsafeFile
from tests.worker.conftest import write_model
from worker.engines.loading import load_model, load_tokenizer, resolve_device
from worker.failure import JobFailed
from worker.measure.weights import count_weights
from worker.recipes import parse_recipe
from worker.recipes.build import build_variant, construct, verify

pytestmark = pytest.mark.worker

CPU_RECIPES = ["fp32", "bf16", "int8_weight_only", "int8_dynamic", "intx_weight_only"]
QUANTIZED = CPU_RECIPES[2:]


@pytest.mark.parametrize("name", CPU_RECIPES)
def test_a_variant_reloads_bit_equal_and_is_complete(base, tmp_path, name):
    recipe = parse_recipe(name)
    construction, reload = build_variant(base, tmp_path / "out", recipe)
    assert reload.bit_equal
    assert reload.logits == 2 * 64 * 4096
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "LICENSE.txt",
    }
    assert load_tokenizer(tmp_path / "out")("def f").input_ids
    assert construction.seconds > 0
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


@pytest.mark.parametrize("name", CPU_RECIPES)
def test_building_twice_gives_the_same_digest(base, tmp_path, name):
    digests = set()
    for attempt in ("a", "b"):
        build_variant(base, tmp_path / attempt, parse_recipe(name))
        digests.add(manifest_digest(scan(tmp_path / attempt)))
    assert len(digests) == 1


@pytest.mark.parametrize("name", CPU_RECIPES)
def test_what_was_built_is_what_the_recipe_claims_and_what_the_headers_say(built, name):
    directory = built(name)
    found = inspect({path.name: path for path in directory.iterdir()})
    assert found.scheme == parse_recipe(name).scheme
    weights = count_weights(load_model(directory, device=resolve_device("cpu")))
    assert (found.weight_bytes, found.parameters) == (weights.total_bytes, weights.parameters)
    assert found.effective_bits == pytest.approx(weights.effective_bits)


@pytest.mark.parametrize("name", QUANTIZED)
def test_head_and_embeddings_are_left_alone_and_that_is_recorded(base, tmp_path, name):
    construction, _ = build_variant(base, tmp_path / "out", parse_recipe(name))
    coverage = construction.coverage
    assert (coverage.quantized_layers, coverage.linear_layers) == (14, 15)
    assert [(skipped.reason, skipped.layers) for skipped in coverage.skipped] == [
        ("output head is left alone", ("lm_head",))
    ]
    embedding = load_model(tmp_path / "out", device=resolve_device("cpu")).get_input_embeddings().weight
    assert embedding.dtype is torch.bfloat16


def test_weights_are_really_smaller(built):
    sizes = {name: (built(name) / "model.safetensors").stat().st_size for name in CPU_RECIPES}
    assert sizes["int8_weight_only"] < sizes["bf16"] < sizes["fp32"]


def test_a_recipe_that_can_touch_no_layer_fails(tmp_path):
    odd = write_model(tmp_path / "odd", hidden=48, intermediate=80)
    with pytest.raises(
        InvalidInput, match=r"quantized none of the layers.*48 is not a multiple of the group size 64"
    ):
        build_variant(odd, tmp_path / "out", parse_recipe("intx_weight_only", {"group_size": 64}))
    assert not (tmp_path / "out").exists()


def test_layers_that_torchao_skips_are_counted_with_the_reason(tmp_path):
    partly = write_model(tmp_path / "partly", hidden=64, intermediate=80)
    construction, reload = build_variant(partly, tmp_path / "out", parse_recipe("intx_weight_only"))
    reasons = {skipped.reason: skipped.layers for skipped in construction.coverage.skipped}
    assert reasons["input width 80 is not a multiple of the group size 32"] == (
        "model.layers.0.mlp.down_proj",
        "model.layers.1.mlp.down_proj",
    )
    assert construction.coverage.quantized_layers == 12
    assert reload.bit_equal


def test_a_difference_after_reloading_is_refused_and_leaves_nothing(base, tmp_path):
    def damaging(files: Path, expected: Path, recipe, **more):
        weights = files / "model.safetensors"
        content = bytearray(weights.read_bytes())
        for position in range(len(content) - 4096, len(content), 64):
            content[position] ^= 0x01
        weights.write_bytes(content)
        return verify(files, expected, recipe, **more)

    with pytest.raises(JobFailed) as caught:
        build_variant(base, tmp_path / "out", parse_recipe("int8_weight_only"), run_verify=damaging)
    assert caught.value.reason is FailureReason.RELOAD_MISMATCH
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_not_numbers_are_refused(base_copy, tmp_path):
    weights = base_copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-2:] = b"\xff\x7f"
    weights.write_bytes(content)
    with pytest.raises(JobFailed) as caught:
        build_variant(base_copy, tmp_path / "out", parse_recipe("bf16"))
    assert caught.value.reason is FailureReason.ARTIFACT_CORRUPT


def test_a_truncated_base_is_refused(base_copy, tmp_path):
    weights = base_copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InvalidFile, match=r"model\.safetensors: header"):
        build_variant(base_copy, tmp_path / "out", parse_recipe("bf16"))


def test_a_base_that_lacks_a_weight_is_refused(base_copy, tmp_path):
    from safetensors.torch import load_file, save_file

    tensors = load_file(base_copy / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, base_copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InvalidFile, match=r"missing weights: model\.layers\.1\.mlp\.up_proj\.weight"):
        build_variant(base_copy, tmp_path / "out", parse_recipe("bf16"))


def test_a_quantized_base_is_refused(built, tmp_path):
    with pytest.raises(InvalidInput, match="is quantized already"):
        build_variant(built("int8_dynamic"), tmp_path / "out", parse_recipe("bf16"))


def test_pickled_weights_are_refused(base_copy, tmp_path):
    (base_copy / "model.safetensors").rename(base_copy / "pytorch_model.bin")
    with pytest.raises(UnsafeFile):
        build_variant(base_copy, tmp_path / "out", parse_recipe("bf16"))


def test_a_base_with_code_of_its_own_is_refused(base_copy, tmp_path):
    config = json.loads((base_copy / "config.json").read_text())
    (base_copy / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil.Model"}}))
    with pytest.raises(UnsafeFile, match="auto_map"):
        build_variant(base_copy, tmp_path / "out", parse_recipe("bf16"))


def test_an_existing_folder_is_not_written_over(base, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InvalidInput, match="exists already"):
        build_variant(base, tmp_path / "out", parse_recipe("bf16"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_recipe_bound_to_cuda_says_so_without_one(base, tmp_path):
    with pytest.raises(JobFailed) as caught:
        construct(base, tmp_path / "out", tmp_path / "expected", parse_recipe("int4_tile_packed"))
    assert caught.value.reason is FailureReason.KERNEL_UNSUPPORTED


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_four_bits_are_packed_on_cuda(base, tmp_path):
    construction, reload = build_variant(base, tmp_path / "out", parse_recipe("int4_tile_packed"))
    assert reload.bit_equal
    assert construction.coverage.by_type["Int4TilePackedTo4dTensor"] == 14


def test_leftovers_of_a_killed_build_do_not_matter(base, tmp_path):
    shutil.copytree(base, tmp_path / ".out.building" / "files")
    _, reload = build_variant(base, tmp_path / "out", parse_recipe("bf16"))
    assert reload.bit_equal
