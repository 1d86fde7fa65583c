"""The dashboard's types and recorded answers are those of the server as it is now."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.web.conftest import ROOT, WEB, missing

GENERATOR = WEB / "node_modules" / "openapi-typescript" / "bin" / "cli.js"
REMEDY = "run `python -m planner.api.openapi > web/openapi.json` and `npm run types` in web/"


@pytest.fixture(scope="module")
def document() -> str:
    """The document that the server's code describes, as it is printed."""
    printed = subprocess.run(
        [sys.executable, "-m", "planner.api.openapi"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return printed.stdout


def test_the_dashboard_has_the_servers_document(document: str) -> None:
    assert (WEB / "openapi.json").read_text() == document, f"web/openapi.json is stale: {REMEDY}"


def test_the_types_are_generated_from_it(document: str, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None or not GENERATOR.is_file():
        missing("openapi-typescript is not installed: run `npm ci` in web/")
    source, generated = tmp_path / "openapi.json", tmp_path / "schema.d.ts"
    source.write_text(document)
    subprocess.run(
        [str(node), str(GENERATOR), str(source), "-o", str(generated)], check=True, capture_output=True
    )
    kept = (WEB / "src" / "api" / "schema.d.ts").read_text()
    assert kept == generated.read_text(), f"src/api/schema.d.ts is stale: {REMEDY}"


@pytest.mark.parametrize(
    ("name", "component"),
    [("recommended", "Plan"), ("infeasible", "Plan"), ("misunderstood", "Problem")],
)
def test_recorded_answers_are_still_what_the_server_says(document: str, name: str, component: str) -> None:
    components: dict[str, Any] = json.loads(document)["components"]
    schema = {"$ref": f"#/components/schemas/{component}", "components": components}
    recorded = json.loads((WEB / "src" / "fixtures" / f"{name}.json").read_text())
    errors = [error.message for error in Draft202012Validator(schema).iter_errors(recorded)]
    assert not errors, "record them again with `python -m tests.web.record`"
