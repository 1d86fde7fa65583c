"""llama.cpp's `-hf` against a real server: its own program where there is one, and its requests by hand everywhere.

PLANNER_LLAMA_CPP names the program: any of llama.cpp's that has `-hf` and generates, such as llama-completion.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from planner.client import Client
from planner.domain.identity import TokenScope
from planner.domain.outcome import Infeasible
from planner.domain.variant import Variant
from planner.settings import load_settings
from planner.wire.identity import TokenRequest
from planner.workspace import Workspace
from tests.api.process import running_server
from tests.artifacts.headers.test_gguf import FILE_TYPES, KINDS, write
from tests.hub.conftest import Served, register
from tests.hub.proxy import network

PROGRAM = os.environ.get("PLANNER_LLAMA_CPP", "")
with_program = pytest.mark.skipif(
    not PROGRAM, reason="PLANNER_LLAMA_CPP does not name a program of llama.cpp that has -hf"
)
MODEL = "Tiny-Llama"

# -- by hand -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(data_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that holds one small model as Q8_0, as Q4_0 and as F16 in several files."""
    folder = tmp_path_factory.mktemp("tiny")
    data_dir = Path(shutil.copytree(data_template, folder / "data"))
    builds: dict[str, Variant] = {}
    with Workspace(load_settings({}, data_dir=data_dir)) as workspace:
        for name, kind, file_type, tensors in (
            ("q8_0", KINDS.Q8_0, FILE_TYPES.MOSTLY_Q8_0, 0),
            ("q4_0", KINDS.Q4_0, FILE_TYPES.MOSTLY_Q4_0, 0),
            ("f16", KINDS.F16, FILE_TYPES.MOSTLY_F16, 8),
        ):
            (folder / name).mkdir()
            write(folder / name / "model.gguf", kind, file_type=file_type, split_max_tensors=tensors)
            done = workspace.register(folder / name, name=name, model=MODEL)
            assert done.variant is not None
            builds[name] = done.variant
    with running_server(data_dir) as server:
        yield Served(server, data_dir, builds)


def chosen(tree: list[dict[str, Any]], tag: str) -> list[str]:
    """Return the files that llama.cpp would fetch: the first whose name has the tag, or its parts."""
    names = [each["path"] for each in tree if each["type"] == "file" and each["path"].endswith(".gguf")]
    for wanted in (tag,) if tag else ("Q4_K_M", "Q8_0"):
        found = [name for name in names if re.search(f"{wanted}[.-]", name, re.IGNORECASE)]
        if found:
            return found
    return []


@pytest.mark.parametrize(("tag", "build"), [("", "q8_0"), ("q4_0", "q4_0"), ("Q8_0", "q8_0"), ("f16", "f16")])
def test_the_requests_of_llama_cpp_one_by_one(tiny: Served, tag: str, build: str) -> None:
    repository = f"models/{tiny.builds['q8_0'].model_id}-GGUF"
    agent = {"User-Agent": "llama-cpp/b9999-by-hand"}
    json_agent = agent | {"Accept": "application/json"}
    with httpx.Client(base_url=tiny.url, follow_redirects=False) as http:
        answer = http.get(f"/api/models/{repository}/refs", headers=json_agent)
        assert answer.status_code == 200
        (at,) = [each["targetCommit"] for each in answer.json()["branches"] if each["name"] == "main"]
        assert re.fullmatch("[0-9a-f]{40}", at)
        answer = http.get(f"/api/models/{repository}/tree/{at}?recursive=true", headers=json_agent)
        assert answer.status_code == 200
        assert "link" not in answer.headers, "it reads one page"
        assert "preset.ini" not in {each["path"] for each in answer.json()}, "it would fetch nothing else"
        parts = chosen(answer.json(), tag)
        held = [each for each in tiny.builds[build].artifacts if each.path.endswith(".gguf")]
        assert len(parts) == len(held)
        got: set[str] = set()
        for path in parts:
            (entry,) = [each for each in answer.json() if each["path"] == path]
            assert re.fullmatch("[0-9a-f]{64}", entry["lfs"]["oid"])
            place = f"/{repository}/resolve/{at}/{path}"
            head = http.head(place, headers=agent)
            assert head.status_code == 200
            assert (int(head.headers["content-length"]), head.headers["accept-ranges"]) == (
                entry["size"],
                "bytes",
            )
            assert head.headers["etag"] == f'"{entry["lfs"]["oid"]}"'
            first = http.get(place, headers=agent).content
            assert hashlib.sha256(first).hexdigest() == entry["lfs"]["oid"]
            half = len(first) // 2
            rest = http.get(place, headers=agent | {"Range": f"bytes={half}-"})
            assert (rest.status_code, rest.content) == (206, first[half:]), "taken up where it ended"
            assert rest.headers["content-range"] == f"bytes {half}-{len(first) - 1}/{len(first)}"
            got.add(entry["lfs"]["oid"])
        assert got == {each.sha256 for each in held}


