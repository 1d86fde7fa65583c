from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from planner.domain.figure import Basis
from planner.domain.scheme import NumberFormat
from planner.domain.variant import FileFormat, Provenance, manifest_digest
from planner.errors import Conflict, IntegrityFailure, InvalidFile, InvalidInput, NotFound, UnsafeFile
from planner.wire.requests import Manifest
from planner.workspace import Workspace
from tests.workspace.folders import parameters, write_llama


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "tiny")


def blobs(workspace: Workspace) -> set[str]:
    return set(workspace.store.digests())


def test_facts_come_from_the_files(workspace: Workspace, folder: Path) -> None:
    done = workspace.register(folder, model="tiny")
    assert (done.created, done.model_created, done.dry_run) == (True, True, False)
    variant = done.variant
    assert variant is not None
    assert variant.id == done.digest == manifest_digest(variant.artifacts)
    assert (variant.model_id, variant.name, variant.file_format) == ("tiny", "bf16", FileFormat.SAFETENSORS)
    assert variant.scheme.weight.format is NumberFormat.BF16
    assert variant.parameters == parameters()
    assert variant.weight_bytes.value == 2 * parameters()
    assert variant.weight_bytes.basis is Basis.MEASURED
    assert variant.effective_bits == 16
    model = workspace.model("tiny")
    assert (model.parameters, model.architecture.layers, model.reference_format) == (
        parameters(),
        2,
        NumberFormat.BF16,
    )
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert {artifact.path: artifact.size for artifact in variant.artifacts} == sizes
    assert done.bytes_new == done.bytes_total == sum(sizes.values())
    for artifact in variant.artifacts:
        assert b"".join(workspace.open_artifact(artifact.sha256)) == (folder / artifact.path).read_bytes()


def test_registering_again_changes_nothing(workspace: Workspace, folder: Path) -> None:
    first = workspace.register(folder, model="tiny", name="one")
    revision, held = workspace.registry.revision(), blobs(workspace)
    again = workspace.register(folder, model="renamed", name="two", provenance=Provenance(recipe="other"))
    assert again.warnings == (
        "kept the model tiny of the first registration",
        "kept the name one of the first registration",
    )
    assert workspace.register(folder, model="org/Tiny", name="one").warnings == ()
    assert (again.created, again.bytes_new, again.files_new) == (False, 0, 0)
    assert again.variant == first.variant
    assert (workspace.registry.revision(), blobs(workspace)) == (revision, held)


def test_a_dry_run_says_what_would_happen_and_changes_nothing(workspace: Workspace, folder: Path) -> None:
    revision = workspace.registry.revision()
    dry = workspace.register(folder, model="tiny", dry_run=True)
    assert (dry.created, dry.model_created, dry.dry_run, dry.files_new) == (True, True, True, 2)
    assert dry.bytes_new == dry.bytes_total
    assert dry.variant is not None
    assert (workspace.registry.revision(), blobs(workspace)) == (revision, set())
    with pytest.raises(NotFound):
        workspace.variant(dry.digest)
    done = workspace.register(folder, model="tiny")
    assert msgspec.structs.replace(dry.variant, created_at=None) == msgspec.structs.replace(
        done.variant, created_at=None
    )  # type: ignore[type-var]
    assert not workspace.register(folder, dry_run=True).created


def test_only_new_files_are_stored(workspace: Workspace, folder: Path, tmp_path: Path) -> None:
    workspace.register(folder, model="tiny")
    other = write_llama(tmp_path / "other", seed=1)
    done = workspace.register(other)
    assert done.files_new == 1  # config.json is the same
    assert done.bytes_new == (other / "model.safetensors").stat().st_size
    assert done.variant is not None
    assert (done.model_created, done.variant.model_id) == (False, "tiny")
    assert "only model with its shape" in done.warnings[0]
    assert done.variant.name.startswith("bf16-")  # the plain name is taken


def test_another_scheme_of_the_same_model(workspace: Workspace, folder: Path, tmp_path: Path) -> None:
    base = workspace.register(folder, model="tiny")
    full = write_llama(tmp_path / "full", dtype="F32")
    done = workspace.register(full, provenance=Provenance(base_variant_id=base.digest, recipe="cast"))
    assert done.variant is not None
    assert (done.variant.name, done.variant.model_id, done.variant.provenance.recipe) == (
        "fp32",
        "tiny",
        "cast",
    )


