from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from planner.domain.ignoring import is_ignored, read_rules

LINES = st.lists(
    st.sampled_from(
        [
            "*.tmp",
            "!keep.tmp",
            "logs/",
            "/top",
            "a/b",
            "**/deep",
            "a/**",
            "?.x",
            "[ab].y",
            "[!c].z",
            "# no",
            "",
            "  ",
            "a/*/c",
            "foo",
            "!foo",
            "*.log ",
            "/sub/*.txt",
            "x/**/y",
        ]
    ),
    max_size=6,
)
PATHS = st.sampled_from(
    [
        "a.tmp",
        "keep.tmp",
        "logs/x",
        "sub/logs/x",
        "logs",
        "top",
        "sub/top",
        "a/b",
        "c/a/b",
        "p/deep",
        "deep/q",
        "a/q/c",
        "q.x",
        "a.y",
        "c.z",
        "d.z",
        "foo",
        "foo/bar",
        "u.log",
        "sub/one.txt",
        "x/y",
        "x/1/2/y",
        "a/b/c",
        "# no",
    ]
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = tmp_path_factory.mktemp("ignored")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINES, st.sets(PATHS, min_size=1, max_size=8))
@example(["logs/", "!logs/x"], {"logs/x"})
def test_rules_are_read_as_git_reads_them(repository: Path, lines: list[str], paths: set[str]) -> None:
    text = "\n".join(lines)
    (repository / ".gitignore").write_text(text)
    asked = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        input="\n".join(sorted(paths)),
        capture_output=True,
        text=True,
        cwd=repository,
        check=False,
    )
    ignored = {path.strip('"') for path in asked.stdout.splitlines()}
    rules = read_rules(text)
    assert {path for path in paths if is_ignored(path, rules)} == ignored, text


@given(st.text(max_size=300), st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=50))
def test_no_text_is_too_strange(text: str, path: str) -> None:
    is_ignored(path, read_rules(text))


def test_no_rule_keeps_the_server_busy() -> None:
    rules = read_rules("\n".join(["*a" * 90] * 5))
    assert not is_ignored("a" * 500 + "b", rules)