def test_a_repository_that_is_not_there_says_so_in_the_field_that_is_printed(tiny: Served) -> None:
    answer = httpx.get(f"{tiny.url}/api/models/absent/absent/refs")
    assert answer.status_code == 404
    assert "absent/absent" in answer.json()["error"]


# -- its own program -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference(data_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that holds the reference model as Q8_0 and Q4_0, built by the worker's recipe."""
    pytest.importorskip("torch")
    from worker.recipes import parse_recipe
    from worker.recipes.build import build_variant
    from worker.reference import model_path

    folder = tmp_path_factory.mktemp("reference")
    data_dir = Path(shutil.copytree(data_template, folder / "data"))
    builds: dict[str, Variant] = {}
    with Workspace(load_settings({}, data_dir=data_dir)) as workspace:
        for name in ("q8_0", "q4_0"):
            build_variant(model_path(), folder / name, parse_recipe("gguf", {"type": name}))
            builds[name] = register(workspace, folder / name, name=name)
    with running_server(data_dir) as server:
        yield Served(server, data_dir, builds)


def gathered(served: Served) -> str:
    return f"models/{served.builds['q8_0'].model_id}-GGUF"


def gguf_of(variant: Variant) -> tuple[str, int]:
    (found,) = [(each.sha256, each.size) for each in variant.artifacts if each.path.endswith(".gguf")]
    return found


def environment(url: str, home: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "HF_ENDPOINT": url, "NO_PROXY": "*", **more}


def command(what: str) -> list[str]:
    return [
        PROGRAM, "-hf", what, "-p", "def main():", "-n", "12", "-t", "1", "-c", "128", "-no-cnv", "--temp", "0",
        "--seed", "1", "--no-warmup",
    ]  # fmt: skip


