"""Uploads over bad networks and to servers that die: nothing acknowledged is lost, nothing half is visible."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.process import Server, running_server
from tests.hub.by_hand import Pusher, lfs_line, text_line
from tests.hub.proxy import network
from tests.hub.test_pushing import environment, hashes, ran, registered
from tests.workspace.folders import write_llama

PART = 256 * 1024
SETTINGS = {"PLANNER_UPLOAD_PART_BYTES": str(PART)}
PUSH = "import sys, huggingface_hub as hub; api = hub.HfApi(); api.create_repo(sys.argv[1]); print(api.upload_folder(repo_id=sys.argv[1], folder_path=sys.argv[2]).oid)"


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    Pusher.close_all()


@pytest.fixture
def data_dir(data_template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(data_template, tmp_path / "data"))


@pytest.fixture(scope="module")
def shared_dir(data_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(data_template, tmp_path_factory.mktemp("shared") / "data"))


@pytest.fixture(scope="module")
def server(shared_dir: Path) -> Iterator[Server]:
    """One for all tests that kill none; each pushes bytes of its own to a repository of its own."""
    with running_server(shared_dir, environ=SETTINGS) as running:
        yield running


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    return "acme/" + str(request.node.name).removeprefix("test_").replace("_", "-")[:40]


@pytest.fixture
def folder(tmp_path: Path, repository: str) -> Path:
    return write_llama(tmp_path / "model", hidden=512, layers=2, seed=sum(repository.encode()))


def staged(data_dir: Path) -> list[str]:
    return [
        path.name for path in (data_dir / "blobs" / "staging").iterdir() if path.name.startswith("parts-")
    ]


def test_a_server_killed_between_parts_has_lost_no_acknowledged_one(data_dir: Path) -> None:
    content = os.urandom(4 * PART + 1000)
    with running_server(data_dir, environ=SETTINGS) as first, network(first.url) as between:
        pusher = Pusher(between.url)
        href, parts = pusher.parts(content)
        assert [len(part) for _, part in parts] == [PART] * 4 + [1000]
        etags = [
            pusher.http.put(address, content=part).raise_for_status().headers["etag"]
            for address, part in parts[:3]
        ]
        first.kill()
        with running_server(data_dir, environ=SETTINGS) as second:
            between.target = second.url
            again = Pusher(between.url)
            early = again.complete(href, content, [*etags, "x", "y"])
            assert early.status_code == 422
            assert "part 4 has not arrived whole" in early.json()["error"]
            etags += [
                again.http.put(address, content=part).raise_for_status().headers["etag"]
                for address, part in parts[3:]
            ]
            assert again.complete(href, content, etags).status_code == 200
            assert again.complete(href, content, etags).status_code == 200, "a lost answer is asked for again"
            assert "actions" not in again.batch(content)
            oid = again.commit(lfs_line(content)).raise_for_status().json()["commitOid"]
            got = again.http.get(f"/acme/by-hand/resolve/{oid}/data.safetensors").raise_for_status()
            assert got.content == content
    assert staged(data_dir) == []


def test_a_commit_is_there_after_its_server_was_killed(data_dir: Path, folder: Path) -> None:
    with running_server(data_dir, environ=SETTINGS) as first:
        pusher = Pusher(first.url)
        (folder / "README.md").write_text("one")
        content = (folder / "model.safetensors").read_bytes()
        href, parts = pusher.parts(content)
        etags = [pusher.http.put(address, content=part).headers["etag"] for address, part in parts]
        assert pusher.complete(href, content, etags).status_code == 200
        done = pusher.commit(
            lfs_line(content, "model.safetensors"),
            text_line("config.json", (folder / "config.json").read_text()),
            text_line("README.md", "one"),
        )
        first.kill()
        made = done.raise_for_status().json()
    with running_server(data_dir, environ=SETTINGS) as second:
        pusher = Pusher(second.url)
        assert pusher.head() == made["commitOid"]
        assert [variant.id for variant in registered(second.url, "by-hand")] == [made["variant"]]
        assert (
            pusher.http.get(f"/acme/by-hand/resolve/{made['commitOid']}/model.safetensors").content == content
        )


def test_a_stock_client_goes_on_with_a_server_that_was_killed(
    data_dir: Path, folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("huggingface_hub")
    size = (folder / "model.safetensors").stat().st_size
    with (
        running_server(data_dir, environ=SETTINGS) as first,
        network(first.url, request_pause=0.005) as between,
        subprocess.Popen(
            [sys.executable, "-c", PUSH, "acme/survivor", str(folder)],
            env=environment(between.url, tmp_path, lfs=True),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as client,
    ):
        wait_until(lambda: between.sent > size // 2)
        first.kill()
        with running_server(data_dir, environ=SETTINGS) as second:
            between.target, between.request_pause = second.url, 0.0
            told, said = client.communicate(timeout=60)
            assert client.returncode == 0, said
            assert between.sent < size + 4 * PART, "only the part that was under way is sent again"
            (variant,) = registered(second.url, "survivor")
            got = httpx.get(f"{second.url}/acme/survivor/resolve/{told.strip()}/model.safetensors")
            assert hashlib.sha256(got.content).hexdigest() == hashes(folder)["model.safetensors"]
            assert {a.path: a.sha256 for a in variant.artifacts} == hashes(folder)


def test_connections_that_are_cut_while_sending_are_taken_up(
    server: Server, folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("huggingface_hub")
    with network(server.url, request_limit=PART // 2, request_cuts=2) as between:
        done = ran([sys.executable, "-c", PUSH, "acme/cut", str(folder)], between.url, tmp_path, lfs=True)
        assert done.returncode == 0, done.stderr
        assert between.request_cuts == 0
    (variant,) = registered(server.url, "cut")
    assert {a.path: a.sha256 for a in variant.artifacts} == hashes(folder)


def test_wrong_bytes_are_refused_and_leave_nothing(server: Server, shared_dir: Path, repository: str) -> None:
    pusher = Pusher(server.url, repository)
    small, large = os.urandom(1000), os.urandom(2 * PART)
    whole = pusher.batch(small)["actions"]["upload"]["href"]
    wrong = pusher.http.put(whole, content=bytes(1000))
    assert wrong.status_code == 422
    assert "sha256" in wrong.headers["x-error-message"]
    assert pusher.http.put(whole, content=small[:-1]).status_code == 422
    href, parts = pusher.parts(large)
    etags = [pusher.http.put(parts[0][0], content=parts[0][1]).headers["etag"]]
    etags.append(pusher.http.put(parts[1][0], content=bytes(PART)).raise_for_status().headers["etag"])
    refused = pusher.complete(href, large, etags)
    assert refused.status_code == 422
    assert staged(shared_dir) == []
    for content in (small, large):
        assert "actions" in pusher.batch(content), "it is still to be sent"
        line = lfs_line(content)
        assert pusher.commit(line).status_code == 422
    assert pusher.head() == pusher.head()
    assert pusher.http.get(f"/api/models/{repository}/tree/{pusher.head()}?recursive=1").json() == []


def test_parts_written_over_after_they_were_hashed_are_noticed(server: Server, repository: str) -> None:
    pusher = Pusher(server.url, repository)
    content = os.urandom(2 * PART)
    href, parts = pusher.parts(content)
    etags = [pusher.http.put(address, content=part).headers["etag"] for address, part in parts]
    pusher.http.put(parts[0][0], content=bytes(PART)).raise_for_status()
    assert pusher.complete(href, content, etags).status_code == 422
    assert "actions" in pusher.batch(content)


def test_many_parts_at_once_and_two_senders_of_one_object(server: Server, repository: str) -> None:
    content = os.urandom(8 * PART)
    pushers = [Pusher(server.url, repository), Pusher(server.url, repository)]
    uploads = [pusher.parts(content) for pusher in pushers]
    with ThreadPoolExecutor(8) as pool:

        def put(item: tuple[str, bytes]) -> str:
            return str(httpx.put(item[0], content=item[1], timeout=30).raise_for_status().headers["etag"])

        etags = [list(pool.map(put, parts)) for _, parts in uploads]
        answers = list(
            pool.map(lambda n: pushers[n].complete(uploads[n][0], content, etags[n]).status_code, range(2))
        )
    assert answers == [200, 200]
    assert "actions" not in pushers[0].batch(content)


def test_a_slow_sender_keeps_nobody_waiting(server: Server, repository: str) -> None:
    content = os.urandom(PART)
    slow = Pusher(server.url, repository)
    address = slow.batch(content)["actions"]["upload"]["href"]
    begun, go_on = threading.Event(), threading.Event()

    def drop_by_drop() -> Iterator[bytes]:
        yield content[: PART // 2]
        begun.set()
        go_on.wait(20)
        yield content[PART // 2 :]

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(
            httpx.put, address, content=drop_by_drop(), headers={"content-length": str(PART)}, timeout=30
        )
        assert begun.wait(20)
        started = time.monotonic()
        other = Pusher(server.url, "acme/other")
        assert other.commit(text_line("a.txt", "a")).status_code == 200
        assert time.monotonic() - started < 10
        go_on.set()
        assert sending.result().status_code == 200


def test_of_commits_on_one_parent_one_is_taken(server: Server, repository: str) -> None:
    pusher = Pusher(server.url, repository)
    parent = pusher.head()
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(
                lambda n: Pusher(server.url, repository).commit(
                    text_line(f"{n}.txt", str(n)), parentCommit=parent
                ),
                range(6),
            )
        )
    taken = [answer for answer in answers if answer.status_code == 200]
    assert len(taken) == 1
    assert {answer.status_code for answer in answers} == {200, 412}
    assert pusher.head() == taken[0].json()["commitOid"]
    assert len(pusher.http.get(f"/api/models/{repository}/tree/{pusher.head()}").json()) == 1


def test_of_commits_without_a_parent_none_is_lost(server: Server, repository: str) -> None:
    pusher = Pusher(server.url, repository)
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(
                lambda n: Pusher(server.url, repository).commit(text_line(f"{n}.txt", str(n))).status_code,
                range(12),
            )
        )
    assert answers == [200] * 12
    tree = pusher.http.get(f"/api/models/{repository}/tree/{pusher.head()}").json()
    assert {entry["path"] for entry in tree} == {f"{n}.txt" for n in range(12)}
    history = pusher.http.get(f"/api/models/{repository}/commits/main").json()
    assert len(history) == 13


def test_an_upload_in_several_commits_is_registered_with_the_last(
    server: Server, folder: Path, repository: str
) -> None:
    content = (folder / "model.safetensors").read_bytes()
    pusher = Pusher(server.url, repository)
    names = ["config.json", "model.safetensors", "z.txt"]
    files = [{"path": name, "size": 10, "sample": ""} for name in names]
    pusher.http.post(f"/api/models/{repository}/preupload/main", json={"files": files}).raise_for_status()
    href, parts = pusher.parts(content)
    etags = [pusher.http.put(address, content=part).headers["etag"] for address, part in parts]
    pusher.complete(href, content, etags).raise_for_status()
    half = pusher.commit(
        lfs_line(content, "model.safetensors"), text_line("config.json", (folder / "config.json").read_text())
    )
    assert half.json()["variant"] is None
    assert "1 announced files have not arrived (z.txt)" in half.headers["x-hf-warning"]
    assert registered(server.url, repository[5:]) == []
    last = pusher.commit(text_line("z.txt", "the end"), summary="by hand (part 2)")
    (variant,) = registered(server.url, repository[5:])
    assert last.json()["variant"] == variant.id
    assert [artifact.path for artifact in variant.artifacts] == names


def wait_until(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.01)
