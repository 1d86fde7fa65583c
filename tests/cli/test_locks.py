"""lock, check, deploy and fetch --lock, as they are typed."""

import json
import shutil
import subprocess
import sys
import tomllib

import msgspec
import pytest
import yaml

from planner.cli.main import main
from planner.deploy.lock import Lock
from planner.deploy.lock_text import LockForm, read_lock, write_lock
from planner.settings import load_settings
from planner.workspace import Workspace
from tests.api.process import running_server
from tests.cli.conftest import make_llama

QUESTION = "the smallest tiny-locks on 24GB, concurrency 2"


@pytest.fixture(scope="module")
def registered(data_dir, tmp_path_factory) -> str:
    folder = make_llama(tmp_path_factory.mktemp("tiny"), seed=4171)
    arguments = ["--model", "tiny-locks", "--name", "tiny-locks-fp32", "--data-dir", str(data_dir)]
    assert main(["register", str(folder), *arguments]) == 0
    with Workspace(load_settings({}, data_dir=data_dir)) as workspace:
        return workspace.variant("tiny-locks-fp32").id


@pytest.fixture
def lock_file(run, registered, tmp_path):
    path = tmp_path / "planner.lock.toml"
    code, _, err = run("lock", QUESTION, "--runtime", "vllm", "--out", str(path))
    assert code == 0, err
    return path


def test_a_lock_names_the_bytes(run, registered, lock_file):
    lock = read_lock(lock_file.read_text(), source="x")
    assert lock.variant.id == registered
    assert {file.path for file in lock.files} == {"config.json", "model.safetensors"}
    assert lock.runtime is not None
    assert lock.runtime.name == "vllm"
    plan = json.loads(run("show", lock.plan.plan_id, "--json")[1])
    assert msgspec.convert(plan["scenario"], type(lock.scenario)) == lock.scenario
    assert [path.name for path in lock_file.parent.iterdir() if path.name.startswith(".")] == []


def test_a_stored_plan_locks_to_the_same_text_each_time(run, registered, lock_file):
    plan_id = read_lock(lock_file.read_text(), source="x").plan.plan_id
    first = run("lock", plan_id)
    assert first == run("lock", plan_id)
    assert tomllib.loads(first[1])["plan"]["plan_id"] == plan_id
    as_json = json.loads(run("lock", plan_id, "--json")[1])
    assert as_json == tomllib.loads(first[1])


def test_what_cannot_be_locked(run, tmp_path):
    code, out, err = run("lock", "70B on 8GB, ≤0.1% loss")
    assert (code, out) == (3, "")
    assert "Infeasible" in err
    assert run("lock")[0] == 2
    assert run("lock", "0198c0de-0000-7000-8000-000000000001")[0] == 2
    assert "ending in .toml or .json" in run("lock", "7B on 24GB", "--out", str(tmp_path / "x.yaml"))[2]


def test_a_published_variant_is_locked_and_not_fetched(run, tmp_path):
    path = tmp_path / "published.json"
    code, out, _ = run("lock", "13B on 24GB, ≤1% loss", "--out", str(path))
    assert code == 0
    assert "known from a publication only" in out
    code, _, err = run("fetch", "--lock", str(path), str(tmp_path / "files"))
    assert code == 2
    assert "has no files" in err


def test_check_has_an_exit_status_for_every_result(run, lock_file, tmp_path):
    assert run("check", str(lock_file))[0] == 0
    lock = read_lock(lock_file.read_text(), source="x")

    def verdict(changed: Lock, *more: str) -> tuple[int, str]:
        path = tmp_path / "changed.json"
        path.write_text(write_lock(changed, LockForm.JSON))
        code, out, err = run("check", str(path), "--json", *more)
        assert out, err
        return code, json.loads(out)["status"]

    replace = msgspec.structs.replace
    assert lock.scenario.hardware is not None
    hardware = replace(lock.scenario.hardware, memory_bytes=2**20)
    assert verdict(replace(lock, scenario=replace(lock.scenario, hardware=hardware))) == (3, "infeasible")
    loss = replace(lock.figures[0], key="loss")
    assert verdict(replace(lock, figures=(*lock.figures, loss))) == (4, "evidence-stale")
    gone = replace(lock.variant, id="published:tiny-locks/never", fetchable=False)
    assert verdict(replace(lock, variant=gone, files=())) == (6, "variant-gone")


