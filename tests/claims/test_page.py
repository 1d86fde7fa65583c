"""docs/claims.md is what the built-in catalogue says. After a change: PLANNER_WRITE_DOCS=1 pytest tests/claims."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from planner.catalogue import load_catalogue
from planner.claims.evidence import Row
from planner.claims.judgement import judge_all
from planner.claims.page import SHOWN_ROWS, render, shown_rows
from planner.claims.statements import CLAIMS
from planner.cli.main import main
from planner.domain.figure import Basis

PAGE = Path(__file__).resolve().parents[2] / "docs" / "claims.md"


@pytest.fixture(scope="module")
def page():
    return render(judge_all(CLAIMS, load_catalogue()))


def test_the_page_is_current(page):
    if os.environ.get("PLANNER_WRITE_DOCS") == "1":
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page


def test_a_registry_with_nothing_added_says_the_same(page, tmp_path, capsys):
    path = tmp_path / "claims.md"
    assert main(["claims", "--data-dir", str(tmp_path / "data"), "--write", str(path), "--json"]) == 0
    assert path.read_text(encoding="utf-8") == page
    claims = json.loads(capsys.readouterr().out)
    assert [claim["number"] for claim in claims] == list(range(1, 21))
    assert {claim["verdict"] for claim in claims} <= {"supported", "contradicted", "partly", "untested"}
    rows = [row for claim in claims for part in claim["parts"] for row in part["rows"]]
    assert len(rows) > 500
    assert all(row["basis"] in {"measured", "published", "modelled"} for row in rows)
    assert all(row.get("citation") or row["basis"] == "modelled" for row in rows)


def test_figures_known_from_the_sources_are_there(page):
    def section(number):
        return page.partition(f"\n## {number} ")[2].partition("\n## ")[0]

    assert "**52.1 GB**" in section(1)
    assert "131 GB" in section(1)
    assert "13.4 GB" in section(3)
    assert "74.4 %" in section(5)
    assert "| 1,500 ms |" in section(2)
    assert "| 19.9 ms a token |" in section(4)
    assert "no figure" in section(11)
    for number in range(1, 21):
        assert re.search(r"\*\*(Supported|Contradicted|Partly|Untested)\.\*\*", section(number))


def test_of_many_rows_the_ends_the_middle_and_the_measured_are_shown():
    rows = [
        Row(subject=str(i), value=float(i), basis=Basis.MEASURED if i in {40, 60} else Basis.PUBLISHED)
        for i in range(101)
    ]
    shown = [row.value for row in shown_rows(rows)]
    assert shown == sorted(shown)
    assert {0.0, 40.0, 50.0, 60.0, 100.0} <= set(shown)
    assert len(shown) <= SHOWN_ROWS
    assert shown_rows(rows[:SHOWN_ROWS]) == rows[:SHOWN_ROWS]
