"""States, aliases, pins, retention and collection, as they are typed: in process and, where it differs, with a server."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from planner.cli.main import main
from planner.domain.lifecycle import LifecycleState
from planner.settings import load_settings
from planner.wire.lifecycle import SetState
from planner.workspace import Workspace
from tests.api.process import running_server
from tests.cli.conftest import make_llama

Run = Callable[..., tuple[int, str, str]]
MODEL = "tiny-states"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of this module's own, since it deletes variants."""
    folder = tmp_path_factory.mktemp("data")
    for seed, name in enumerate(("one-fp32", "two-fp32", "three-fp32")):
        made = make_llama(tmp_path_factory.mktemp(name), seed=7000 + seed)
        assert main(["register", str(made), "--model", MODEL, "--name", name, "--data-dir", str(folder)]) == 0
    return folder


@pytest.fixture
def ids(data_dir: Path) -> dict[str, str]:
    with Workspace(load_settings({}, data_dir=data_dir)) as workspace:
        return {name: workspace.variant(f"{name}-fp32").id for name in ("one", "two", "three")}


@pytest.fixture(autouse=True)
def _active_again(data_dir: Path) -> None:
    """Every test begins with three active variants."""
    with Workspace(load_settings({}, data_dir=data_dir)) as workspace:
        for name in ("one", "two", "three"):
            active = SetState(state=LifecycleState.ACTIVE, reason="test begins")
            workspace.set_state(f"{name}-fp32", active)


def test_a_variant_is_deprecated_yanked_quarantined_and_reinstated(run: Run, ids, tmp_path) -> None:
    code, out, _ = run("deprecate", "one-fp32", "--reason", "two is better", "--replacement", "two-fp32")
    assert (code, out.splitlines()[0]) == (0, f"deprecated: {ids['one']}")
    code, out, err = run("fetch", "one-fp32", str(tmp_path / "a"))
    assert code == 0, err
    assert err.strip() == f"warning: one-fp32 is deprecated: two is better; use {ids['two']} instead"
    code, out, _ = run("yank", "one-fp32", "--reason", "wrong tokenizer", "--json")
    assert (code, json.loads(out)["state"], json.loads(out)["reason"]) == (0, "yanked", "wrong tokenizer")
    code, out, _ = run("fetch", "one-fp32", str(tmp_path / "b"), "--json")
    assert (code, json.loads(out)["warning"]) == (0, "one-fp32 is yanked: wrong tokenizer")
    assert run("quarantine", "one-fp32", "--reason", "runs code")[0] == 0
    code, out, err = run("fetch", "one-fp32", str(tmp_path / "c"))
    assert (code, out) == (1, "")
    assert "one-fp32 is quarantined: runs code" in err
    assert not (tmp_path / "c").exists()
    code, out, _ = run("state", "one-fp32")
    lines = out.splitlines()
    assert lines[:2] == ["quarantined: runs code", f"  {ids['one']}"]
    assert [line.split()[0] for line in lines[3:6]] == ["quarantined", "yanked", "deprecated"]
    code, out, _ = run("state", "--state", "quarantined", "--json")
    assert [each["variant_id"] for each in json.loads(out)["items"]] == [ids["one"]]
    code, _, err = run("deprecate", "one-fp32", "--reason", "x")
    assert (code, "quarantined cannot become deprecated" in err) == (1, True)
    assert run("reinstate", "one-fp32", "--reason", "checked", "--expected", "yanked")[0] == 1
    assert run("reinstate", "one-fp32", "--reason", "checked", "--expected", "quarantined")[0] == 0
    assert run("yank", "one-fp32")[0] == 2


