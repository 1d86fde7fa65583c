"""Signing from stored digests and verification at fetch, in process and over HTTP, held against the library's own command."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from planner.artifacts.bundle import SIGNATURE_NAME, signed_files
from planner.artifacts.signing import sign, verify
from planner.cli.main import main
from planner.client import Client
from planner.domain.variant import Artifact, Variant
from planner.errors import InvalidInput, SignatureFailure
from planner.settings import load_settings
from planner.workspace import Workspace
from tests.api.process import running_server
from tests.workspace.fixtures import data_template
from tests.workspace.folders import write_llama

pytest.importorskip("model_signing")

__all__ = ["data_template"]

ARTIFACTS = (
    Artifact(path="config.json", size=3, sha256="a" * 64),
    Artifact(path="sub dir/model.safetensors", size=5, sha256="b" * 64),
)


class Keys:
    """Keys in files, as `openssl ecparam` and `openssl ec` write them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.private, self.public = self.pair("own", ec.SECP256R1())
        self.other_private, self.other_public = self.pair("other", ec.SECP384R1())

    def pair(self, name: str, curve: Any, password: bytes | None = None) -> tuple[Path, Path]:
        key = ec.generate_private_key(curve)
        private, public = self._folder / f"{name}.pem", self._folder / f"{name}.pub"
        cipher = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        private.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher)
        )
        public.write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        return private, public


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


# -- the library, from digests ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name
)
def test_a_manifest_is_signed_from_its_digests(keys, curve):
    private, public = keys.pair(curve.name, curve)
    bundle = sign("m", ARTIFACTS, private)
    assert signed_files(bundle).digests == {each.path: each.sha256 for each in ARTIFACTS}
    assert verify([bundle], ARTIFACTS, public) == bundle


def test_the_one_signature_that_holds_is_found_among_others(keys):
    other = sign("m", ARTIFACTS, keys.other_private)
    older = sign("m", ARTIFACTS[:1], keys.private)
    own = sign("m", ARTIFACTS, keys.private)
    assert verify([b"{}", other, older, own], ARTIFACTS, keys.public) == own


def test_what_does_not_hold_is_told_apart(keys):
    own = sign("m", ARTIFACTS, keys.private)
    with pytest.raises(SignatureFailure, match="not signed"):
        verify([], ARTIFACTS, keys.public)
    with pytest.raises(SignatureFailure, match="another key"):
        verify([own], ARTIFACTS, keys.other_public)
    changed = (ARTIFACTS[0], Artifact(path=ARTIFACTS[1].path, size=5, sha256="c" * 64))
    with pytest.raises(SignatureFailure, match=r"other bytes: sub dir/model\.safetensors"):
        verify([own], changed, keys.public)
    with pytest.raises(SignatureFailure, match="not signed: extra"):
        verify([own], (*ARTIFACTS, Artifact(path="extra", size=1, sha256="d" * 64)), keys.public)
    with pytest.raises(SignatureFailure, match="signed but not there: sub dir"):
        verify([own], ARTIFACTS[:1], keys.public)


def test_a_changed_payload_breaks_the_signature(keys):
    import base64

    document = json.loads(sign("m", ARTIFACTS, keys.private))
    payload = base64.b64decode(document["dsseEnvelope"]["payload"]).replace(b"a" * 64, b"c" * 64)
    document["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    changed = (Artifact(path="config.json", size=3, sha256="c" * 64), ARTIFACTS[1])
    with pytest.raises(SignatureFailure, match="not over this manifest"):
        verify([json.dumps(document).encode()], changed, keys.public)


def test_a_second_payload_in_another_spelling_is_not_believed(keys):
    """What is compared is what the library has verified, whatever else the bundle holds."""
    document = json.loads(sign("m", ARTIFACTS, keys.private))
    forged = json.loads(sign("m", ARTIFACTS[:1], keys.other_private))
    for first, second in ((document, forged), (forged, document)):
        mixed = {"dsse_envelope": first["dsseEnvelope"], **second}
        mixed["verificationMaterial"] = document["verificationMaterial"]
        with pytest.raises(SignatureFailure):
            verify([json.dumps(mixed).encode()], ARTIFACTS[:1], keys.public)


HOSTILE = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"{}",
    b"\xff",
    b'{"verificationMaterial":{},"dsseEnvelope":{"payload":"e30="}}',
    b"[" * 5000,
]


