"""By reference: folders and buckets that the server may read, and everything that it may not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.artifacts.manifest import scan
from planner.client import Client
from planner.domain.reference import ReferenceKind, covers, is_reference, parse
from planner.domain.variant import manifest_digest
from planner.errors import Conflict, InvalidInput, NotFound, PlannerError, UnsafeFile
from planner.settings import load_settings
from planner.wire.requests import RegisterReference
from planner.workspace import Workspace
from tests.api.process import running_server
from tests.workspace.folders import write_llama


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    write_llama(folder / "tiny")
    return folder


@pytest.fixture
def workspace(data_dir: Path, root: Path) -> Iterator[Workspace]:
    environ = {"PLANNER_REFERENCE_ROOTS": str(root), "PLANNER_REFERENCE_BUCKETS": "models/builds, other"}
    with Workspace(load_settings(environ, data_dir=data_dir)) as opened:
        yield opened


def register(workspace: Workspace, uri: str) -> str:
    return workspace.register_reference(RegisterReference(uri=uri, model="tiny")).digest


def test_a_folder_is_registered_as_if_it_had_been_uploaded(workspace: Workspace, root: Path) -> None:
    seen: list[tuple[int, int]] = []
    request = RegisterReference(uri=f"file://{root}/tiny", model="tiny", name="one")
    dry = workspace.register_reference(
        RegisterReference(uri=request.uri, model="tiny", name="one", dry_run=True)
    )
    assert (dry.dry_run, dry.created, dry.files_new) == (True, True, 2)
    done = workspace.register_reference(request, progress=lambda *at: seen.append(at))
    assert done.digest == dry.digest == manifest_digest(scan(root / "tiny"))
    assert (done.created, done.files_new) == (True, 2)
    assert seen[-1][0] == seen[-1][1] > 0
    again = workspace.register_reference(request)
    assert (again.created, again.bytes_new) == (False, 0)


def outside(workspace: Workspace, uri: str) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        register(workspace, uri)
    return caught.value


def test_what_lies_outside_is_refused_and_not_told_apart(
    workspace: Workspace, tmp_path: Path, root: Path
) -> None:
    write_llama(tmp_path / "secret")
    there, nowhere = (
        outside(workspace, f"file://{tmp_path}/secret"),
        outside(workspace, "file:///none/at/all"),
    )
    assert there.message.replace(f"{tmp_path}/secret", "X") == nowhere.message.replace("/none/at/all", "X")
    assert "in no folder that this server registers from" in there.message
    for uri in (
        f"file://{root}/../secret",
        f"file://{root}/tiny/../../secret",
        f"file://{root}/%2e%2e/secret",
        f"file://{root}/tiny%2f..%2f..%2fsecret",
        f"file://{root}evil",
        "file://otherhost/etc",
        "file://etc/passwd",
        f"file://{root}/tiny?x",
        "file:///proc/self/root",
        f"file://{root}/tiny\x00",
        "http://169.254.169.254/latest",
        "gopher://x/",
        "s3://",
        "hf:nothing",
        "",
        "file://" + "/a" * 2000,
    ):
        outside(workspace, uri)
    with pytest.raises(NotFound):
        register(workspace, f"file://{root}/missing")
    with pytest.raises(InvalidInput, match="is no folder"):
        register(workspace, f"file://{root}/tiny/config.json")


def test_links_do_not_lead_out(workspace: Workspace, tmp_path: Path, root: Path) -> None:
    secret = write_llama(tmp_path / "secret", seed=5)
    (root / "link").symlink_to(secret)
    assert "in no folder" in outside(workspace, f"file://{root}/link").message
    (root / "up").symlink_to(tmp_path)
    assert "in no folder" in outside(workspace, f"file://{root}/up/secret").message
    shutil.copytree(root / "tiny", root / "mixed")
    (root / "mixed" / "tokenizer.json").symlink_to("/etc/passwd")
    with pytest.raises(PlannerError, match="leaves the folder"):
        register(workspace, f"file://{root}/mixed")
    (root / "loop").symlink_to(root / "loop")
    with pytest.raises(NotFound):
        register(workspace, f"file://{root}/loop")
    (root / "inside").symlink_to(root / "tiny")
    assert register(workspace, f"file://{root}/inside") == register(workspace, f"file://{root}/tiny")


def test_what_can_run_code_is_refused(workspace: Workspace, root: Path) -> None:
    (root / "tiny" / "pytorch_model.bin").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(UnsafeFile):
        register(workspace, f"file://{root}/tiny")
    assert list(workspace.store.digests()) == []


def test_nothing_is_allowed_unless_it_is_set(data_dir: Path, root: Path) -> None:
    with Workspace(load_settings({}, data_dir=data_dir)) as closed:
        assert "PLANNER_REFERENCE_ROOTS is not set" in outside(closed, f"file://{root}/tiny").message
        assert "PLANNER_REFERENCE_BUCKETS is not set" in outside(closed, "s3://models/builds").message


def test_buckets_that_are_not_allowed(workspace: Workspace) -> None:
    for uri in (
        "s3://secrets/x",
        "s3://models",
        "s3://models/buildsevil",
        "s3://models/builds/../other",
        "s3://other-1/",
    ):
        outside(workspace, uri)


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    for prefix in ("", "file://", "file:///", "s3://bucket/", "hf:"):
        try:
            found = parse(prefix + text)
        except InvalidInput:
            continue
        if found.kind is ReferenceKind.FILE:
            assert os.path.normpath(found.place) == found.place
        if found.kind is ReferenceKind.S3:
            assert ".." not in found.rest.split("/")


def test_parts_of_references() -> None:
    assert parse("hf:org/model@abc").rest == "abc"
    assert parse("hf://org/model").place == "org/model"
    assert (parse("s3://bucket/a/b/").place, parse("s3://bucket/a/b/").rest) == ("bucket", "a/b")
    assert parse("file:///a//b%20c/").place == "/a/b c"
    assert covers("models/builds", "models", "builds/x")
    assert covers("models", "models", "")
    assert not covers("models/builds", "models", "build")
    assert [is_reference(t) for t in ("./out", "file:///x", "s3://b", "hf:o/m", "C:/x")] == [
        False, True, True, True, False
    ]  # fmt: skip


def test_over_http_with_progress_and_errors(data_dir: Path, root: Path) -> None:
    environ = {"PLANNER_REFERENCE_ROOTS": str(root)}
    with running_server(data_dir, environ) as server, Client(server.url) as client:
        with pytest.raises(InvalidInput, match="in no folder"):
            client.register_reference(RegisterReference(uri="file:///etc"))
        with pytest.raises(NotFound):
            client.register_reference(RegisterReference(uri=f"file://{root}/missing"))
        with pytest.raises(InvalidInput, match="contradicts"):
            client.register_reference(
                RegisterReference(uri=f"file://{root}/tiny", model="tiny", scheme="int4")
            )
        done = client.register_reference(RegisterReference(uri=f"file://{root}/tiny", model="tiny"))
        assert done.created
        assert client.variant(done.digest) == done.variant


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3-compatible store with the bucket `models`; its address."""
    pytest.importorskip("obstore")
    pytest.importorskip("moto.server")
    log = tmp_path_factory.mktemp("s3") / "log"
    code = "from moto.server import main; main(['-H', '127.0.0.1', '-p', '0'])"
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, "-c", code], stderr=file, stdout=file)
    try:
        deadline = time.monotonic() + 30
        while "Running on" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        url = log.read_text().partition("Running on ")[2].split()[0]
        with urlopen(Request(f"{url}/models", data=b"", method="PUT")) as answer:
            assert answer.status == 200
        yield url
    finally:
        process.kill()
        process.wait()


