from __future__ import annotations

import json

import pytest

from tests.worker.campaign.conftest import STEPS
from worker.cli import main

pytestmark = pytest.mark.worker


def _printed(capsys, *arguments):
    status = main(["campaign", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_without_a_file_the_campaigns_that_ship_are_listed(capsys):
    status, out, _ = _printed(capsys)
    assert status == 0
    assert "h200-shapes" in out
    assert "reference-small" in json.loads(_printed(capsys, "--json")[1])


def test_a_dry_run_prints_units_and_estimates(capsys):
    status, out, _ = _printed(capsys, "h200-shapes", "--dry-run", "--json")
    assert status == 0
    units = json.loads(out)
    assert units[0]["title"] == "shape llama-2-13b bf16"
    assert all(unit["state"] == "left" and unit["estimate_seconds"] > 0 for unit in units)
    status, out, _ = _printed(capsys, "reference-small", "--dry-run")
    assert "recipe reference bf16" in out
    assert " units" in out


def test_a_campaign_runs_is_listed_and_goes_on_from_its_bundle(capsys, base, tmp_path, write_campaign):
    path = write_campaign(f"""
[[steps]]
kind = "recipe"
model = "{base}"
recipes = ["bf16"]
device = "cpu"
build_device = "cpu"
documents = 1
estimate_seconds = 5
conditions = {{ workloads = [{{ input_tokens = 8, output_tokens = 2 }}], repetition = {{ least = 1, most = 1 }} }}
""")
    out = tmp_path / "out"
    assert _printed(capsys, path, "--out", out, "--budget", 2)[0] == 0
    status, text, _ = _printed(capsys, path, "--out", out, "--list")
    assert status == 0
    assert "left" in text
    status, text, err = _printed(capsys, path, "--out", out, "--budget", 60)
    assert status == 0
    assert "done recipe tiny-llama bf16 in" in err
    assert "campaign.tar.gz" in text
    elsewhere = tmp_path / "elsewhere"
    status, text, _ = _printed(
        capsys, path, "--out", elsewhere, "--budget", 60, "--resume", out / "campaign.tar.gz", "--json"
    )
    assert status == 0
    document = json.loads(text)
    assert [unit["state"] for unit in document["units"]] == ["before"]
    assert document["bytes"] < 100_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "no campaign file `nothing`"),
        (["reference-small"], "out: is not given"),
        (["reference-small", "--out", "x", "--budget", "0"], "budget: 0.0 is out of range"),
        (["reference-small", "--dry-run", "--only", "zzz"], "only: `zzz` is in no title"),
    ],
)
def test_wrong_usage_says_what_is_allowed(capsys, arguments, message):
    status, _, err = _printed(capsys, *arguments)
    assert status == 2
    assert message in err


def test_only_chooses_units_by_title(capsys, write_campaign):
    path = write_campaign(STEPS.replace('"tiny"', '"llama-3.2-1b"').replace(', "int8_weight_only"', ""))
    status, out, _ = _printed(capsys, path, "--dry-run", "--only", "BF16", "--json")
    assert status == 0
    assert len(json.loads(out)) == 1
