"""`planner fetch` and `planner register` over bad networks: cut, slow, killed, wrong bytes. Nothing lost, nothing half-visible."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from planner.artifacts.manifest import scan
from planner.client import Client
from planner.domain.variant import Artifact, Variant
from planner.settings import load_settings
from planner.workspace import Workspace
from tests.api.process import running_server
from tests.hub.conftest import Served, register
from tests.hub.proxy import network
from tests.workspace.folders import write_llama

ROOT = Path(__file__).resolve().parents[2]
PARTIAL = ".planner-partial"
MIB = 1 << 20


def command(url: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "planner.cli", *arguments, "--server", url, "--json"]


def environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def planner(url: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(url, *arguments),
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def visible(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder that somebody who uses it would find."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and PARTIAL not in path.parts
    }


def stored(served: Served, variant: Variant) -> dict[str, bytes]:
    with Workspace(load_settings({}, data_dir=served.data_dir)) as workspace:
        return {
            artifact.path: b"".join(workspace.open_artifact(artifact.sha256))
            for artifact in variant.artifacts
        }


def total(variant: Variant) -> int:
    return sum(artifact.size for artifact in variant.artifacts)


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.01)


# -- fetching ------------------------------------------------------------------------------------------------------


def test_a_fetch_whose_connection_is_cut_goes_on_where_it_was(served: Served, tmp_path: Path) -> None:
    big, out = served.builds["big"], tmp_path / "out"
    with network(served.url, limit=4 * MIB, cuts=3) as between:
        done = planner(between.url, tmp_path, "fetch", big.id, str(out))
        assert done.returncode == 0, done.stderr
        assert between.cuts == 0
        assert between.carried < total(big) + 2 * MIB, "what had arrived was not sent again"
    assert visible(out) == stored(served, big)
    assert not (out / PARTIAL).exists()


def test_a_killed_fetch_leaves_nothing_visible_and_the_next_goes_on(served: Served, tmp_path: Path) -> None:
    big, out = served.builds["big"], tmp_path / "out"
    with network(served.url, pause=0.01) as between:
        with subprocess.Popen(
            command(between.url, "fetch", big.id, str(out)),
            env=environment(tmp_path),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            until(lambda: between.carried > 8 * MIB)
            process.kill()
        assert visible(out) == {}
    with network(served.url) as again:
        done = planner(again.url, tmp_path, "fetch", big.id, str(out))
        assert done.returncode == 0, done.stderr
        assert again.carried < total(big) - 6 * MIB
        report = json.loads(done.stdout)["report"]
        assert report["bytes_fetched"] + report["bytes_resumed"] == total(big)
    assert visible(out) == stored(served, big)


def test_a_fetch_finds_a_server_again_that_was_killed(served: Served, tmp_path: Path) -> None:
    big, out = served.builds["big"], tmp_path / "out"
    with running_server(served.data_dir) as first, network(first.url, pause=0.005) as between:
        with subprocess.Popen(
            command(between.url, "fetch", big.id, str(out)),
            env=environment(tmp_path),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            until(lambda: between.carried > 8 * MIB)
            first.kill()
            with running_server(served.data_dir) as second:
                between.target, between.pause = second.url, 0.0
                _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert visible(out) == stored(served, big)


def test_a_byte_that_changes_on_the_way_is_fetched_again(served: Served, tmp_path: Path) -> None:
    big, out = served.builds["big"], tmp_path / "out"
    with network(served.url, limit=4 * MIB, wrongs=1) as between:
        done = planner(between.url, tmp_path, "fetch", big.id, str(out))
        assert done.returncode == 0, done.stderr
        assert between.wrongs == 0
    assert visible(out) == stored(served, big)


def test_bytes_that_stay_wrong_are_refused_with_nothing_visible(served: Served, tmp_path: Path) -> None:
    big, out = served.builds["big"], tmp_path / "out"
    with network(served.url, limit=4 * MIB, wrongs=100_000) as between:
        done = planner(between.url, tmp_path, "fetch", big.id, str(out))
    assert done.returncode == 1
    assert json.loads(done.stderr)["error"]["code"] == "integrity-failure"
    assert "model.safetensors" in json.loads(done.stderr)["error"]["message"]
    assert visible(out) == {}
    assert planner(served.url, tmp_path, "fetch", big.id, str(out)).returncode == 0
    assert visible(out) == stored(served, big)


def test_a_file_that_rotted_in_the_store_is_refused_with_nothing_visible(
    data_template: Path, tmp_path: Path
) -> None:
    data_dir = Path(shutil.copytree(data_template, tmp_path / "data"))
    folder, out = write_llama(tmp_path / "made", seed=72, hidden=256), tmp_path / "out"
    with Workspace(load_settings({}, data_dir=data_dir)) as workspace:
        variant = register(workspace, folder, name="rotten")
    weights = next(each for each in variant.artifacts if each.path == "model.safetensors")
    (blob,) = [path for path in data_dir.rglob(weights.sha256) if path.is_file()]
    blob.chmod(0o644)
    with blob.open("r+b") as file:
        file.seek(weights.size - 1)
        file.write(bytes([(folder / weights.path).read_bytes()[-1] ^ 1]))
    with running_server(data_dir) as server:
        done = planner(server.url, tmp_path, "fetch", variant.id, str(out))
        assert done.returncode == 1
        assert json.loads(done.stderr)["error"]["code"] == "integrity-failure"
        assert visible(out) == {}


def test_readers_that_stand_still_keep_nobody_waiting(served: Served, tmp_path: Path) -> None:
    big, out = served.builds["big"], tmp_path / "out"
    weights = next(artifact for artifact in big.artifacts if artifact.path == "model.safetensors")
    place = urlsplit(served.url)
    asked = f"GET /api/v1/artifacts/{weights.sha256} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode()
    with ExitStack() as standing:
        for _ in range(60):
            reader = standing.enter_context(
                socket.create_connection((place.hostname or "", place.port or 80))
            )
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.sendall(asked)
            assert reader.recv(12) == b"HTTP/1.1 200"
        started = time.monotonic()
        done = planner(served.url, tmp_path, "fetch", big.id, str(out))
        assert done.returncode == 0, done.stderr
        assert time.monotonic() - started < 60
    assert visible(out) == stored(served, big)


# -- registering ---------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A build of 28 MB that no server has seen."""
    return write_llama(tmp_path / "made", seed=int.from_bytes(os.urandom(4)), hidden=1024, layers=4)


