from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from litestar import Litestar
from litestar.testing import TestClient

from planner.api.app import create_app
from planner.api.openapi import document_of
from planner.settings import load_settings

Api = TestClient[Litestar]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return document_of(create_app(load_settings({}, data_dir=Path("unused"))))


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def test_version_and_components(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    names = set(document["components"]["schemas"])
    assert {
        "Plan",
        "Recommended",
        "Infeasible",
        "Scenario",
        "Candidate",
        "Figure",
        "VariantPage",
        "Problem",
    } <= names
    assert not [name for name in names if "." in name or "[" in name]


def test_outcomes_are_told_apart_by_their_tag(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Plan"]["properties"]["result"]["oneOf"] == [
        {"$ref": "#/components/schemas/Recommended"},
        {"$ref": "#/components/schemas/Infeasible"},
    ]
    assert schemas["Infeasible"]["properties"]["outcome"] == {"const": "infeasible", "type": "string"}


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    seen = set()
    for path, method, operation in operations(document):
        assert operation["operationId"].isidentifier(), path
        assert operation["operationId"] not in seen
        seen.add(operation["operationId"])
        assert len(operation["summary"]) > 10, path
        assert operation["tags"], path
        assert "application/problem+json" in operation["responses"]["default"]["content"], (path, method)
        assert "400" not in operation["responses"]


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(node: object) -> list[str]:
        if isinstance(node, dict):
            found = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return found + [ref for value in node.values() for ref in references(value)]
        return [ref for value in node for ref in references(value)] if isinstance(node, list) else []

    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]


@pytest.mark.parametrize(
    ("path", "component"),
    [
        ("/api/v1/health", "Health"),
        ("/api/v1/models", "ModelPage"),
        ("/api/v1/models/llama-2-13b", "Model"),
        ("/api/v1/variants?limit=200", "VariantPage"),
        ("/api/v1/devices", "DevicePage"),
        ("/api/v1/profiles?limit=200", "ProfilePage"),
        ("/api/v1/evaluations?limit=200", "EvaluationPage"),
        ("/api/v1/recommend?q=13B on 24GB, <=1%25 loss", "Plan"),
        ("/api/v1/recommend?q=70B on 8GB", "Plan"),
        ("/api/v1/understand?q=13B on 24GB", "Understanding"),
        ("/api/v1/models/nothing", "Problem"),
    ],
)
def test_real_answers_are_as_described(api: Api, document: dict[str, Any], path: str, component: str) -> None:
    schema = {"$ref": f"#/components/schemas/{component}", "components": document["components"]}
    errors = list(Draft202012Validator(schema).iter_errors(api.get(path).json()))
    assert not errors, errors[0].message


def test_is_served_and_printed_alike(api: Api) -> None:
    served = api.get("/schema/openapi.json")
    assert served.status_code == 200
    printed = subprocess.run(
        [sys.executable, "-m", "planner.api.openapi"],
        capture_output=True,
        check=True,
        cwd=ROOT,
    )
    assert json.loads(printed.stdout) == served.json()
    assert printed.stdout.endswith(b"}\n")


def test_the_dashboards_copy_is_current(document: dict[str, Any]) -> None:
    """`python -m planner.api.openapi > web/openapi.json && npm --prefix web run types` brings it up to date."""
    copy = json.loads((ROOT / "web" / "openapi.json").read_text())
    assert json.loads(msgspec.json.encode(document, enc_hook=str)) == copy


def test_metrics_group_paths(api: Api) -> None:
    api.get("/api/v1/models/llama-2-13b")
    text = api.get("/metrics").text
    assert 'path="/api/v1/models/{name}"' in text
    assert "llama-2-13b" not in text
