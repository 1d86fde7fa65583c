"""`planner recommend --batch`, `planner fleet`, `planner training` and `--prices`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

PRICES = 'currency = "USD"\n[devices.l4]\nper_hour = 0.71\ndate = 2026-10-01\nsource = "contract"\n'
FLEET = """
[pool]
l4 = 2

[[demands]]
name = "chat"
query = "8B, <=5% loss"
requests_per_second = 0.2
"""


def test_a_batch_gives_one_line_of_json_for_each_question(run, tmp_path: Path):
    path = tmp_path / "questions.txt"
    path.write_text('# two\n13B on 24GB, ≤1% loss\n\n{"query": "70B on 8GB, ≤0.1% loss"}\n')
    code, out, _ = run("recommend", "--batch", str(path), "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 3
    assert [line["line"] for line in lines] == [2, 4]
    assert [line["answer"]["plan"]["result"]["outcome"] for line in lines] == ["recommended", "infeasible"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("13B on 24GB, ≤1% loss\n", 0),
        ("13B on 24GB, ≤1% loss\n70B on 8GB, ≤0.1% loss\n", 3),
        ("70B on 8GB, ≤0.1% loss\nnonsense\n", 2),
        ('{"modle": 1}\n', 2),
        ("# nothing\n", 2),
    ],
)
def test_the_exit_code_of_a_batch_is_that_of_its_worst_line(run, monkeypatch, text: str, code: int):
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert run("recommend", "--batch", "-")[0] == code


def test_a_question_beside_a_batch_is_refused(run, tmp_path: Path):
    path = tmp_path / "b"
    path.write_text("13B on 24GB\n")
    assert run("recommend", "13B on 24GB", "--batch", str(path))[0] == 2


def test_prices_give_costs_and_are_refused_with_a_server(run, tmp_path: Path):
    path = tmp_path / "prices.toml"
    path.write_text(PRICES)
    code, out, _ = run("recommend", "8B on l4, ≤5% loss, cheapest", "--prices", str(path))
    assert code == 0
    assert "least cost per million output tokens" in out
    assert "USD 0.71 per hour" in out
    code, _, err = run("recommend", "8B on l4", "--prices", str(path), "--server", "http://127.0.0.1:1")
    assert code == 2
    assert "--prices" in err


def test_a_fleet_is_placed_or_what_would_help_is_said(run, tmp_path: Path):
    path = tmp_path / "fleet.toml"
    path.write_text(FLEET)
    code, out, _ = run("fleet", str(path))
    assert code == 0
    assert "Placed" in out
    assert "l4" in out
    path.write_text(FLEET.replace("0.2", "200"))
    code, out, _ = run("fleet", str(path))
    assert code == 3
    assert "add " in out
    code, out, _ = run("fleet", str(path), "--json")
    assert json.loads(out)["result"]["relaxations"]
    path.write_text(FLEET.replace("l4", "l5"))
    assert run("fleet", str(path))[0] == 2
    path.write_text(FLEET.replace("query", "qeury"))
    code, _, err = run("fleet", str(path))
    assert code == 2
    assert "qeury" in err
    path.write_text(FLEET)
    code, _, err = run("fleet", str(path), "--objective", "cheapest")
    assert code == 2
    assert "no price is given" in err


def test_a_training_fits_or_what_would_make_it(run):
    code, out, _ = run("training", "qat 7B on 2x24GB")
    assert code == 3
    assert "Does not fit" in out
    assert "devices" in out
    code, out, _ = run("training", "finetune llama-3.1-8b on 8x h100-sxm", "--json")
    assert code == 0
    assert json.loads(out)["fits"] is True
    code, _, err = run("training", "qat 7B on 24GB, ≤1% loss")
    assert code == 2
    assert "bound" in err