def put(key: str, body: bytes) -> None:
    import obstore
    from obstore.store import S3Store

    obstore.put(S3Store("models", client_options={"allow_http": True}), key, body)


@pytest.fixture
def credentials(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in {
        "AWS_ENDPOINT": s3, "AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return s3


def test_objects_of_a_bucket(workspace: Workspace, root: Path, credentials: str) -> None:
    for path in (root / "tiny").iterdir():
        put(f"builds/tiny/{path.name}", path.read_bytes())
    put("builds/tiny/.cache/junk", b"x")
    put("builds/tinyother/config.json", b"{}")
    seen: list[tuple[int, int]] = []
    dry = workspace.register_reference(
        RegisterReference(uri="s3://models/builds/tiny", model="tiny", dry_run=True)
    )
    assert (dry.created, dry.files_new, list(workspace.store.digests())) == (True, 2, [])
    done = workspace.register_reference(
        RegisterReference(uri="s3://models/builds/tiny", model="tiny"), progress=lambda *at: seen.append(at)
    )
    assert done.digest == dry.digest == manifest_digest(scan(root / "tiny"))
    assert (done.created, done.files_new, done.bytes_new) == (True, 2, done.bytes_total)
    assert seen[-1] == (done.bytes_total, done.bytes_total)
    again = workspace.register_reference(RegisterReference(uri="s3://models/builds/tiny/", model="tiny"))
    assert (again.created, again.files_new) == (False, 0)
    with pytest.raises(NotFound):
        register(workspace, "s3://models/builds/nothing")
    with pytest.raises(NotFound):
        register(workspace, "s3://other/nothing")


def test_an_object_that_is_replaced_while_it_is_read(workspace: Workspace, credentials: str) -> None:
    from planner.artifacts.bucket import Bucket

    put("builds/moving/config.json", b"{}")
    bucket = Bucket("models")
    (file,) = bucket.files("builds/moving")
    put("builds/moving/config.json", b"[]")
    with pytest.raises(Conflict, match="replaced"):
        list(bucket.read(file))


def test_what_was_pushed_to_this_registry(workspace: Workspace, root: Path) -> None:
    from planner.domain.upload import AddFile

    artifacts = scan(root / "tiny")
    for artifact in artifacts:
        workspace.upload([(root / "tiny" / artifact.path).read_bytes()], sha256=artifact.sha256)
    workspace.create_repository("acme/tiny-build")
    workspace.create_ref("acme/tiny-build", "draft", None, is_tag=False)
    made = workspace.commit(
        "acme/tiny-build",
        "draft",
        [AddFile(artifact=artifact) for artifact in artifacts],
        summary="a build",
        description="",
        parent=None,
    )
    assert made.commit.variant_id is None, "only `main` is registered by itself"
    uri = f"hf:acme/tiny-build@{made.commit.id}"
    dry = workspace.register_reference(RegisterReference(uri=uri, model="tiny", dry_run=True))
    assert (dry.created, dry.dry_run, dry.bytes_new) == (True, True, 0)
    with pytest.raises(InvalidInput, match="contradicts"):
        workspace.register_reference(RegisterReference(uri=uri, model="tiny", scheme="int4"))
    done = workspace.register_reference(RegisterReference(uri=uri, model="tiny", name="pushed"))
    assert (done.digest, done.created) == (manifest_digest(artifacts), True)
    assert workspace.variant("tiny/pushed").id == done.digest
    by_branch = workspace.register_reference(RegisterReference(uri="hf:acme/tiny-build@draft"))
    assert (by_branch.digest, by_branch.created) == (done.digest, False)
    for missing in ("hf:acme/nothing", "hf:acme/tiny-build@nothing"):
        with pytest.raises(NotFound):
            workspace.register_reference(RegisterReference(uri=missing))
    with pytest.raises(InvalidInput, match="provenance"):
        workspace.register_reference(RegisterReference(uri=uri, runtimes=("vllm",)))
