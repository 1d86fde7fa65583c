"""`planner import` in a data folder, and against a server in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.process import running_server
from tests.cli.conftest import make_llama
from tests.ingest import documents
from tests.ingest.documents import FILES, encoded


@pytest.fixture(scope="module")
def variants(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Ids of two builds of a model."""
    from planner.cli.main import main

    folder = tmp_path_factory.mktemp("import")
    ids: list[str] = []
    for seed in (41, 42):
        made = make_llama(folder / str(seed), seed=seed)
        assert main(["register", str(made), "--name", f"import-{seed}", "--data-dir", str(data_dir)]) == 0
        ids.append(f"import-{seed}")
    return ids[0], ids[1]


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    path = tmp_path / "int4-awq-h100.json"  # a name that says more than the content, and is not believed
    path.write_bytes(encoded(documents.vllm_serve()))
    return path


def test_what_was_understood_is_shown_and_stored(run, variants, bench: Path):
    common = (str(bench), "--variant", variants[1], "--device", "h100-80gb", "--runtime", "vllm 0.33.0")
    code, out, err = run("import", *common, "--dry-run")
    assert code == 0, err
    assert "vllm bench serve (vllm-serve)" in out
    assert "1024 in, 128 out, concurrency 8" in out
    assert "warning L8" in out
    assert "would be stored" in out
    code, out, _ = run("import", *common)
    assert (code, "new" in out) == (0, True)
    code, out, _ = run("import", *common, "--json")
    report = json.loads(out)
    assert report["stored"] == [{"kind": "profile", "id": report["profiles"][0]["id"], "created": False}]


@pytest.mark.parametrize(
    ("given", "option"),
    [((), "--variant"), (("--variant", "import-42"), "--device")],
)
def test_what_is_missing_is_an_error_naming_the_option(run, variants, bench: Path, given, option: str):
    code, _, err = run("import", str(bench), *given)
    assert code == 2
    assert option in err


def test_an_unknown_file_says_what_is_expected(run, tmp_path: Path):
    path = tmp_path / "x.json"
    path.write_text("{}")
    code, _, err = run("import", str(path), "--variant", "any")
    assert code == 2
    assert "is in no known format" in err


def test_two_runs_of_lm_eval(run, variants):
    mine = [str(path) for path in sorted((FILES / "lm-eval-2").iterdir())]
    theirs = [
        word for path in sorted((FILES / "lm-eval-1").iterdir()) for word in ("--baseline-file", str(path))
    ]
    code, out, err = run("import", *mine, *theirs, "--variant", variants[1], "--baseline", variants[0])
    assert code == 0, err
    assert "tiny_words" in out
    assert "paired" in out
    assert "L2" in out


def test_runs_that_cannot_be_compared_are_exit_code_4(run, variants, tmp_path: Path):
    theirs = next((FILES / "lm-eval-1").glob("results*"))
    document = json.loads(theirs.read_bytes())
    document["n-shot"] = dict.fromkeys(document["n-shot"], 5)
    mine = tmp_path / "results.json"
    mine.write_text(json.dumps(document))
    code, out, err = run(
        "import",
        str(mine),
        "--baseline-file",
        str(theirs),
        "--variant",
        variants[1],
        "--baseline",
        variants[0],
    )
    assert code == 4
    assert "refusal L14" in out
    assert "nothing was stored" in err


def test_against_a_server(tmp_path: Path, bench: Path):
    folder = make_llama(tmp_path / "model", seed=43)
    with running_server(tmp_path / "data") as server:

        def planner(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "planner.cli", *arguments, "--server", server.url]
            return subprocess.run(command, capture_output=True, text=True, check=False)

        assert planner("register", str(folder), "--name", "served").returncode == 0
        done = planner(
            "import",
            str(bench),
            "--variant",
            "served",
            "--device",
            "h100-80gb",
            "--runtime",
            "vllm",
            "--json",
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["stored"][0]["created"] is True
        refused = planner("import", str(bench), "--variant", "served", "--device", "h100-80gb")
        assert refused.returncode == 2
        assert "--runtime" in refused.stderr