def generated(what: str, url: str, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(what), env=environment(url, home, **more), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def blobs(home: Path) -> dict[str, str]:
    """Return what lies in the cache of clients, by the name it was stored under, with the hash of its bytes."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (home / ".cache" / "huggingface" / "hub").glob("models--*/blobs/*")
    }


@with_program
@pytest.mark.worker
@pytest.mark.parametrize(("tag", "build"), [("", "q8_0"), (":q4_0", "q4_0"), (":Q8_0", "q8_0")])
def test_it_downloads_loads_and_generates(reference: Served, tmp_path: Path, tag: str, build: str) -> None:
    done = generated(gathered(reference) + tag, reference.url, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("def main():\n")
    sha256, _ = gguf_of(reference.builds[build])
    assert blobs(tmp_path) == {sha256: sha256}
    with Client(reference.url) as client:
        latest = client.downloads(variant=reference.builds[build].id).items[0]
    assert latest.repository == gathered(reference)
    assert latest.user_agent.startswith("llama-cpp/")


@with_program
@pytest.mark.worker
def test_a_variant_is_a_repository_of_its_own(reference: Served, tmp_path: Path) -> None:
    q4_0 = reference.builds["q4_0"]
    done = generated(f"{q4_0.model_id}/q4_0", reference.url, tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(blobs(tmp_path)) == [gguf_of(q4_0)[0]]


@with_program
@pytest.mark.worker
def test_it_follows_what_a_plan_chose(reference: Served, tmp_path: Path) -> None:
    q4_0 = reference.builds["q4_0"]
    with Client(reference.url) as client:
        asked = client.understand(f"{q4_0.model_id} on 24GB, smallest").scenario
        plan = client.recommend(scenario=asked)
        assert not isinstance(plan.result, Infeasible)
        assert plan.result.chosen.scheme == q4_0.scheme.name
        done = generated(f"plans/{plan.id}", reference.url, tmp_path)
        assert done.returncode == 0, done.stderr
        assert list(blobs(tmp_path)) == [gguf_of(q4_0)[0]]
        rows = client.downloads(variant=q4_0.id).items
    assert plan.id in {row.plan_id for row in rows}


@with_program
@pytest.mark.worker
def test_a_connection_that_is_cut_is_taken_up_where_it_ended(reference: Served, tmp_path: Path) -> None:
    sha256, size = gguf_of(reference.builds["q8_0"])
    limit = 3 << 20
    with network(reference.url, limit=limit, cuts=1) as between:
        done = generated(f"{gathered(reference)}:Q8_0", between.url, tmp_path)
        assert done.returncode == 0, done.stderr
        assert between.cuts == 0
        assert between.carried < size + (1 << 20), "what had arrived was not sent again"
    assert blobs(tmp_path) == {sha256: sha256}


@with_program
@pytest.mark.worker
def test_a_killed_one_leaves_nothing_visible_and_the_next_goes_on(reference: Served, tmp_path: Path) -> None:
    sha256, size = gguf_of(reference.builds["q8_0"])
    what = f"{gathered(reference)}:Q8_0"
    with network(reference.url, pause=0.02) as between:
        with subprocess.Popen(
            command(what), env=environment(between.url, tmp_path), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as program:  # fmt: skip
            deadline = time.monotonic() + 60
            while between.carried < size // 2:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            program.kill()
        assert list(blobs(tmp_path)) == [f"{sha256}.downloadInProgress"]
    with network(reference.url) as again:
        done = generated(what, again.url, tmp_path)
        assert done.returncode == 0, done.stderr
        assert again.carried < size * 3 // 4
    assert blobs(tmp_path) == {sha256: sha256}


@with_program
@pytest.mark.worker
@pytest.mark.parametrize("what", ["a quantization", "a repository"])
def test_what_is_not_there_ends_it_with_nothing_fetched(reference: Served, tmp_path: Path, what: str) -> None:
    """What it prints is not looked at: its log is written by a thread that may not come to it before the end."""
    done = generated(
        "absent/absent" if what == "a repository" else f"{gathered(reference)}:Q6_K", reference.url, tmp_path
    )
    assert done.returncode != 0
    assert blobs(tmp_path) == {}


@with_program
@pytest.mark.worker
def test_a_server_that_asks_for_tokens_takes_the_one_it_sends(reference: Served, tmp_path: Path) -> None:
    data_dir = Path(shutil.copytree(reference.data_dir, tmp_path / "data"))
    with Workspace(load_settings({}, data_dir=data_dir)) as workspace:
        token = workspace.create_token(TokenRequest(label="reader", scopes=(TokenScope.READ,))).secret
    what = f"{gathered(reference)}:Q4_0"
    with running_server(data_dir, {"PLANNER_AUTH": "all"}) as server:
        assert generated(what, server.url, tmp_path).returncode != 0
        assert blobs(tmp_path) == {}
        done = generated(what, server.url, tmp_path, HF_TOKEN=token)
        assert done.returncode == 0, done.stderr
    assert list(blobs(tmp_path)) == [gguf_of(reference.builds["q4_0"])[0]]