@pytest.mark.parametrize("bundle", HOSTILE)
def test_hostile_bundles(keys, bundle):
    with pytest.raises(SignatureFailure):
        verify([bundle], ARTIFACTS, keys.public)
    with pytest.raises(InvalidInput, match="bundle"):
        signed_files(bundle)


def test_keys_that_cannot_be_used(keys, tmp_path):
    garbage, rsa_key = tmp_path / "garbage.pem", tmp_path / "rsa.pem"
    garbage.write_text("garbage")
    secret = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    rsa_key.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    locked, _ = keys.pair("locked", ec.SECP256R1(), password=b"secret")
    for path in (garbage, rsa_key, tmp_path / "absent", locked, keys.public):
        with pytest.raises(InvalidInput, match="--key"):
            sign("m", ARTIFACTS, path)
    with pytest.raises(InvalidInput, match="--key"):
        sign("m", ARTIFACTS, locked, password="wrong")
    assert sign("m", ARTIFACTS, locked, password="secret")
    for path in (garbage, tmp_path / "absent", keys.private):
        with pytest.raises(InvalidInput, match="--verify-key"):
            verify([b"{}"], ARTIFACTS, path)


def test_a_file_that_verifiers_leave_out_is_not_signed(keys):
    with pytest.raises(InvalidInput, match=r"model\.sig"):
        sign("m", (*ARTIFACTS, Artifact(path=SIGNATURE_NAME, size=1, sha256="d" * 64)), keys.private)


# -- the commands, in process and over HTTP ---------------------------------------------------------------------------


class Place:
    """Where a variant is held: options of the command line that lead there."""

    def __init__(self, options: list[str], variant: Variant, data_dir: Path) -> None:
        self.options, self.variant, self.data_dir = options, variant, data_dir


@pytest.fixture(scope="module")
def held(data_template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Variant]:
    folder = tmp_path_factory.mktemp("signing")
    data_dir = Path(shutil.copytree(data_template, folder / "data"))
    made = write_llama(folder / "tiny")
    (made / "sub dir").mkdir()
    (made / "sub dir" / "note.txt").write_text("a note")
    with Workspace(load_settings({}, data_dir=data_dir)) as workspace:
        done = workspace.register(made, model="tiny", name="one")
        assert done.variant is not None
        return data_dir, done.variant


@pytest.fixture(params=["in process", "over HTTP"])
def place(request: pytest.FixtureRequest, held: tuple[Path, Variant], tmp_path: Path) -> Iterator[Place]:
    template, variant = held
    data_dir = Path(shutil.copytree(template, tmp_path / "data"))
    if request.param == "in process":
        yield Place(["--data-dir", str(data_dir)], variant, data_dir)
        return
    with running_server(data_dir) as server:
        yield Place(["--server", server.url], variant, data_dir)