def weights_of(folder: Path) -> Artifact:
    return next(each for each in scan(folder) if each.path == "model.safetensors")


def check_registered(served: Served, done: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["created"] is True
    with Client(served.url) as client:
        variant = client.variant(report["digest"])
    assert stored(served, variant) == visible(folder)


def test_a_register_whose_connections_are_cut_goes_on_where_it_was(
    served: Served, folder: Path, tmp_path: Path
) -> None:
    size = weights_of(folder).size
    with network(served.url, request_limit=6 * MIB, request_cuts=2) as between:
        done = planner(between.url, tmp_path, "register", str(folder), "--model", "cut")
        assert between.request_cuts == 0
        assert between.sent < 3 * size
    check_registered(served, done, folder)


def test_a_slow_register_arrives_whole(served: Served, folder: Path, tmp_path: Path) -> None:
    with network(served.url, request_pause=0.005) as between:
        done = planner(between.url, tmp_path, "register", str(folder), "--model", "slow")
    check_registered(served, done, folder)


def test_a_byte_that_changes_on_its_way_to_the_server_never_becomes_visible(
    served: Served, folder: Path, tmp_path: Path
) -> None:
    weights = weights_of(folder)
    with network(served.url, request_limit=6 * MIB, request_wrongs=100_000) as between:
        done = planner(between.url, tmp_path, "register", str(folder), "--model", "wrong")
    assert done.returncode == 1
    with Client(served.url) as client:
        assert client.missing([weights.sha256]) == (weights.sha256,)
    done = planner(served.url, tmp_path, "register", str(folder), "--model", "wrong")
    check_registered(served, done, folder)
