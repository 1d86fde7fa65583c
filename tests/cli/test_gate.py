"""`planner gate` as people and CI run it: exit codes, files for CI, waiting for a worker, wrong use."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import msgspec
import pytest
import yaml

from planner.cli import gate_waiting
from planner.cli.main import main
from planner.cli.render.gate_junit import junit
from planner.cli.render.gate_markdown import markdown
from planner.cli.render.gate_sarif import sarif
from planner.domain.job import Failure, FailureReason, JobState
from planner.settings import load_settings
from planner.workspace import Workspace
from tests.gate.builds import evaluated, register
from tests.registry.test_gates import report as made_report
from tests.workspace.fixtures import data_template

__all__ = ["data_template"]

ROOT = Path(__file__).parents[2]
RULES = "version: 1\nname: chat\ntasks:\n  - {task: maths, margin: 2%}\non_pass: {move_alias: prod}\n"


@pytest.fixture
def home(tmp_path, data_template):
    """A data folder of the test's own, with a base and a build of it that is not evaluated."""
    import shutil

    folder = Path(shutil.copytree(data_template, tmp_path / "home"))
    with Workspace(load_settings({}, data_dir=folder)) as workspace:
        base = register(workspace, tmp_path, "base", seed=1)
        register(workspace, tmp_path, "build", seed=2, base=base.id)
    (tmp_path / "chat.yaml").write_text(RULES)
    return folder


