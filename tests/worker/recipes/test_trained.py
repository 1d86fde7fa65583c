from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from planner.artifacts.inspection import inspect
from planner.artifacts.manifest import scan
from planner.domain.job import FailureReason
from planner.domain.variant import manifest_digest
from planner.errors import InvalidInput
from worker.engines.loading import load_model
from worker.evaluate.dataset import Dataset, Text, read_dataset
from worker.failure import JobFailed
from worker.recipes import Ingredients, parse_recipe
from worker.recipes.build import build_variant
from worker.reference import model_path

pytestmark = pytest.mark.worker

QUICK = {"steps": 3, "batch": 2, "sequence": 16}


@pytest.fixture
def text(text_file):
    return read_dataset(text_file)


@pytest.mark.parametrize(
    ("name", "settings", "kind"),
    [
        ("qat", {}, "IntxUnpackedToInt8Tensor"),
        ("qat", {"int8_activations": True, "bits": 3}, "IntxUnpackedToInt8Tensor"),
        ("qat", {"bits": 8}, "Int8Tensor"),
        ("qat", {"bits": 8, "int8_activations": True}, "Int8Tensor"),
        ("qat", {"compute": "float32"}, "IntxUnpackedToInt8Tensor"),
        ("qat", {"packed": True}, "PackedLinear"),
        ("distillation", {"packed": True, "bits": 3, "qat": False}, "PackedLinear"),
        ("distillation", {}, "IntxUnpackedToInt8Tensor"),
        ("distillation", {"qat": False}, "IntxUnpackedToInt8Tensor"),
        ("distillation", {"bits": 8, "int8_activations": True, "temperature": 2}, "Int8Tensor"),
    ],
)
def test_a_trained_variant_reloads_bit_equal(base, tmp_path, text, name, settings, kind):
    recipe = parse_recipe(name, {**QUICK, **settings})
    construction, reload = build_variant(base, tmp_path / "out", recipe, text=text)
    assert reload.bit_equal
    assert construction.coverage.by_type == {kind: 14, "Tensor": 1}
    assert construction.text_digest == text.digest
    found = inspect({path.name: path for path in (tmp_path / "out").iterdir()}).scheme
    claimed = recipe.scheme
    assert (found.weight.format, found.weight.group_size) == (
        claimed.weight.format,
        claimed.weight.group_size,
    )
    assert found.activation == claimed.activation
    facts: Any = construction.facts
    assert facts["training.steps"] == 3
    assert facts["training.tokens"] == 3 * 2 * 16
    assert facts["training.seconds_per_step"] > 0
    assert facts["training.peak_allocator_bytes"] > 4096 * 64 * 2
    assert facts["training.text_before"] != facts["training.text_after"]
    assert facts["training.text_full_precision"] > 0
    assert ("KL divergence" in facts["training.objective"]) == (name == "distillation")


def test_training_twice_gives_the_same_digest(base, tmp_path, text):
    digests = set()
    for attempt in ("a", "b"):
        build_variant(base, tmp_path / attempt, parse_recipe("qat", QUICK), text=text)
        digests.add(manifest_digest(scan(tmp_path / attempt)))
    assert len(digests) == 1


def test_without_qat_the_integers_are_those_of_rounding_to_nearest(base, built, tmp_path, text):
    recipe = parse_recipe("distillation", {**QUICK, "qat": False, "learning_rate": 1e-2})
    build_variant(base, tmp_path / "out", recipe, text=text)
    rounded, distilled = (
        load_file(folder / "model.safetensors") for folder in (built("intx_weight_only"), tmp_path / "out")
    )
    assert rounded.keys() == distilled.keys()
    changed = {name for name, tensor in rounded.items() if not torch.equal(tensor, distilled[name])}
    assert "model.embed_tokens.weight" in changed
    assert not any("_proj" in name for name in changed)


def test_with_qat_the_integers_change(base, built, tmp_path, text):
    recipe = parse_recipe("distillation", {**QUICK, "learning_rate": 1e-2})
    build_variant(base, tmp_path / "out", recipe, text=text)
    rounded, distilled = (
        load_file(folder / "model.safetensors") for folder in (built("intx_weight_only"), tmp_path / "out")
    )
    assert any(
        not torch.equal(tensor, distilled[name]) for name, tensor in rounded.items() if name.endswith("qdata")
    )


