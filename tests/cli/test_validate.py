"""`planner validate` from the command line: page, constants, comparison and its exit status."""

import json
from pathlib import Path
from typing import Any

from planner.estimate.validation_page import baseline

PAGE = Path(__file__).resolve().parents[2] / "docs" / "accuracy.md"


def test_scores_are_written_and_held_against_a_page(run, tmp_path):
    before = tmp_path / "before.md"
    text = PAGE.read_text(encoding="utf-8")
    first = baseline(text)[0]
    assert first.median_error is not None
    better = f'"median_error":{first.median_error / 2:.4f}'
    before.write_text(text.replace(f'"median_error":{first.median_error}', better, 1), encoding="utf-8")
    page, constants = tmp_path / "accuracy.md", tmp_path / "learned.py"
    code, out, _ = run(
        "validate", "--built-in", "--json", "--against", str(before), "--write", str(page), "--constants", str(constants)
    )  # fmt: skip
    found = json.loads(out)
    assert code == 3
    assert len(found["regressions"]) == 1
    assert first.metric in found["regressions"][0]
    assert page.read_text(encoding="utf-8") == text
    assert {score["metric"] for score in found["report"]["scores"]} >= {"tpot", "ttft"}
    namespace: dict[str, Any] = {}
    exec(constants.read_text(encoding="utf-8"), namespace)
    assert set(namespace["WIDTHS"]) >= {"tpot", "ttft"}


def test_the_registry_is_scored_in_words(run):
    code, out, _ = run("validate")
    assert code == 0
    for part in ("TPOT", "held out", "coverage", "false fits"):
        assert part in out


def test_a_page_without_scores_is_named(run, tmp_path):
    empty = tmp_path / "empty.md"
    empty.write_text("# nothing", encoding="utf-8")
    code, _, err = run("validate", "--against", str(empty))
    assert code == 2
    assert "no baseline" in err
