"""The README's commands do what it says, in the order it says it."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PLAN_ID = re.compile(r"plan [0-9a-f-]{36}")
CONSOLE_WIDTH = "110"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[str]:
    lines = (re.sub(r"\s+# .*", "", line).strip() for line in block.splitlines())
    return [line for line in lines if line.startswith(("planner ", "worker "))]


@dataclass(frozen=True)
class Shell:
    folder: Path
    environment: dict[str, str]

    def __call__(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=280,
        )  # fmt: skip


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """Run a line of the README in one folder, with `planner` and `worker` on the PATH and a data folder of its own."""
    folder = tmp_path_factory.mktemp("readme")
    programs = folder / "bin"
    programs.mkdir()
    for name, module in (("planner", "planner.cli"), ("worker", "worker.cli")):
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
        script.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PLANNER_DATA_DIR": str(folder / "data"),
        "COLUMNS": CONSOLE_WIDTH,
        "HF_HUB_OFFLINE": "1",
    }

    return Shell(folder, environment)


def normal(text: str) -> list[str]:
    return [PLAN_ID.sub("plan ID", line.rstrip()) for line in text.strip().splitlines()]


@pytest.mark.parametrize("block", blocks("console"), ids=lambda block: block.splitlines()[0])
def test_shown_output_is_what_the_command_prints(shell, block):
    line, _, shown = block.partition("\n")
    done = shell(line.removeprefix("$ "))
    assert done.returncode == 0, done.stderr
    printed, expected = normal(done.stdout), normal(shown)
    if expected[-1] == "…":
        expected.pop()
        printed = printed[: len(expected)]
    assert printed == expected


def test_every_command_is_run_somewhere():
    named = {tuple(line.split()[:2]) for block in blocks("sh") for line in commands(block)}
    assert {
        ("planner", verb) for verb in ("recommend", "why", "register", "variants", "fetch", "submit")
    } <= named
    assert {("worker", verb) for verb in ("recipes", "build", "measure", "evaluate")} <= named


def test_questions_are_answered(shell):
    lines = [
        line for block in blocks("sh") for line in commands(block) if line.split()[1] in {"recommend", "why"}
    ]
    assert len(lines) >= 5
    for line in lines:
        done = shell(line)
        assert done.returncode == 0, (line, done.stdout, done.stderr)


def test_build_measure_evaluate_submit_and_fetch(shell):
    pytest.importorskip("torchao")
    from worker.reference import model_path

    shutil.copytree(model_path(), shell.folder / "base-model", dirs_exist_ok=True)
    lines = [
        line
        for block in blocks("sh")
        for line in commands(block)
        if line.split()[1] not in {"recommend", "why", "demo"} and ".venv" not in line
    ]
    assert len(lines) >= 8
    for line in lines:
        done = shell(line)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    for path in (shell.folder / "base-model").iterdir():
        assert (shell.folder / "copy" / path.name).read_bytes() == path.read_bytes()
    listed = shell("planner variants --fetchable").stdout
    assert "int8" in listed
    assert "measured" in listed