def test_better_is_a_failure_only_when_asked_for(registered, data_dir, lock_file, tmp_path, capsys):
    mine = ["--data-dir", str(shutil.copytree(data_dir, tmp_path / "data"))]
    files = make_llama(tmp_path / "other", seed=4172)
    assert main(["register", str(files), "--model", "tiny-locks", "--name", "zz-other", *mine]) == 0
    capsys.readouterr()
    assert main(["recommend", QUESTION, "--json", *mine]) == 0
    best = json.loads(capsys.readouterr().out)["result"]["chosen"]["variant_id"]
    with Workspace(load_settings({}, data_dir=tmp_path / "data")) as workspace:
        loser = next(v for v in map(workspace.variant, ("zz-other", registered)) if v.id != best)
    lock = read_lock(lock_file.read_text(), source="x")
    variant = msgspec.structs.replace(lock.variant, id=loser.id, name=loser.name)
    path = tmp_path / "loser.toml"
    path.write_text(
        write_lock(msgspec.structs.replace(lock, files=loser.artifacts, variant=variant), LockForm.TOML)
    )
    assert main(["check", str(path), *mine]) == 0
    assert "better-exists" in capsys.readouterr().out
    assert main(["check", str(path), "--fail-on", "better", *mine]) == 5


def test_check_shows_what_changed(run, lock_file, tmp_path):
    lock = read_lock(lock_file.read_text(), source="x")
    first, *rest = lock.figures
    doubled = msgspec.structs.replace(
        lock, figures=(msgspec.structs.replace(first, value=first.value * 2), *rest)
    )
    path = tmp_path / "doubled.toml"
    path.write_text(write_lock(doubled, LockForm.TOML))
    code, out, _ = run("check", str(path))
    assert code == 0
    assert "memory.weights" in out
    assert "-50 %" in out


def test_a_file_that_is_no_lock_is_refused_by_its_field(run, tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text("lock_version = 9\n")
    code, _, err = run("check", str(path))
    assert code == 2
    assert "lock_version" in err
    assert run("check", str(tmp_path / "absent"))[0] == 2
    path.write_bytes(b"\xff\xfe")
    assert "UTF-8" in run("deploy", "--lock", str(path), "--to", "vllm")[2]


def test_deploy_prints_a_script_and_the_reasons(run, registered):
    code, out, err = run("deploy", QUESTION, "--to", "vllm", "--port", "8123")
    assert code == 0
    assert f"planner fetch {registered} models/tiny-locks-fp32" in out
    assert "exec vllm serve models/tiny-locks-fp32" in out
    assert "--port 8123" in out
    assert "concurrency of the scenario" in err
    subprocess.run(["sh", "-n"], input=out, text=True, check=True)


def test_deploy_from_a_lock_asks_no_registry(capsys, lock_file, tmp_path):
    nowhere = ["--data-dir", str(tmp_path / "never")]
    assert (
        main(
            [
                "deploy",
                "--lock",
                str(lock_file),
                "--to",
                "kubernetes",
                "--out",
                str(tmp_path / "out"),
                *nowhere,
            ]
        )
        == 0
    )
    assert not (tmp_path / "never").exists()
    found = list(yaml.safe_load_all((tmp_path / "out" / "kubernetes.yaml").read_text()))
    assert [each["kind"] for each in found] == ["ConfigMap", "Deployment", "Service"]
    assert main(["deploy", "--lock", str(lock_file), "--to", "llama.cpp", *nowhere]) == 2
    assert "the lock is for vllm" in capsys.readouterr().err


def test_deploy_refuses_what_contradicts_itself(run, lock_file):
    assert run("deploy", QUESTION, "--lock", str(lock_file), "--to", "vllm")[0] == 2
    assert run("deploy", QUESTION, "--to", "vllm", "--runtime", "sglang")[0] == 2
    assert run("deploy", "--lock", str(lock_file), "--to", "compose", "--runtime", "sglang")[0] == 2
    assert run("deploy", "70B on 8GB, ≤0.1% loss", "--to", "vllm")[0] == 3
    code, out, _ = run("deploy", QUESTION, "--to", "compose", "--runtime", "sglang", "--json")
    assert code == 0
    assert json.loads(out)["runtime"] == "sglang"


def test_the_same_over_http(registered, data_dir, lock_file, tmp_path):
    with running_server(data_dir) as server:

        def call(*arguments: str, **more) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "planner.cli", *arguments, "--server", server.url],
                capture_output=True, text=True, check=False, **more,
            )  # fmt: skip

        locked = call("lock", QUESTION, "--runtime", "vllm")
        assert locked.returncode == 0, locked.stderr
        assert read_lock(locked.stdout, source="x").variant.id == registered
        assert call("check", "-", input=locked.stdout).returncode == 0
        made = call("deploy", QUESTION, "--to", "compose", "--runtime", "vllm", "--json")
        assert server.url in json.loads(made.stdout)["documents"][0]["content"]
        got = tmp_path / "got"
        fetched = call("fetch", "--lock", str(lock_file), str(got))
        assert fetched.returncode == 0, fetched.stderr
        assert {path.name for path in got.iterdir()} == {"config.json", "model.safetensors"}
        (got / "config.json").write_text("{}")
        assert call("fetch", "--lock", str(lock_file), str(got)).returncode == 0
        assert (got / "config.json").read_text() != "{}"