def test_checkpointing_is_measured_and_changes_no_weight(base, tmp_path, text):
    plain, _ = build_variant(base, tmp_path / "plain", parse_recipe("qat", QUICK), text=text)
    checked, _ = build_variant(
        base, tmp_path / "checked", parse_recipe("qat", {**QUICK, "checkpointing": True}), text=text
    )
    assert not any(name.startswith("checkpointing.") for name in plain.facts)
    facts: Any = checked.facts
    without, with_ = (facts[f"checkpointing.peak_allocator_bytes_{word}"] for word in ("without", "with"))
    assert facts["checkpointing.memory_saved_share"] == pytest.approx(1 - with_ / without)
    assert facts["checkpointing.seconds_per_step_without"] > 0
    assert facts["training.peak_allocator_bytes"] == pytest.approx(with_, rel=0.05)
    models = [load_model(tmp_path / name, device=torch.device("cpu")) for name in ("plain", "checked")]
    ids = torch.arange(32)[None]
    assert torch.equal(*(model(ids).logits for model in models))


@pytest.fixture(scope="module")
def real_text():
    """Real source of the domain that the reference model knows."""
    import argparse
    import ast
    import inspect as source
    import tarfile
    import typing

    return Dataset(
        name="modules",
        digest="sha256:0",
        documents=tuple(
            Text(id=module.__name__, text=source.getsource(module))
            for module in (argparse, ast, tarfile, typing)
        ),
    )


@pytest.mark.parametrize(("name", "measure"), [("qat", "text"), ("distillation", "objective")])
def test_a_short_real_training_wins_back_loss(tmp_path, real_text, name, measure):
    """The reference model in three bits, trained for a few seconds."""
    recipe = parse_recipe(name, {"bits": 3, "steps": 6, "batch": 2, "sequence": 64, "learning_rate": 5e-4})
    given = Ingredients(base=model_path(), device=torch.device("cpu"), text=real_text)
    recipe.build(given)
    facts: Any = given.facts
    before, after = (facts[f"training.{measure}_{when}"] for when in ("before", "after"))
    assert after < 0.97 * before


def test_training_that_diverges_ends_with_a_reason(base, tmp_path, text):
    broken = shutil.copytree(base, tmp_path / "broken")
    content = bytearray((broken / "model.safetensors").read_bytes())
    content[-2:] = b"\xff\x7f"
    (broken / "model.safetensors").write_bytes(content)
    with pytest.raises(JobFailed, match="training diverged") as caught:
        build_variant(broken, tmp_path / "out", parse_recipe("qat", QUICK), text=text)
    assert caught.value.reason is FailureReason.ARTIFACT_CORRUPT


def test_a_text_too_short_and_a_missing_text_are_refused(base, tmp_path, text):
    with pytest.raises(InvalidInput, match=r"dataset"):
        build_variant(base, tmp_path / "out", parse_recipe("qat", {**QUICK, "sequence": 200_000}), text=text)
    with pytest.raises(InvalidInput, match="calibrates or trains on text"):
        build_variant(base, tmp_path / "out", parse_recipe("qat", QUICK))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "settings", "field"),
    [
        ("qat", {"bits": 7}, "recipe.bits"),
        ("qat", {"steps": 0}, "recipe.steps"),
        ("qat", {"packed": True, "int8_activations": True}, "recipe.packed"),
        ("qat", {"packed": True, "bits": 8}, "recipe.bits"),
        ("qat", {"packed": True, "group_size": 16}, "recipe.group_size"),
        ("qat", {"sequence": 1}, "recipe.sequence"),
        ("qat", {"learning_rate": 0}, "recipe.learning_rate"),
        ("qat", {"learning_rate": "inf"}, "recipe.learning_rate"),
        ("qat", {"group_size": 20}, "recipe.group_size"),
        ("distillation", {"temperature": 0}, "recipe.temperature"),
    ],
)
def test_a_wrong_setting_is_named(name, settings, field):
    with pytest.raises(InvalidInput) as caught:
        parse_recipe(name, settings)
    assert caught.value.details["field"] == field


def test_names_say_how_the_rounding_came_about():
    names = [
        parse_recipe(name, settings).variant_name
        for name, settings in (
            ("qat", {}),
            ("qat", {"bits": 8, "int8_activations": True}),
            ("distillation", {}),
            ("distillation", {"qat": False, "bits": 3}),
        )
    ]
    assert names == [
        "int4-qat-g32",
        "int8-qat-int8-activations",
        "int4-qat-distilled-g32",
        "int3-distilled-g32",
    ]