def planner(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command in this process: starting one takes longer than what it does."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main([str(argument) for argument in arguments])
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def test_a_signed_variant_is_fetched_and_verifies_with_the_librarys_command(place, keys, tmp_path):
    target = tmp_path / "fetched"
    unsigned = planner("fetch", place.variant.id, target, "--verify-key", keys.public, *place.options)
    assert (unsigned.returncode, "not signed" in unsigned.stderr) == (1, True)
    assert not target.exists()  # nothing was fetched

    signed = planner("sign", place.variant.id, "--key", keys.private, "--json", *place.options)
    assert signed.returncode == 0, signed.stderr
    record = json.loads(signed.stdout)
    assert record["variant_id"] == place.variant.id
    again = planner("sign", place.variant.id, "--key", keys.other_private, "--json", *place.options)
    assert again.returncode == 0, again.stderr

    wrong = planner("fetch", place.variant.id, target, "--verify-key", keys.private, *place.options)
    assert (wrong.returncode, "--verify-key" in wrong.stderr) == (2, True)
    stranger, public = keys.pair("stranger", ec.SECP256R1())
    assert stranger.exists()
    refused = planner("fetch", place.variant.id, target, "--verify-key", public, *place.options)
    assert (refused.returncode, "another key" in refused.stderr) == (1, True)
    assert not target.exists()

    fetched = planner("fetch", place.variant.id, target, "--verify-key", keys.public, *place.options)
    assert fetched.returncode == 0, fetched.stderr
    assert "manifest signed" in fetched.stdout
    names = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert names == {artifact.path for artifact in place.variant.artifacts} | {SIGNATURE_NAME}

    def library(folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable, "-m", "model_signing", "verify", "key", str(folder),
                "--signature", str(folder / SIGNATURE_NAME), "--public_key", str(keys.public),
            ],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    accepted = library(target)
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    (target / "sub dir" / "note.txt").write_text("another note")
    assert library(target).returncode != 0

    shown = planner("show", place.variant.id, *place.options)
    assert shown.stdout.count("signed with key") == 2, shown.stderr


@pytest.mark.parametrize("place", ["over HTTP"], indirect=True)
def test_a_lock_is_verified_against_its_own_files(place, keys, tmp_path):
    assert planner("sign", place.variant.id, "--key", keys.private, *place.options).returncode == 0
    lock = tmp_path / "planner.lock.json"
    made = planner("lock", "tiny on 24GB", "--out", lock, *place.options)
    if made.returncode != 0:  # the catalogue may know a better one: the lock is then written by hand
        pytest.fail(made.stderr)
    document = json.loads(lock.read_text())
    assert document["variant"]["id"] == place.variant.id
    fetched = planner("fetch", "--lock", lock, tmp_path / "a", "--verify-key", keys.public, *place.options)
    assert fetched.returncode == 0, fetched.stderr
    assert (tmp_path / "a" / SIGNATURE_NAME).is_file()


@pytest.mark.parametrize("place", ["over HTTP"], indirect=True)
def test_a_fetched_folder_that_is_registered_elsewhere_brings_its_signature(place, held, keys, tmp_path):
    assert planner("sign", place.variant.id, "--key", keys.private, *place.options).returncode == 0
    folder = tmp_path / "fetched"
    assert (
        planner("fetch", place.variant.id, folder, "--verify-key", keys.public, *place.options).returncode
        == 0
    )
    elsewhere = Path(shutil.copytree(held[0], tmp_path / "elsewhere"))
    done = planner("register", folder, "--json", "--data-dir", elsewhere)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["digest"] == place.variant.id  # the signature is no file of the variant
    assert not json.loads(done.stdout)["warnings"]
    again = planner(
        "fetch", place.variant.id, tmp_path / "c", "--verify-key", keys.public, "--data-dir", elsewhere
    )
    assert again.returncode == 0, again.stderr
    (folder / SIGNATURE_NAME).write_bytes(sign("m", ARTIFACTS, keys.private))
    stale = planner("register", folder, "--json", "--data-dir", elsewhere)
    assert stale.returncode == 0
    assert "model.sig was not kept" in json.loads(stale.stdout)["warnings"][0]


def test_a_bundle_made_by_the_library_is_kept_and_one_over_other_files_is_refused(place, keys, tmp_path):
    folder = tmp_path / "copy"
    assert planner("fetch", place.variant.id, folder, *place.options).returncode == 0
    bundle = tmp_path / "out.sig"

    def library_signs() -> None:
        subprocess.run(
            [
                sys.executable, "-m", "model_signing", "sign", "key", str(folder),
                "--signature", str(bundle), "--private_key", str(keys.private),
            ],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip

    library_signs()
    kept = planner("sign", place.variant.id, "--bundle", bundle, *place.options)
    assert kept.returncode == 0, kept.stderr
    fetched = planner("fetch", place.variant.id, tmp_path / "b", "--verify-key", keys.public, *place.options)
    assert fetched.returncode == 0, fetched.stderr
    (folder / "config.json").write_text("{}")
    library_signs()
    refused = planner("sign", place.variant.id, "--bundle", bundle, *place.options)
    assert refused.returncode == 2
    assert "other bytes: config.json" in refused.stderr
    assert planner("sign", place.variant.id, *place.options).returncode == 2


@pytest.mark.parametrize("place", ["in process"], indirect=True)
def test_a_registry_that_lies_about_files_is_found_out(place, keys, tmp_path):
    """Whoever can write to the registry can change what it says of a variant; not what was signed."""
    assert planner("sign", place.variant.id, "--key", keys.private, *place.options).returncode == 0
    service: Any = (
        Client(place.options[1])
        if place.options[0] == "--server"
        else Workspace(load_settings({}, data_dir=place.data_dir))
    )
    with service:
        from planner.cli.signatures import verified_signature

        lying = Variant(
            id=place.variant.id, model_id="tiny", name="one", scheme=place.variant.scheme,
            file_format=place.variant.file_format, weight_bytes=place.variant.weight_bytes,
            artifacts=(Artifact(path="config.json", size=1, sha256="0" * 64), *place.variant.artifacts[1:]),
        )  # fmt: skip
        assert verified_signature(service, place.variant, keys.public)
        with pytest.raises(SignatureFailure, match="other bytes"):
            verified_signature(service, lying, keys.public)