def test_why_not_and_check_name_the_state(run: Run, ids, tmp_path) -> None:
    question = f"{MODEL} on 24GB"
    lock = tmp_path / "planner.lock.toml"
    code, out, err = run("lock", question, "--out", str(lock))
    assert code == 0, err
    chosen = re.search(r'name = "(\w+)-fp32"', lock.read_text())
    assert chosen is not None
    name = f"{chosen[1]}-fp32"
    assert run("yank", name, "--reason", "wrong tokenizer")[0] == 0
    code, out, _ = run("check", str(lock))
    assert code == 3
    assert out.splitlines()[0] == f"infeasible: {name} is yanked: wrong tokenizer"
    code, out, _ = run("why-not", name, question)
    assert "yanked: wrong tokenizer" in out
    code, _, err = run("fetch", "--lock", str(lock), str(tmp_path / "by lock"))
    assert code == 0
    assert f"warning: {name} is yanked: wrong tokenizer" in err
    assert run("quarantine", name, "--reason", "runs code")[0] == 0
    code, out, _ = run("check", str(lock), "--json")
    assert (code, json.loads(out)["sentence"]) == (3, f"{name} is quarantined: runs code")
    code, _, err = run("fetch", "--lock", str(lock), str(tmp_path / "refused"))
    assert (code, f"{name} is quarantined: runs code" in err) == (1, True)


def test_aliases(run: Run, ids) -> None:
    assert run("alias", "set", "live", "one-fp32", "--expected", "none")[0] == 0
    code, out, _ = run("alias", "set", "live", "two-fp32", "--expected", "one-fp32", "--actor", "ann")
    assert out.splitlines() == [f"live: {ids['two']}", "  move 2 by ann"]
    code, out, _ = run("alias", "history", "live")
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["2", "1"]
    code, out, _ = run("alias", "history", "live", "--at", "2999-01-01")
    assert out.splitlines()[0] == ids["two"]
    code, out, _ = run("alias", "history", "live", "--at", "2001-01-01")
    assert out.strip() == "live did not exist at 2001-01-01 00:00 UTC"
    code, _, err = run("alias", "history", "live", "--at", "yesterday")
    assert (code, "--at" in err) == (2, True)
    code, out, _ = run("alias", "rollback", "live", "--json")
    assert json.loads(out)["variant_id"] == ids["one"]
    assert run("alias", "protect", "live")[0] == 0
    assert run("alias", "set", "live", "two-fp32")[0] == 2
    assert run("alias", "delete", "live")[0] == 1
    assert run("alias", "set", "live", "two-fp32", "--expected", "one-fp32")[0] == 0
    code, out, _ = run("alias", "list")
    assert re.search(r"^live .* yes *$", out, re.MULTILINE)
    assert run("alias", "protect", "live", "--off")[0] == 0
    assert run("yank", "three-fp32", "--reason", "bad")[0] == 0
    code, _, err = run("alias", "set", "live", "three-fp32")
    assert (code, "which is yanked: bad" in err) == (1, True)
    assert run("alias", "delete", "live", "--expected", "two-fp32")[0] == 0
    assert run("alias", "history", "live")[1].splitlines()[1].split()[4] == "deleted"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("p.yaml", "version: 1\nkeep: {last: 1}\nlast: 3\n", "last: is no field; allowed: version, keep"),
        (
            "p.yaml",
            "version: 1\nkeep: {lats: 1}\n",
            "keep.lats: is no field; allowed: last, younger_than_days",
        ),
        ("p.yaml", "version: 1\nkeep: {last: 0}\n", "keep.last: expected `int` >= 1"),
        ("p.yaml", "version: 1\nkeep: {}\n", "keep: says nothing; allowed: at least one of"),
        ("p.yaml", "version: 1\nkeep: {last: 1}\nkeep: {last: 2}\n", "`keep` is given twice"),
        ("p.yaml", "version: 1\nkeep: [\n", "line 3"),
        ("p.yaml", "", "expected `object`, got `null`"),
        ("p.toml", "version = 1\n[keep]\nlast = 'x'\n", "keep.last: expected `int | null`, got `str`"),
        ("p.toml", "version =", "is not TOML"),
    ],
)
def test_policies_are_refused_with_the_field(run: Run, tmp_path, name, text, problem) -> None:
    (tmp_path / name).write_text(text)
    code, _, err = run("retention", "plan", str(tmp_path / name))
    assert code == 2
    assert problem in re.sub(r"\s+", " ", err)


