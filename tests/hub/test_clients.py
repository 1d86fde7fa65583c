"""Stock clients against a real server: huggingface_hub as a library and a command, transformers, bad networks.

PLANNER_CLIENT_MATRIX=FOLDER also tries a row of releases, each in an environment of its own that is made in FOLDER.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from planner.client import Client
from planner.domain.variant import Variant
from planner.settings import load_settings
from planner.workspace import Workspace
from tests.api.process import running_server
from tests.hub.conftest import Served, register
from tests.hub.proxy import network
from tests.hub.releases import RELEASES, environment_of_release

SCRIPT = Path(__file__).with_name("stock_client.py")
QUESTION = "plan:on 24GB, bf16, smallest"
NOTE = "sub dir/note.txt"


def environment(url: str, home: Path) -> dict[str, str]:
    """Return an environment with nothing but the endpoint: what turns the network off elsewhere is not in it."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "HF_ENDPOINT": url,
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "*",
        "OMP_NUM_THREADS": "1",
        "TERM": "dumb",
    }


def ran(
    command: list[str], url: str, home: Path, *, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment(url, home),
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=home,
        check=False,
    )


def seen_by(python: str, served: Served, home: Path) -> dict[str, object]:
    wide = served.builds["wide"]
    repository = f"{wide.model_id}/wide"
    done = ran([python, str(SCRIPT), repository, "prod", QUESTION, NOTE], served.url, home)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def commit(variant: Variant) -> str:
    return variant.id.removeprefix("sha256:")[:40]


def hashes(variant: Variant) -> dict[str, str]:
    return {artifact.path: artifact.sha256 for artifact in variant.artifacts}


def check(found: dict[str, object], served: Served) -> None:
    wide, model = served.builds["wide"], served.builds["wide"].model_id
    files, at = hashes(wide), commit(wide)
    note = next(artifact for artifact in wide.artifacts if artifact.path == NOTE)
    plan_commit = found.pop("plan_commit")
    version = found.pop("version")
    chosen = next(each for each in served.builds.values() if commit(each) == plan_commit)
    assert chosen.scheme.name == "bf16"
    old = str(version).startswith("0.")
    missing = "EntryNotFoundError" if old else "RemoteEntryNotFoundError"
    assert found == {
        "sha": at,
        "siblings": {artifact.path: artifact.size for artifact in wide.artifacts},
        "sibling_hashes": files,
        "listed": sorted(
            {f"{each.model_id}/{name}" for name, each in served.builds.items()}
            | {f"models/{each.model_id}" for each in served.builds.values()}
        ),
        "searched": [f"{model}/wide"],
        "filtered": sorted([f"{model}/wide", f"models/{model}"]),
        "tree": sorted([*files, "sub dir"]),
        "top": ["config.json", "model.safetensors", "sub dir"],
        "tree_hashes": files,
        "files": sorted(files),
        "paths_info": [NOTE],
        "branches": {"main": at, "prod": at},
        "commits": [at],
        "exists": [True, True, False],
        "snapshot": files,
        "snapshot_commit": at,
        "alias_commit": at,
        "plan": hashes(chosen),
        "one": note.sha256,
        "metadata": [at, note.sha256, note.size],
        "no_repository": "RepositoryNotFoundError",
        "no_revision": "RevisionNotFoundError",
        "no_pull_request": "RevisionNotFoundError",
        "no_entry": missing,
        "no_answer": found["no_answer"],
    }
    assert "LocalEntryNotFoundError" in str(found["no_answer"])


