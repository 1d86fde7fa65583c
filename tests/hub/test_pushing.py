"""Stock clients push to a real server: huggingface_hub as a library and a command, and transformers.

PLANNER_CLIENT_MATRIX=FOLDER also tries a row of releases, each in an environment of its own that is made in FOLDER.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from planner.client import Client
from planner.domain.identity import TokenScope
from planner.domain.listing import VariantFilter
from planner.domain.variant import Variant
from planner.settings import load_settings
from planner.wire.identity import TokenRequest
from planner.workspace import Workspace
from tests.api.process import Server, running_server
from tests.hub.proxy import network
from tests.hub.releases import RELEASES, environment_of_release
from tests.workspace.folders import write_llama

SCRIPT = Path(__file__).with_name("stock_pusher.py")
TOKEN = "hf_" + "a" * 34
"""Old releases send no write without a token; a server without authentication reads none."""


def environment(url: str, home: Path, *, lfs: bool = False) -> dict[str, str]:
    return {
        **({"HF_HUB_DISABLE_XET": "1"} if lfs else {}),
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "HF_ENDPOINT": url,
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "*",
        "OMP_NUM_THREADS": "1",
        "TERM": "dumb",
    }


def ran(command: list[str], url: str, home: Path, *, lfs: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment(url, home, lfs=lfs),
        capture_output=True,
        text=True,
        timeout=120,
        cwd=home,
        check=False,
    )


@pytest.fixture(scope="module")
def server(data_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data_dir = Path(shutil.copytree(data_template, tmp_path_factory.mktemp("pushed") / "data"))
    with running_server(data_dir, environ={"PLANNER_UPLOAD_PART_BYTES": str(256 * 1024)}) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A model in four parts' worth of bytes of its own, with a card, a folder and hidden files."""
    seed = int(hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:6], 16)
    made = write_llama(tmp_path / "model", hidden=256, layers=2, seed=seed)
    (made / "README.md").write_text("---\nbase_model: acme/the-base\nlicense: mit\n---\n\nA model.\n")
    (made / "sub dir").mkdir()
    (made / "sub dir" / "näme.txt").write_text("text with ünicode")
    (made / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    return made


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def registered(url: str, name: str) -> list[Variant]:
    with Client(url) as client:
        rows = client.variants(VariantFilter(fetchable=True), limit=200).items
        return [row.variant for row in rows if row.variant.name == name]


def pushed_by(
    python: str, server: Server, folder: Path, home: Path, name: str, *, lfs: bool = False
) -> dict[str, object]:
    done = ran([python, str(SCRIPT), f"acme/{name}", str(folder)], server.url, home, lfs=lfs)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def check(found: dict[str, object], server: Server, folder: Path, name: str) -> None:
    files = hashes(folder)
    assert found["url"] == found["again"] == f"{server.url}/acme/{name}"
    assert found["snapshot"] == files
    assert found["by_commit"] == files
    assert found["repeated"] == found["first"], "the same files again are no new commit"
    assert found["stale"][1] == 412, found["stale"]  # type: ignore[index]
    assert "somebody has committed meanwhile" in found["stale"][2]  # type: ignore[index]
    assert found["tag_again"][1] == 409  # type: ignore[index]
    assert found["no_file"][1] == 404  # type: ignore[index]
    assert "EntryNotFound" in found["no_file"][0]  # type: ignore[index]
    for refusal in ("pickle", "hidden_pickle"):
        assert found[refusal][1] == 422, found[refusal]  # type: ignore[index]
        assert "runs code when it is loaded" in found[refusal][2]  # type: ignore[index]
    assert found["pull_request"][1] == 403  # type: ignore[index]
    assert found["main_kept"][1] == 403  # type: ignore[index]
    assert found["branches"] == {"main": found["branches"]["main"], "next": found["branch"]}  # type: ignore[index]
    assert found["tags"] == {"v1": found["on_time"]}
    assert found["last_refs"] == ["main"]
    assert found["history"] == ["no notes", "in time", "a note", "push the model", "initial commit"]
    assert found["files"] == sorted(files)
    assert found["missing_repository"][:2] == ["RepositoryNotFoundError", 404]  # type: ignore[index]
    variants = registered(server.url, name)
    visible = {path: sha256 for path, sha256 in files.items() if not path.startswith(".")}
    assert visible in [{a.path: a.sha256 for a in variant.artifacts} for variant in variants]
    assert all(variant.scheme.name == "bf16" for variant in variants)
    assert len(variants) == 3, "with each note, and without: the last commit's files are those of the first"


def test_the_installed_release_pushes(server: Server, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    check(pushed_by(sys.executable, server, folder, tmp_path, "installed"), server, folder, "installed")


def test_the_installed_release_pushes_without_xet_where_it_is_told_to(
    server: Server, folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("huggingface_hub")
    check(
        pushed_by(sys.executable, server, folder, tmp_path, "over-lfs", lfs=True), server, folder, "over-lfs"
    )


def test_files_that_share_most_bytes_travel_once(server: Server, tmp_path: Path) -> None:
    """Xet: of a file that differs from one sent before, only the differing chunks are sent, also after the first upload."""
    pytest.importorskip("hf_xet")
    command = str(Path(sys.executable).with_name("hf"))
    noise = random.Random(5).randbytes(12_000_000)
    folder = tmp_path / "noise"
    folder.mkdir()
    (folder / "one.arrow").write_bytes(noise)
    with network(server.url) as between:
        done = ran([command, "upload", "acme/noise", str(folder), "."], between.url, tmp_path)
        assert done.returncode == 0, done.stderr
        first = between.sent
        assert first > len(noise)
        (folder / "two.arrow").write_bytes(noise[:5_000_000] + b"inserted" + noise[5_000_000:])
        done = ran([command, "upload", "acme/noise", str(folder), "."], between.url, tmp_path)
        assert done.returncode == 0, done.stderr
        assert between.sent - first < len(noise) / 10
    done = ran([command, "download", "acme/noise", "--local-dir", "out"], server.url, tmp_path)
    assert done.returncode == 0, done.stderr
    for name in ("one.arrow", "two.arrow"):
        assert (tmp_path / "out" / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("release", RELEASES)
def test_other_releases_push(release: str, server: Server, folder: Path, tmp_path: Path) -> None:
    python = environment_of_release(release)
    name = f"release-{release}"
    check(pushed_by(python, server, folder, tmp_path, name), server, folder, name)


def test_the_command_pushes_and_a_second_time_sends_no_file(
    server: Server, folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("huggingface_hub")
    command = str(Path(sys.executable).with_name("hf"))
    weights = (folder / "model.safetensors").stat().st_size
    with network(server.url) as between:
        done = ran([command, "upload", "acme/by-command", str(folder), "."], between.url, tmp_path)
        assert done.returncode == 0, done.stderr
        assert between.sent > weights / 2, "less than the file has, for it travels compressed"
        first = between.sent
        done = ran([command, "upload", "acme/by-command-2", str(folder), "."], between.url, tmp_path)
        assert done.returncode == 0, done.stderr
        assert between.sent - first < weights / 10, "the bytes are here, in whatever repository"
    (variant,) = registered(server.url, "by-command")
    assert registered(server.url, "by-command-2") == [], "equal bytes are one variant, with its first name"
    done = ran(
        [command, "download", f"{variant.model_id}/by-command", "--local-dir", "out"], server.url, tmp_path
    )
    assert done.returncode == 0, done.stderr
    got = {path: digest for path, digest in hashes(tmp_path / "out").items() if not path.startswith(".cache")}
    assert got == {path: digest for path, digest in hashes(folder).items() if not path.startswith(".")}


LARGE = "import sys, huggingface_hub as hub; hub.HfApi().upload_large_folder(repo_id=sys.argv[1], folder_path=sys.argv[2], repo_type='model', print_report=False)"


@pytest.mark.timeout(600)
def test_a_large_folder_in_many_commits_is_registered_with_the_last(
    server: Server, folder: Path, tmp_path: Path
) -> None:
    python = environment_of_release("1.33.0")
    for number in range(200):
        (folder / f"note-{number}.txt").write_text(f"note {number}")
    files = {path: digest for path, digest in hashes(folder).items() if not path.startswith(".")}
    done = ran([python, "-c", LARGE, "acme/large", str(folder)], server.url, tmp_path)
    assert done.returncode == 0, done.stderr
    history = httpx.get(f"{server.url}/api/models/acme/large/commits/main").json()
    assert len(history) > 2, "it came in several commits"
    (variant,) = registered(server.url, "large")
    assert {a.path: a.sha256 for a in variant.artifacts} == files


TRANSFORMERS = """
import sys, torch
from transformers import LlamaConfig, LlamaForCausalLM, AutoModelForCausalLM
torch.manual_seed(7)
config = LlamaConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
                     num_key_value_heads=2, vocab_size=300)
model = LlamaForCausalLM(config)
info = model.push_to_hub("acme/by-transformers", commit_message="trained")
loaded = AutoModelForCausalLM.from_pretrained("acme/by-transformers")
assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), loaded.state_dict().values()))
again = AutoModelForCausalLM.from_pretrained("acme/by-transformers", revision=info.oid)
print(info.oid, len(loaded.state_dict()))
"""


def test_a_model_of_transformers_is_pushed_and_loaded_again(server: Server, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    done = ran([sys.executable, "-c", TRANSFORMERS], server.url, tmp_path)
    assert done.returncode == 0, done.stderr
    (variant,) = registered(server.url, "by-transformers")
    assert variant.scheme.name == "fp32"
    assert {"config.json", "model.safetensors"} <= {artifact.path for artifact in variant.artifacts}


def test_a_repository_that_is_a_view_is_not_pushed_to(server: Server, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    command = str(Path(sys.executable).with_name("hf"))
    assert ran([command, "upload", "acme/seen", str(folder), "."], server.url, tmp_path).returncode == 0
    (variant,) = registered(server.url, "seen")
    view = f"{variant.model_id}/seen"
    done = ran([command, "upload", view, str(folder / "README.md"), "new.md"], server.url, tmp_path)
    assert done.returncode != 0
    assert "read-only" in done.stderr


def test_a_server_that_asks_for_tokens_takes_only_what_a_token_may_push(
    data_template: Path, folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("huggingface_hub")
    data_dir = Path(shutil.copytree(data_template, tmp_path / "data"))
    with Workspace(load_settings({}, data_dir=data_dir)) as workspace:
        request = TokenRequest(
            label="ci", scopes=(TokenScope.READ, TokenScope.REGISTER), resources=("acme/mine",)
        )
        token = workspace.create_token(request).secret
    command = str(Path(sys.executable).with_name("hf"))
    settings = {"PLANNER_AUTH": "all", "PLANNER_UPLOAD_PART_BYTES": str(256 * 1024)}
    with running_server(data_dir, environ=settings) as asking:

        def upload(repository: str, token: str) -> subprocess.CompletedProcess[str]:
            arguments = [command, "upload", repository, str(folder), ".", "--token", token]
            return ran(arguments, asking.url, tmp_path)

        assert upload("acme/mine", TOKEN).returncode != 0
        done = upload("acme/mine", token)
        assert done.returncode == 0, done.stderr
        other = upload("acme/other", token)
        assert other.returncode != 0
        assert "acme/mine" in other.stderr + other.stdout
        with Client(asking.url, token=token) as client:
            rows = client.variants(VariantFilter(fetchable=True)).items
        assert [row.variant.name for row in rows] == ["mine"]
        headers = {"authorization": f"Bearer {token}"}
        history = httpx.get(f"{asking.url}/api/models/acme/mine/commits/main", headers=headers).json()
        assert history[0]["authors"] == [{"user": "ci"}]
