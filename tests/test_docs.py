"""What the documentation must mention, and what it shows must be true."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from planner import errors
from planner.cli.main import VERBS

ROOT = Path(__file__).parent.parent
DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


def error_classes() -> list[type[errors.PlannerError]]:
    found = [errors.PlannerError]
    for each in found:
        found += each.__subclasses__()
    return found


def command_reference() -> str:
    """Return docs/cli.md as the commands describe themselves."""
    parts = [
        "# Commands",
        "",
        "Made from the commands' own help. After a change: `PLANNER_WRITE_DOCS=1 pytest tests/test_docs.py`.",
        "",
    ]
    environment = {**os.environ, "COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1", "PLANNER_PLAIN_HELP": "1"}
    for program, module, verbs in (
        ("planner", "planner.cli", list(VERBS)),
        ("worker", "worker.cli", worker_verbs()),
    ):
        for verb in verbs:
            done = subprocess.run(
                [sys.executable, "-m", module, verb, "--help"],
                capture_output=True, text=True, check=True, cwd=ROOT, env=environment,
            )  # fmt: skip
            lines = [line.rstrip() for line in done.stdout.strip().splitlines()]
            parts += [f"## {program} {verb}", "", "```text", *lines, "```", ""]
    return "\n".join(parts)


def worker_verbs() -> list[str]:
    from worker import cli

    return list(cli.VERBS)


def test_the_command_reference_is_current():
    pytest.importorskip("torchao")
    path = ROOT / "docs" / "cli.md"
    expected = command_reference()
    if os.environ.get("PLANNER_WRITE_DOCS") == "1":
        path.write_text(expected, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == expected


def test_every_error_code_has_its_heading():
    text = (ROOT / "docs" / "errors.md").read_text()
    headings = set(re.findall(r"^## (.+)$", text, re.MULTILINE))
    assert {cls.code for cls in error_classes()} <= headings


def test_the_tree_of_errors_is_drawn_as_it_is():
    assert errors.__doc__ is not None
    for cls in (each for each in error_classes() if each.__module__ == errors.__name__):
        line = next(line for line in errors.__doc__.splitlines() if re.search(rf"\b{cls.__name__}\b", line))
        if cls is not errors.PlannerError:
            assert f" {cls.code} " in line
            assert f" {cls.status} " in line
            assert f"exit {cls.exit_code}" in line


def test_every_setting_is_documented():
    source = (ROOT / "planner" / "settings.py").read_text()
    names = set(re.findall(r'"(PLANNER_[A-Z_]+)"', source))
    readme = (ROOT / "README.md").read_text()
    assert len(names) >= 5
    assert {name for name in names if f"`{name}`" not in readme} == set()


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    prose = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in LINK.findall(prose):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("name", ["compose.yaml", "compose.gpu.yaml"])
def test_compose_files_name_files_and_commands_that_exist(name):
    services = yaml.safe_load((ROOT / "docker" / name).read_text())["services"]
    for service in services.values():
        if "build" in service:
            assert (ROOT / "docker" / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    if name == "compose.yaml":
        assert services["worker"]["command"][0] in worker_verbs()
        assert services["api"]["ports"] == ["127.0.0.1:8765:8765"]


@pytest.mark.parametrize("name", ["server.Dockerfile", "worker.Dockerfile"])
def test_images_copy_what_the_wheel_needs(name):
    text = (ROOT / "docker" / name).read_text()
    copied = {
        word
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for word in line.split()[:-1]
    }
    assert {"pyproject.toml", "hatch_build.py", "planner", "worker", "migrations"} <= copied
    assert all((ROOT / word).exists() for word in copied)
    assert re.search(r"^USER planner$", text, re.MULTILINE)