def test_the_installed_release(served: Served, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    check(seen_by(sys.executable, served, tmp_path), served)
    with Client(served.url) as client:
        rows = client.downloads().items
        (planned,) = [row for row in rows if row.revision == QUESTION]
        assert planned.plan_id is not None
        assert client.plan(planned.plan_id).result.chosen.variant_id == planned.variant_id  # type: ignore[union-attr]
        assert planned.client == "127.0.0.1"
        assert "hf_hub/" in planned.user_agent
        assert {(row.repository, row.revision) for row in rows} >= {
            (f"{served.builds['wide'].model_id}/wide", "main")
        }


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("release", RELEASES)
def test_other_releases(release: str, served: Served, tmp_path: Path) -> None:
    found = seen_by(environment_of_release(release), served, tmp_path)
    assert release in {"newest", found["version"]}
    print(f"huggingface_hub {found['version']}: passes")
    check(found, served)


@pytest.mark.parametrize("form", ["text", "json"])
def test_downloads_are_listed_by_the_command_line(form: str, served: Served, tmp_path: Path) -> None:
    wide = served.builds["wide"]
    with Client(served.url) as client:
        url = f"{served.url}/{wide.model_id}/wide/resolve/{commit(wide)}/config.json"
        subprocess.run(["curl", "-sf", "-A", f"listed-as-{form}", url], check=True, capture_output=True)
        (row,) = [
            row for row in client.downloads(variant="prod").items if row.user_agent == f"listed-as-{form}"
        ]
        assert row.variant_id == wide.id
    more = ["--json"] if form == "json" else []
    asked = [sys.executable, "-m", "planner.cli", "downloads", "--server", served.url, *more]
    wide_enough = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(asked, capture_output=True, text=True, check=True, env=wide_enough)
    if form == "json":
        assert row.id in {each["id"] for each in json.loads(done.stdout)["items"]}
    else:
        assert "listed-as-text" in done.stdout
        assert commit(wide)[:12] in done.stdout


def command() -> str:
    found = Path(sys.executable).with_name("hf")
    if not found.exists():
        pytest.skip("the `hf` command is not installed")
    return str(found)


def test_the_command(served: Served, tmp_path: Path) -> None:
    hf, wide = command(), served.builds["wide"]
    repository = f"{wide.model_id}/wide"
    done = ran([hf, "download", repository, "--revision", "prod"], served.url, tmp_path)
    assert done.returncode == 0, done.stderr
    assert commit(wide) in done.stdout
    verified = ran([hf, "cache", "verify", repository, "--revision", "prod"], served.url, tmp_path)
    assert verified.returncode == 0, verified.stderr
    assert "3" in verified.stdout
    blob = next((tmp_path / "hf" / "hub").glob("models--*/blobs/*"))
    blob.write_bytes(b"x" * blob.stat().st_size)
    broken = ran([hf, "cache", "verify", repository, "--revision", "prod"], served.url, tmp_path)
    assert broken.returncode != 0, "the hashes of the tree find a file that was changed"


def test_the_command_prints_what_a_plan_decided_and_why_nothing_fits(served: Served, tmp_path: Path) -> None:
    hf, model = command(), served.builds["wide"].model_id
    question = "plan:on 20GB, bf16, smallest"
    done = ran(
        [hf, "download", f"models/{model}", "config.json", "--revision", question], served.url, tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "resolved to" in done.stderr
    refused = ran([hf, "download", f"models/{model}", "--revision", "plan:on 1KB"], served.url, tmp_path)
    assert refused.returncode != 0
    assert "nothing satisfies `on 1KB`: memory" in refused.stderr + refused.stdout


TRANSFORMERS = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, repository, whole, question = sys.argv[1:]
here = AutoModelForCausalLM.from_pretrained(folder).state_dict()
words = AutoTokenizer.from_pretrained(folder)("def main():")
for name, options in ((repository, {}), (whole, {"revision": question})):
    there = AutoModelForCausalLM.from_pretrained(name, **options).state_dict()
    assert here.keys() == there.keys()
    for key, ours in here.items():
        theirs = there[key]
        assert ours.dtype == theirs.dtype and torch.equal(ours.view(torch.uint8), theirs.view(torch.uint8)), key
    assert AutoTokenizer.from_pretrained(name, **options)("def main():") == words
print("equal", len(here))
"""


@pytest.mark.worker
def test_transformers_loads_the_reference_model_bit_for_bit(served: Served, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from worker.reference import model_path

    with Workspace(load_settings({}, data_dir=served.data_dir)) as workspace:
        reference = register(workspace, model_path(), name="reference")
    repository, whole = f"{reference.model_id}/reference", f"models/{reference.model_id}"
    question = "plan:on 24GB, 256 in 64 out, most accurate"
    done = ran(
        [sys.executable, "-c", TRANSFORMERS, str(model_path()), repository, whole, question],
        served.url,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("equal")
    with Client(served.url) as client:
        rows = [row for row in client.downloads(variant=reference.id).items if row.repository == whole]
    assert {(row.revision, row.plan_id) for row in rows} == {(question, rows[0].plan_id)}, (
        "asked by name and by commit"
    )
    assert any(row.user_agent.startswith("transformers/") for row in rows)


# -- bad networks ---------------------------------------------------------------------------------------------------

DOWNLOAD = "import sys, huggingface_hub as hub; print(hub.snapshot_download(sys.argv[1]))"


def visible(home: Path) -> list[Path]:
    """Return what a reader of the cache would find: files in snapshots."""
    return [path for path in (home / "hf" / "hub").glob("models--*/snapshots/*/**/*") if path.is_file()]


def whole(home: Path, variant: Variant) -> bool:
    (folder,) = (home / "hf" / "hub").glob("models--*/snapshots/*")
    found = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in visible(home)
    }
    return found == hashes(variant)


def test_connections_that_are_cut_are_taken_up_where_they_ended(served: Served, tmp_path: Path) -> None:
    big = served.builds["big"]
    size = sum(artifact.size for artifact in big.artifacts)
    limit = 12 * 1024**2
    with network(served.url, limit=limit, cuts=2) as between:
        done = ran([sys.executable, "-c", DOWNLOAD, f"{big.model_id}/big"], between.url, tmp_path)
        assert done.returncode == 0, done.stderr
        assert between.cuts == 0
        assert between.carried < size + 2 * limit, "no more was sent again than what the cuts lost"
    assert "resume" in done.stderr
    assert whole(tmp_path, big)


def test_a_client_killed_half_way_leaves_nothing_visible(served: Served, tmp_path: Path) -> None:
    big = served.builds["big"]
    with network(served.url, pause=0.01) as between:
        with subprocess.Popen(
            [sys.executable, "-c", DOWNLOAD, f"{big.model_id}/big"],
            env=environment(between.url, tmp_path),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as client:
            wait_until(lambda: between.carried > 4 * 1024**2)
            client.kill()
        assert not [path for path in visible(tmp_path) if path.name == "model.safetensors"]
        between.pause = 0.0
        assert (
            ran([sys.executable, "-c", DOWNLOAD, f"{big.model_id}/big"], between.url, tmp_path).returncode
            == 0
        )
    assert whole(tmp_path, big)


def test_a_server_that_is_killed_and_started_again_is_found_again(served: Served, tmp_path: Path) -> None:
    big = served.builds["big"]
    with running_server(served.data_dir) as first, network(first.url, pause=0.005) as between:
        with subprocess.Popen(
            [sys.executable, "-c", DOWNLOAD, f"{big.model_id}/big"],
            env=environment(between.url, tmp_path),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as client:
            wait_until(lambda: between.carried > 4 * 1024**2)
            first.kill()
            with running_server(served.data_dir) as second:
                between.target, between.pause = second.url, 0.0
                _, said = client.communicate(timeout=60)
        assert client.returncode == 0, said
        assert "resume" in said
    assert whole(tmp_path, big)


def wait_until(condition, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.01)