@pytest.fixture
def gate(home, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)

    def call(*arguments: str, policy: Path | None = tmp_path / "chat.yaml"):
        capsys.readouterr()
        given = ["--policy", str(policy)] if policy is not None else []
        code = main(["gate", *arguments, *given, "--data-dir", str(home)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def hand_in(home: Path, *, lost: int, gained: int, items: int) -> None:
    with Workspace(load_settings({}, data_dir=home)) as workspace:
        build, base = workspace.variant("build"), workspace.variant("gated-llama/base")
        evaluated(workspace, build, base, lost=lost, gained=gained, items=items)


@pytest.mark.parametrize(
    ("lost", "gained", "items", "code", "verdict"),
    [(40, 40, 5000, 0, "pass"), (600, 10, 5000, 3, "fail"), (12, 10, 500, 4, "inconclusive"), (None, 0, 0, 4, "inconclusive")],
)  # fmt: skip
def test_exit_codes(gate, home, lost, gained, items, code, verdict):
    if lost is not None:
        hand_in(home, lost=lost, gained=gained, items=items)
    status, out, _ = gate("build")
    assert status == code
    assert out.startswith(f"{verdict}: ")
    status, out, _ = gate("build", "--json", "--dry-run")
    document = json.loads(out)
    assert (status, document["verdict"]) == (code, verdict)


def test_a_person_sees_what_was_asked_found_and_done(gate, home):
    hand_in(home, lost=40, gained=40, items=5000)
    status, out, _ = gate("build", "--explain")
    assert status == 0
    for words in ("loss at most 2 %", "0 %", "5,000", "alias prod points at it", "40 worse, 40 better"):
        assert words in out
    status, out, _ = gate("--history", policy=None)
    assert (status, "chat" in out) == (0, True)


def test_files_for_ci(gate, home, tmp_path, monkeypatch):
    hand_in(home, lost=12, gained=10, items=500)
    monkeypatch.chdir(tmp_path)
    summary = tmp_path / "summary.md"
    summary.write_text("# before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    status, _, _ = gate(
        "build",
        "--junit",
        "out.xml",
        "--sarif",
        "out.sarif",
        "--markdown",
        "out.md",
        policy=Path("chat.yaml"),
    )
    assert status == 4
    suite = ET.parse(tmp_path / "out.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "0", "1")
    run = json.loads((tmp_path / "out.sarif").read_text())["runs"][0]
    assert run["results"][0]["kind"] == "open"
    location = run["results"][0]["locations"][0]["physicalLocation"]
    assert (location["artifactLocation"]["uri"], location["region"]["startLine"]) == ("chat.yaml", 4)
    assert run["invocations"][0]["exitCode"] == 4
    assert "### ❔ Gate: inconclusive" in (tmp_path / "out.md").read_text()
    assert summary.read_text().startswith("# before\n### ❔")


def test_which_would_fail(gate, home):
    hand_in(home, lost=600, gained=10, items=5000)
    status, out, _ = gate("--all", "--dry-run", "--model", "gated-llama")
    assert status == 0
    assert "1 fail, 1 inconclusive" in out
    status, out, _ = gate("--all", "--dry-run", "--model", "gated-llama", "--limit", "1", "--json")
    page = json.loads(out)
    assert (len(page["items"]), page["next_cursor"] is not None) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "policy", "words"),
    [
        (["build", "--all"], True, "with --dry-run"),
        ([], True, "VARIANT: is missing"),
        (["build"], False, "--policy: is missing"),
        (["build", "base"], True, "one variant"),
        (["build", "--wait", "--dry-run"], True, "without --dry-run"),
        (["build", "--model", "x"], True, "with --all"),
        (["--all", "--history"], False, "does not go with"),
        (["nothing-like-it"], True, "no variant"),
        (["build", "--against", "prod"], True, "alias:NAME"),
        (["build", "--junit", "/nowhere/x.xml"], True, "cannot be written"),
    ],
)
def test_wrong_use_is_told(gate, tmp_path, arguments, policy, words):
    status, out, err = gate(*arguments, policy=tmp_path / "chat.yaml" if policy else None)
    assert status == 2
    assert words in err
    assert out == ""


def test_policies_are_checked_before_a_commit(gate, tmp_path):
    good, bad = tmp_path / "chat.yaml", tmp_path / "bad.yaml"
    bad.write_text("version: 1\ntasks:\n  - {task: a, margin: 0%}\n  - {task: b, margin: 200%}\n")
    status, out, _ = gate("--check-policy", str(good), policy=None)
    assert (status, "a valid policy" in out) == (0, True)
    status, _, err = gate("--check-policy", str(good), str(bad), policy=None)
    assert status == 2
    assert err.splitlines()[0].startswith(f"{bad}: line 3: tasks[0].margin: `0%` is out of range; allowed: ")
    assert "line 4" in err.splitlines()[1]
    status, out, _ = gate("--check-policy", str(bad), "--json", policy=None)
    assert [each["line"] for each in json.loads(out)["problems"]] == [3, 4]
    status, out, _ = gate("--schema", policy=None)
    assert (status, json.loads(out)["title"]) == (0, "Policy of planner gate")


def test_the_hook_runs_a_command_that_exists():
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"] == "planner gate --check-policy"
    assert hook["language"] == "python"


def test_waiting_queues_watches_and_decides(gate, home, tmp_path, monkeypatch):
    """A worker takes the job that the gate queues, and hands in more items; the gate then decides and moves the alias."""
    monkeypatch.setattr(gate_waiting, "POLL_SECONDS", 0.05)
    hand_in(home, lost=12, gained=10, items=500)
    (tmp_path / "chat.yaml").write_text(
        RULES.replace("margin: 2%", "margin: 2%, source: 'blob:" + "a" * 64 + "'")
    )
    leased: list[dict[str, object]] = []

    def work() -> None:
        with Workspace(load_settings({}, data_dir=home)) as workspace:
            deadline = time.monotonic() + 60
            lease = None
            while lease is None and time.monotonic() < deadline:
                lease = workspace.lease(worker="w")
                time.sleep(0.05)
            assert lease is not None
            leased.append(lease.job.spec)
            build, base = workspace.variant("build"), workspace.variant("gated-llama/base")
            evaluated(workspace, build, base, lost=40, gained=40, items=5000)
            workspace.complete(lease.job.id, token=lease.token, result={})

    worker = threading.Thread(target=work)
    worker.start()
    status, out, _ = gate("build", "--wait", "--wait-minutes", "2")
    worker.join()
    assert (status, leased[0]["baseline"] is not None) == (0, True)
    assert "alias prod points at it" in out


def test_waiting_gives_up_when_nothing_is_left_to_wait_for(gate, home, tmp_path, monkeypatch):
    monkeypatch.setattr(gate_waiting, "POLL_SECONDS", 0.05)
    hand_in(home, lost=12, gained=10, items=500)
    status, out, _ = gate("build", "--wait")  # the job is blocked: nobody knows where the data are
    assert status == 4
    assert "no `source` is named" in out
    (tmp_path / "chat.yaml").write_text(
        RULES.replace("margin: 2%", "margin: 2%, source: 'blob:" + "a" * 64 + "'")
    )

    def work() -> None:
        with Workspace(load_settings({}, data_dir=home)) as workspace:
            end = time.monotonic() + 60
            while (lease := workspace.lease(worker="w")) is None and time.monotonic() < end:
                time.sleep(0.05)
            assert lease is not None
            workspace.complete(lease.job.id, token=lease.token, result={})

    worker = threading.Thread(target=work)
    worker.start()
    status, out, _ = gate("build", "--wait", "--json")
    worker.join()
    assert status == 4
    assert json.loads(out)["jobs"][0]["state"] == "ended"
    with Workspace(load_settings({}, data_dir=home)) as workspace:
        assert [job.state for job in workspace.jobs().items] == [JobState.SUCCEEDED]


# -- the forms that CI reads ----------------------------------------------------------------------------------------


def closed(required: str, **properties: object) -> dict[str, object]:
    """A schema of an object that has these properties and no others: SARIF's objects are closed."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": properties,
    }


TEXT, WHOLE = {"type": "string"}, {"type": "integer"}
MESSAGE = closed("text", text=TEXT)
LEVEL = {"enum": ["none", "note", "warning", "error"]}
SARIF = closed(
    "version runs",
    **{"$schema": TEXT},
    version={"const": "2.1.0"},
    runs={
        "type": "array",
        "items": closed(
            "tool",
            tool=closed(
                "driver",
                driver=closed(
                    "name",
                    name=TEXT,
                    version=TEXT,
                    rules={
                        "type": "array",
                        "uniqueItems": True,
                        "items": closed(
                            "id",
                            id=TEXT,
                            name=TEXT,
                            shortDescription=MESSAGE,
                            defaultConfiguration=closed("", level=LEVEL),
                        ),
                    },
                ),
            ),
            automationDetails=closed("", id=TEXT),
            invocations={
                "type": "array",
                "items": closed(
                    "executionSuccessful",
                    executionSuccessful={"type": "boolean"},
                    exitCode=WHOLE,
                    endTimeUtc={"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
                ),
            },
            columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
            results={
                "type": "array",
                "items": closed(
                    "message",
                    ruleId=TEXT,
                    ruleIndex={"type": "integer", "minimum": -1},
                    kind={"enum": ["notApplicable", "pass", "fail", "review", "open", "informational"]},
                    level=LEVEL,
                    message=MESSAGE,
                    locations={
                        "type": "array",
                        "items": closed(
                            "",
                            physicalLocation=closed(
                                "",
                                artifactLocation=closed("", uri=TEXT),
                                region=closed("", startLine={"type": "integer", "minimum": 1}),
                            ),
                        ),
                    },
                    partialFingerprints={"type": "object", "additionalProperties": TEXT},
                    properties={"type": "object"},
                ),
            },
            properties={"type": "object"},
        ),
    },
)
"""The part of the SARIF 2.1.0 schema (OASIS, 2023) that a report uses, its objects as closed as they are there."""


@pytest.mark.parametrize("lost", [40, 105, 400])
def test_sarif_is_as_the_specification_asks(lost):
    """The parts of SARIF 2.1.0 that a result has: required properties, kinds and levels that go together (3.27)."""
    document = json.loads(sarif(made_report(lost=lost), uri="my gates/ä.yaml", line_of=lambda _: None))
    jsonschema.Draft202012Validator(SARIF).validate(document)
    (run,) = document["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"]
    rules = [rule["id"] for rule in driver["rules"]]
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["kind"] in {"pass", "open", "notApplicable", "fail"}
        assert result["level"] == ("error" if result["kind"] == "fail" else "none")
        assert result["message"]["text"]
        location = result["locations"][0]["physicalLocation"]
        assert location["region"]["startLine"] >= 1
        assert location["artifactLocation"]["uri"] == "my%20gates/%C3%A4.yaml"
    assert {result["kind"] for result in run["results"]} == {{40: "pass", 105: "open", 400: "fail"}[lost]}


def test_junit_holds_what_xml_cannot():
    report = made_report(lost=400)
    nasty = msgspec.structs.replace(report, name="a\x00b]]>\ud83e<&\"'\x1b[31m", sentence="x\x08y")
    root = ET.fromstring(junit(nasty).encode("utf-8", "replace"))
    suite = root[0]
    assert suite.tag == "testsuite"
    assert set(suite.attrib) == {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"}
    case = next(each for each in suite if each.tag == "testcase")
    assert set(case.attrib) == {"classname", "name", "time"}
    assert [child.tag for child in case] == ["failure"]
    assert (root.get("failures"), suite.get("failures")) == ("1", "1")


def test_markdown_shows_names_as_they_are():
    report = msgspec.structs.replace(made_report(), name="<script>|*x*\n# y")
    text = markdown(report)
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert "\n# y" not in text
    assert "\\|\\*x\\*" in text


def test_a_parked_job_is_not_waited_for(gate, home, tmp_path, monkeypatch):
    """A job that a person has to look at ends the waiting, whatever else is said of it."""
    monkeypatch.setattr(gate_waiting, "POLL_SECONDS", 0.05)
    hand_in(home, lost=12, gained=10, items=500)
    (tmp_path / "chat.yaml").write_text(
        RULES.replace("margin: 2%", "margin: 2%, source: 'blob:" + "a" * 64 + "'")
    )
    assert gate("build", "--queue")[0] == 4
    crash = Failure(reason=FailureReason.CRASHED, message="died")
    with Workspace(load_settings({}, data_dir=home)) as workspace:
        for worker in ("w1", "w2"):
            lease = workspace.lease(worker=worker)
            assert lease is not None
            workspace.fail(lease.job.id, token=lease.token, failure=crash)
        assert workspace.jobs().items[0].state is JobState.PARKED
    status, out, _ = gate("build", "--wait", "--json")
    assert status == 4
    assert json.loads(out)["jobs"][0]["detail"] == "parked"