def test_retention_and_collection(run: Run, ids, data_dir, tmp_path) -> None:
    policy = tmp_path / "retention.yaml"
    policy.write_text(f"version: 1\nmodels: [{MODEL}]\nkeep:\n  names: [three-*]\n")
    as_toml = tmp_path / "retention.toml"
    as_toml.write_text(f'version = 1\nmodels = ["{MODEL}"]\n[keep]\nnames = ["three-*"]\n')
    lock = tmp_path / "planner.lock.toml"
    assert run("lock", f"{MODEL} on 24GB", "--out", str(lock))[0] == 0
    code, out, _ = run("pin", "--lock", str(lock), "--json")
    pin = json.loads(out)
    assert pin["reason"].startswith("locked by planner.lock.toml (plan ")
    code, out, _ = run("pins")
    assert pin["id"] in out
    assert run("unpin", pin["id"])[0] == 0
    assert run("pin", "one-fp32")[0] == 2
    assert run("pin", "one-fp32", "--reason", "in the field")[0] == 0
    first = json.loads(run("retention", "plan", str(policy), "--json")[1])
    assert first == json.loads(run("retention", "apply", str(as_toml), "--dry-run", "--json")[1])
    mine = {each["name"]: each for each in first["decisions"] if each["model_id"] == MODEL}
    assert {each["detail"] for each in mine["one-fp32"]["reasons"]} >= {"pinned by unnamed: in the field"}
    code, out, _ = run("retention", "plan", str(policy), "--only-deleted")
    assert f"{first['kept']} kept, {first['deleted']} would be deleted" in out
    code, out, _ = run("gc", "--dry-run", "--grace", "0s")
    assert code == 0
    assert re.search(r"^0 of \d+ files would be removed, 0 B$", out, re.MULTILINE)
    assert run("gc", "--grace", "soon")[0] == 2


def test_the_same_over_http(ids, data_dir, capsys, tmp_path) -> None:
    def ask(*arguments: str) -> tuple[int, str]:
        code = main([*arguments, "--server", server.url, "--json"])
        return code, capsys.readouterr().out

    with running_server(data_dir) as server:
        assert ask("quarantine", f"{MODEL}/one-fp32", "--reason", "runs code")[0] == 0
        code, out = ask("state", f"{MODEL}/one-fp32")
        assert (code, json.loads(out)["current"]["state"]) == (0, "quarantined")
        assert main(["fetch", "one-fp32", str(tmp_path / "c"), "--server", server.url]) == 1
        assert "one-fp32 is quarantined: runs code" in capsys.readouterr().err
        assert json.loads(ask("state", "--state", "quarantined")[1])["items"][0]["variant_id"] == ids["one"]
        assert ask("reinstate", ids["one"], "--reason", "checked")[0] == 0
        assert ask("alias", "set", "web", "one-fp32")[0] == 0
        assert ask("alias", "set", "web", "two-fp32")[0] == 0
        assert json.loads(ask("alias", "rollback", "web")[1])["variant_id"] == ids["one"]
        assert (
            json.loads(ask("alias", "history", "web", "--at", "2999-01-01T00:00:00+02:00")[1])["variant_id"]
            == ids["one"]
        )
        assert json.loads(ask("alias", "protect", "web")[1])["protected"]
        assert ask("alias", "protect", "web", "--off")[0] == 0
        assert json.loads(ask("alias", "delete", "web")[1])["number"] == 4
        assert len(json.loads(ask("alias", "history", "web")[1])["items"]) == 4
        code, out = ask("pin", "two-fp32", "--reason", "over http")
        assert code == 0
        assert ask("unpin", json.loads(out)["id"])[0] == 0
        policy = tmp_path / "p.yaml"
        policy.write_text("version: 1\nkeep: {last: 50}\n")
        report = json.loads(ask("retention", "plan", str(policy))[1])
        assert (report["deleted"], report["dry_run"]) == (0, True)
        done = json.loads(ask("gc", "--dry-run")[1])
        assert (done["files_removed"], done["next_after"]) == (0, None)
        assert json.loads(ask("downloads", "--state", "yanked")[1])["items"] == []