@pytest.mark.parametrize(
    ("field", "value"), [("scheme", "int4"), ("name", "tiny-int8"), ("name", "tiny-w4a16")]
)
def test_labels_that_contradict_the_tensors(
    workspace: Workspace, folder: Path, field: str, value: str
) -> None:
    with pytest.raises(InvalidInput, match="contradicts") as caught:
        workspace.register(folder, model="tiny", **{field: value})  # type: ignore[arg-type]
    assert caught.value.details["field"] == field
    assert blobs(workspace) == set()
    workspace.register(folder, model="tiny")
    with pytest.raises(InvalidInput, match="contradicts") as caught:
        workspace.register(folder, **{field: value})  # type: ignore[arg-type]
    assert caught.value.details["field"] == field


def test_a_model_of_another_shape(workspace: Workspace, folder: Path) -> None:
    with pytest.raises(InvalidInput, match="not a build of") as caught:
        workspace.register(folder, model="llama-2-13b")
    assert "40 layers" in caught.value.details["allowed"]
    assert blobs(workspace) == set()
    workspace.register(folder, model="tiny")
    with pytest.raises(InvalidInput, match="not a build of"):
        workspace.register(folder, model="llama-2-13b")


def test_a_misspelt_model_whose_shape_is_known(workspace: Workspace, folder: Path, tmp_path: Path) -> None:
    workspace.register(folder, model="tiny")
    with pytest.raises(NotFound) as caught:
        workspace.register(write_llama(tmp_path / "b", seed=3), model="tinny")
    assert caught.value.details["nearest"] == ["tiny"]


def test_several_models_of_one_shape_must_be_told_apart(
    workspace: Workspace, folder: Path, tmp_path: Path
) -> None:
    workspace.register(folder, model="tiny")
    twin = msgspec.structs.replace(workspace.model("tiny"), id="twin", name="Twin", aliases=())
    from planner.registry import models

    with workspace.registry.write() as tx:
        models.put(tx, twin)
    with pytest.raises(InvalidInput, match="2 models") as caught:
        workspace.register(write_llama(tmp_path / "b", seed=3))
    assert caught.value.details["allowed"] == "tiny, twin"


def test_a_broken_file_is_named(workspace: Workspace, folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(InvalidFile, match=r"model\.safetensors"):
        workspace.register(folder, model="tiny")
    assert blobs(workspace) == set()


def test_pickles_are_refused_before_anything_is_stored(workspace: Workspace, folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(UnsafeFile):
        workspace.register(folder, model="tiny")
    assert blobs(workspace) == set()


def test_a_manifest_needs_its_bytes(workspace: Workspace, folder: Path) -> None:
    done = workspace.register(folder, model="tiny")
    assert done.variant is not None
    first, second = done.variant.artifacts
    lost = msgspec.structs.replace(first, sha256="0" * 64)
    with pytest.raises(Conflict, match="upload them first") as caught:
        workspace.register_manifest(Manifest(artifacts=(lost, second)))
    assert caught.value.details["missing"] == ["0" * 64]
    wrong = msgspec.structs.replace(first, size=first.size + 1)
    with pytest.raises(InvalidInput) as refused:
        workspace.register_manifest(Manifest(artifacts=(wrong, second)))
    assert refused.value.details["field"] == "artifacts[0].size"


def test_a_file_that_changes_meanwhile(workspace: Workspace, folder: Path) -> None:
    config = folder / "config.json"

    def progress(done: int, total: int) -> None:
        if done >= total / 2:
            config.write_text(json.dumps(json.loads(config.read_text()) | {"vocab_size": 255}))

    with pytest.raises((IntegrityFailure, InvalidFile, InvalidInput)):
        workspace.register(folder, model="tiny", progress=progress)
    assert workspace.variants().items[0].variant.model_id != "tiny"


def test_a_name_is_made_of_what_the_files_say(workspace: Workspace, folder: Path) -> None:
    (folder / "README.md").write_text("---\nbase_model: someone/Tiny-Llama.v2\nlicense: mit\n---\n")
    done = workspace.register(folder)
    assert done.model_created
    model = workspace.model("tiny-llama.v2")
    assert (model.name, model.hub_id, model.license) == ("Tiny-Llama.v2", "someone/Tiny-Llama.v2", "mit")
