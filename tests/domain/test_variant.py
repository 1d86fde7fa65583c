from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.domain.figure import Basis, exact
from planner.domain.scheme import NumberFormat, Precision, Scheme
from planner.domain.units import Unit
from planner.domain.variant import Artifact, FileFormat, Variant, check_path, manifest_digest
from planner.errors import InvalidInput

HASH = "a" * 64
names = st.from_regex(r"[a-z0-9_.-]{1,12}", fullmatch=True).filter(lambda name: name.strip(".") != "")
artifacts = st.builds(
    Artifact,
    path=st.lists(names, min_size=1, max_size=3).map("/".join),
    size=st.integers(0, 2**60),
    sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
)
manifests = st.lists(artifacts, min_size=1, max_size=6, unique_by=lambda artifact: artifact.path.casefold())


@given(manifests, st.randoms(use_true_random=False))
def test_the_digest_does_not_depend_on_the_order(files: list[Artifact], random: object):
    shuffled = list(files)
    getattr(random, "shuffle")(shuffled)  # noqa: B009  hypothesis types its random source as object here
    assert manifest_digest(shuffled) == manifest_digest(files)


@given(manifests)
def test_the_digest_is_sha256_of_the_canonical_manifest(files: list[Artifact]):
    rows = sorted([file.path, file.size, file.sha256] for file in files)
    canonical = json.dumps(rows, separators=(",", ":"), ensure_ascii=False).encode()
    assert manifest_digest(files) == "sha256:" + hashlib.sha256(canonical).hexdigest()


@given(manifests, st.integers(0, 5), st.sampled_from(["path", "size", "sha256"]))
def test_the_digest_changes_with_every_part(files: list[Artifact], index: int, part: str):
    file = files[index % len(files)]
    changed = Artifact(
        path=file.path + "x" if part == "path" else file.path,
        size=(file.size + 1) % 2**60 if part == "size" else file.size,
        sha256=hashlib.sha256(file.sha256.encode()).hexdigest() if part == "sha256" else file.sha256,
    )
    others = [other for other in files if other is not file]
    if changed.path.casefold() in {other.path.casefold() for other in others}:
        return
    assert manifest_digest([*others, changed]) != manifest_digest(files)


def test_empty_and_ambiguous_manifests_are_refused():
    with pytest.raises(InvalidInput, match="empty"):
        manifest_digest([])
    with pytest.raises(InvalidInput, match="same path twice"):
        manifest_digest([Artifact(path="a", size=1, sha256=HASH), Artifact(path="A", size=1, sha256=HASH)])


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../b",
        "./a",
        "a//b",
        "a/",
        "C:/x",
        "c:x",
        "a\\b",
        "a\x00b",
        "a\nb",
        "a\x7f",
        ".",
        "..",
        "x" * 513,
    ],
)
def test_paths_that_could_leave_the_folder_are_refused(path: str):
    with pytest.raises(InvalidInput, match=r"artifact\.path"):
        check_path(path)


@pytest.mark.parametrize(
    "path",
    ["config.json", "a/b/c.safetensors", "model-00001-of-00002.safetensors", ".hidden", "模型.gguf", "a b"],
)
def test_ordinary_paths_are_fine(path: str):
    check_path(path)


@given(st.text(max_size=30))
def test_an_accepted_path_stays_inside(path: str):
    try:
        check_path(path)
    except InvalidInput:
        return
    assert not path.startswith("/")
    assert ".." not in path.split("/")
    assert "\\" not in path


@pytest.mark.parametrize(
    ("size", "sha256"),
    [(-1, HASH), (2**60 + 1, HASH), (1, HASH.upper()), (1, "a" * 63), (1, f"{HASH}\n"), (1, "")],
)
def test_impossible_files_are_refused(size: int, sha256: str):
    with pytest.raises(InvalidInput, match="artifact"):
        Artifact(path="x", size=size, sha256=sha256)


def test_a_variant_known_only_from_a_publication_cannot_be_fetched():
    variant = Variant(
        id="published:m/int8",
        model_id="m",
        name="int8",
        scheme=Scheme(weight=Precision(format=NumberFormat.INT8)),
        file_format=FileFormat.UNKNOWN,
        weight_bytes=exact(1, Unit.BYTES, basis=Basis.PUBLISHED),
    )
    assert (variant.is_fetchable, variant.disk_bytes) == (False, None)


def test_disk_bytes_are_the_sum_of_the_files():
    variant = Variant(
        id="sha256:x",
        model_id="m",
        name="bf16",
        scheme=Scheme(weight=Precision(format=NumberFormat.BF16)),
        file_format=FileFormat.SAFETENSORS,
        weight_bytes=exact(1, Unit.BYTES, basis=Basis.MEASURED),
        artifacts=(Artifact(path="a", size=3, sha256=HASH), Artifact(path="b", size=4, sha256=HASH)),
    )
    assert (variant.is_fetchable, variant.disk_bytes) == (True, 7)
