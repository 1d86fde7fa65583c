"""`planner register` against a real server: nothing twice, nothing lost, and everything said to pipelines."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from planner.artifacts.manifest import scan
from planner.cli.main import main
from planner.client import Client
from planner.domain.variant import manifest_digest
from planner.errors import Conflict
from tests.api.process import Server, running_server
from tests.ingest.documents import encoded, vllm_serve
from tests.workspace.fixtures import data_template
from tests.workspace.folders import write_llama

__all__ = ["data_template"]

ROOT = Path(__file__).resolve().parents[2]
Planner = Callable[..., "Done"]


@pytest.fixture(scope="module")
def server(data_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = Path(shutil.copytree(data_template, tmp_path_factory.mktemp("server") / "data"))
    with running_server(folder) as running:
        yield running


@pytest.fixture
def environ(server: Server, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PLANNER_SERVER": server.url,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }


class Done(NamedTuple):
    """A run of a verb."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def planner(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Planner:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        code = main(list(arguments))
        return Done(code, *capsys.readouterr())

    return run


def register(planner: Planner, *arguments: str) -> dict[str, object]:
    done = planner("register", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1, "one line"
    report: dict[str, object] = json.loads(done.stdout)
    return report


def age(folder: Path) -> None:
    """Let the files look as if nobody had touched them lately; their time of change stays, as it cannot be set."""
    time.sleep(2.1)


def test_the_same_build_twice_is_one_variant(planner: Planner, server: Server, tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "out", seed=301)
    total = sum(path.stat().st_size for path in folder.iterdir())
    plan = register(planner, str(folder), "--model", "twice", "--dry-run")
    assert (plan["created"], plan["dry_run"], plan["blobs_uploaded"], plan["bytes_uploaded"]) == (
        True, True, 2, total
    )  # fmt: skip
    assert not (tmp_path / "output").exists(), "a dry run has no outputs"
    first = register(planner, str(folder), "--model", "twice")
    assert first["digest"] == plan["digest"] == manifest_digest(scan(folder))
    assert (first["created"], first["bytes_uploaded"], first["bytes_skipped"]) == (True, total, 0)
    assert first["url"] == f"{server.url}/variants/{first['digest']}"
    assert first["version"] == str(first["digest"])[7:47]
    copy = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    again = register(planner, str(copy), "--model", "twice")
    assert again["digest"] == first["digest"]
    assert (again["created"], again["blobs_uploaded"], again["bytes_uploaded"], again["bytes_skipped"]) == (
        False, 0, 0, total
    )  # fmt: skip


def test_only_what_is_missing_travels(planner: Planner, tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "out", seed=302)
    register(planner, str(folder), "--model", "partly")
    (folder / "generation_config.json").write_text('{"temperature": 0.7}')
    report = register(planner, str(folder), "--model", "partly", "--name", "second")
    assert (report["created"], report["blobs_uploaded"]) == (True, 1)
    assert report["bytes_uploaded"] == (folder / "generation_config.json").stat().st_size


_SLOW = """
import sys, time
from planner.cli.main import main
from planner.client import registering, transfer
registering.PART_BYTES = 64 * 1024
send = transfer.append
def slow(*args, **kwargs):
    time.sleep(0.05)
    return send(*args, **kwargs)
transfer.append = slow
sys.exit(main(sys.argv[1:]))
"""


def test_a_killed_upload_goes_on_where_it_was(
    planner: Planner, server: Server, environ: dict[str, str], tmp_path: Path
) -> None:
    folder = write_llama(tmp_path / "out", seed=303, hidden=256)
    weights = next(each for each in scan(folder) if each.path == "model.safetensors")
    assert weights.size > 20 * 64 * 1024
    command = [sys.executable, "-c", _SLOW, "register", str(folder), "--model", "killed", "--json"]
    with (
        subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process,
        Client(server.url) as client,
    ):
        deadline = time.monotonic() + 60
        while (offset := client.received(weights.sha256, size=weights.size).offset) < weights.size // 3:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = client.received(weights.sha256, size=weights.size)
        assert offset <= kept.offset < weights.size
        assert client.missing([weights.sha256]) == (weights.sha256,), "nothing half is visible"
    done = subprocess.run(command, check=False, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["created"] is True
    assert report["bytes_uploaded"] <= weights.size - kept.offset + 10_000
    assert report["bytes_skipped"] >= kept.offset
    with Client(server.url) as client:
        body = b"".join(client.open_artifact(weights.sha256))
    assert body == (folder / weights.path).read_bytes()


def test_two_at_once_send_the_same_file(server: Server, environ: dict[str, str], tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "out", seed=304, hidden=256)
    command = [sys.executable, "-c", _SLOW, "register", str(folder), "--model", "together", "--json"]
    runs = [
        subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    results = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], results
    reports = [json.loads(out) for out, _ in results]
    assert reports[0]["digest"] == reports[1]["digest"]
    assert sorted(report["created"] for report in reports) == [False, True]


def test_wrong_bytes_in_parts_are_dropped(server: Server, tmp_path: Path) -> None:
    from planner.errors import IntegrityFailure

    sha256 = "ab" * 32
    with Client(server.url) as client:
        first = client.append([b"x" * 10], sha256=sha256, size=20, start=0, length=10)
        assert (first.offset, first.complete) == (10, False)
        with pytest.raises(Conflict) as caught:
            client.append([b"x" * 5], sha256=sha256, size=20, start=5, length=5)
        assert caught.value.details["offset"] == 10
        with pytest.raises(IntegrityFailure):
            client.append([b"x" * 10], sha256=sha256, size=20, start=10, length=10)
        assert client.received(sha256, size=20).offset == 0
        assert client.missing([sha256]) == (sha256,)


def test_what_others_sent_wrongly_is_sent_again(
    planner: Planner, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anyone may begin the upload of a hash with other bytes; whoever has the right ones still gets through."""
    from planner.client import registering

    monkeypatch.setattr(registering, "PART_BYTES", 64 * 1024)
    folder = write_llama(tmp_path / "out", seed=315)
    weights = next(each for each in scan(folder) if each.path == "model.safetensors")
    with Client(server.url) as client:
        client.append([b"x" * 70_000], sha256=weights.sha256, size=weights.size, start=0, length=70_000)
    report = register(planner, str(folder), "--model", "poisoned")
    assert report["created"] is True
    with Client(server.url) as client:
        body = b"".join(client.open_artifact(weights.sha256))
    assert body == (folder / weights.path).read_bytes()


def test_untouched_files_are_not_read_again(planner: Planner, tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "out", seed=305)
    age(folder)
    register(planner, str(folder), "--model", "cached")
    weights = folder / "model.safetensors"
    cache = next((tmp_path / "cache" / "variant-planner" / "hashes").glob("*.json"))
    assert set(json.loads(cache.read_text())) == {"config.json", "model.safetensors"}
    assert register(planner, str(folder), "--model", "cached")["bytes_uploaded"] == 0
    before = weights.stat()
    with weights.open("r+b") as file:
        file.seek(-2, os.SEEK_END)
        file.write(b"\x01\x02")
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (weights.stat().st_mtime_ns, weights.stat().st_size) == (before.st_mtime_ns, before.st_size)
    changed = register(planner, str(folder), "--model", "cached", "--name", "changed")
    assert (changed["created"], changed["blobs_uploaded"]) == (True, 1), "a forged time deceives nobody"
    cache.write_text("{broken")
    assert register(planner, str(folder), "--model", "cached")["created"] is False
    assert register(planner, str(folder), "--model", "cached", "--rehash")["created"] is False


def test_the_alias_moves_only_from_where_it_was(planner: Planner, server: Server, tmp_path: Path) -> None:
    first, second = (write_llama(tmp_path / name, seed=seed) for name, seed in (("a", 306), ("b", 307)))
    one = register(planner, str(first), "--model", "aliased", "--name", "one", "--alias", "cand-306")
    two = register(planner, str(second), "--model", "aliased", "--name", "two", "--alias", "cand-306")
    assert (one["alias"], two["alias"]) == ("cand-306", "cand-306")
    with Client(server.url) as client:
        assert client.alias("cand-306").alias.variant_id == two["digest"]
    stale = planner(
        "register", str(first), "--model", "aliased", "--alias", "cand-306", "--expected", str(one["digest"])
    )
    assert stale.returncode == 1
    assert "it was expected at" in stale.stderr
    there = planner("register", str(first), "--alias", "cand-306", "--expected", "none")
    assert there.returncode == 1
    assert planner("register", str(first), "--expected", "none").returncode == 2


def test_lineage_and_recipe_are_kept(planner: Planner, server: Server, tmp_path: Path) -> None:
    base = register(planner, str(write_llama(tmp_path / "base", seed=308)), "--model", "lineage")
    recipe = tmp_path / "awq.yaml"
    recipe.write_text("# a comment\nscheme: W4A16\ngroup_size: 128\n")
    child = write_llama(tmp_path / "child", seed=309)
    report = register(
        planner, str(child), "--base", f"whoever/lineage@{base['version']}", "--recipe", str(recipe), "--name", "child"
    )  # fmt: skip
    with Client(server.url) as client:
        provenance = client.variant(str(report["digest"])).provenance
    assert provenance.base_variant_id == base["digest"]
    assert (provenance.recipe, dict(provenance.settings)) == ("awq", {"group_size": 128, "scheme": "W4A16"})
    assert provenance.recipe_digest is not None
    foreign = write_llama(tmp_path / "foreign", seed=310, layers=1)
    report = register(planner, str(foreign), "--base", f"org/Elsewhere@{'ab' * 20}")
    with Client(server.url) as client:
        found = client.variant(str(report["digest"]))
    assert found.provenance.facts == {"base_repository": "org/Elsewhere", "base_commit": "ab" * 20}
    assert found.model_id == "elsewhere"
    assert planner("register", str(foreign), "--base", "nowhere").returncode == 2
    recipe.write_text("- a\n- list\n")
    refused = planner("register", str(foreign), "--recipe", str(recipe))
    assert refused.returncode == 2
    assert "--recipe" in refused.stderr


def test_a_label_that_contradicts_the_tensors_is_refused_before_anything_travels(
    planner: Planner, server: Server, tmp_path: Path
) -> None:
    folder = write_llama(tmp_path / "out", seed=311)
    for option in (("--scheme", "int4"), ("--name", "tiny-awq-4bit")):
        refused = planner("register", str(folder), "--model", "labelled", *option)
        assert refused.returncode == 2
        assert "contradicts the tensors" in refused.stderr
    with Client(server.url) as client:
        weights = next(each.sha256 for each in scan(folder) if each.path == "model.safetensors")
        assert client.missing([weights]) == (weights,)


def test_results_are_attached_and_judged(planner: Planner, server: Server, tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "out", seed=312)
    bench = tmp_path / "bench.json"
    bench.write_bytes(encoded(vllm_serve()))
    common = ("--bench", str(bench), "--device", "h100-80gb", "--engine", "vllm 0.33.0")
    report = register(planner, str(folder), "--model", "judged", *common)
    evidence, findings = report["evidence"], report["findings"]
    assert isinstance(evidence, list)
    assert isinstance(findings, list)
    assert [item["kind"] for item in evidence] == ["profile"]
    assert findings
    assert all(finding["message"] for finding in findings)
    with Client(server.url) as client:
        assert len(client.profiles(variant=str(report["digest"])).items) == 1
    again = register(planner, str(folder), *common)
    assert [item["created"] for item in again["evidence"]] == [False]  # type: ignore[attr-defined]
    missing = planner("register", str(folder), "--bench", str(bench), "--device", "h100-80gb")
    assert missing.returncode == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    assert planner("register", str(folder), "--eval", str(empty)).returncode == 2


def test_pipelines_are_told(planner: Planner, tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "out", seed=313)
    done = planner("register", str(folder), "--model", "told", "--name", "a|b *c*", "--alias", "cand-313")
    assert done.returncode == 0, done.stderr
    assert "registered: sha256:" in done.stdout
    outputs = dict(line.split("=", 1) for line in (tmp_path / "output").read_text().splitlines())
    assert outputs["created"] == "true"
    assert outputs["digest"] == manifest_digest(scan(folder))
    assert outputs["variant"] == "told/a|b *c*"
    summary = (tmp_path / "summary.md").read_text()
    assert "### Variant registered" in summary
    assert "told/a\\|b \\*c\\*" in summary
    assert "cand-313" in summary


def test_a_server_that_is_away_for_a_moment(
    data_template: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    """The server is killed while a file arrives, and comes back: the client goes on and loses nothing."""
    import socket

    data = Path(shutil.copytree(data_template, tmp_path / "data"))
    folder = write_llama(tmp_path / "out", seed=314, hidden=256)
    weights = next(each for each in scan(folder) if each.path == "model.safetensors")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serve = [sys.executable, "-m", "planner.cli", "up", "--data-dir", str(data), "--port", str(port)]
    mine = {**environ, "PLANNER_SERVER": ""}
    first = subprocess.Popen(serve, env=mine, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    command = [sys.executable, "-c", _SLOW, "register", str(folder), "--model", "away", "--json",
               "--server", f"http://127.0.0.1:{port}"]  # fmt: skip
    second: list[subprocess.Popen[bytes]] = []
    try:
        with Client(f"http://127.0.0.1:{port}") as client:
            wait_for(lambda: client.health().ok)
            with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
                wait_for(
                    lambda: client.received(weights.sha256, size=weights.size).offset > weights.size // 3
                )
                first.kill()
                first.wait()

                def back() -> None:
                    second.append(
                        subprocess.Popen(
                            serve, env=mine, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                        )
                    )

                threading.Timer(0.01, back).start()
                out, _ = process.communicate(timeout=120)
                if process.returncode != 0:  # longer away than the client waits: the next run goes on
                    wait_for(lambda: client.health().ok)
                    again = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
                    out = again.stdout
                report = json.loads(out)
            assert report["created"] is True
            assert b"".join(client.open_artifact(weights.sha256)) == (folder / weights.path).read_bytes()
    finally:
        for each in (first, *second):
            each.kill()
            each.wait()


def wait_for(true: Callable[[], object], seconds: float = 60) -> None:
    from planner.errors import PlannerError

    deadline = time.monotonic() + seconds
    while True:
        try:
            if true():
                return
        except PlannerError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.02)
