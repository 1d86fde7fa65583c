from __future__ import annotations

import json
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from planner.workspace import Workspace
from tests.api.problems import problem

Api = TestClient[Litestar]


def test_unknown_path(api: Api) -> None:
    document = problem(api.get("/api/v1/nothing"), status=404, code="not-found")
    assert "/api/v1/nothing" in document["detail"]


def test_wrong_method(api: Api) -> None:
    answer = api.delete("/api/v1/models")
    problem(answer, status=405, code="method-not-allowed")
    assert "GET" in answer.headers["allow"]


def test_unknown_things_name_the_nearest(api: Api) -> None:
    document = problem(api.get("/api/v1/models/llama-2-13c"), status=404, code="not-found")
    assert "llama-2-13b" in document["extra"]["nearest"]


def test_a_field_is_named_with_what_is_allowed(api: Api) -> None:
    document = problem(api.get("/api/v1/variants?limit=0"), status=422, code="invalid-input")
    assert document["field"] == "limit"
    document = problem(api.get("/api/v1/variants?format=zip"), status=422)
    assert document["field"] == "format"
    document = problem(api.get("/api/v1/jobs?state=asleep"), status=422)
    assert document["field"] == "state"
    document = problem(
        api.post("/api/v1/recommend", json={"hardware": {"memory_bytes": 1, "count": 0}}), status=422
    )
    assert document["field"] == "hardware.count"
    assert document["allowed"] == "1 to 1024"


def test_unknown_and_missing_query_parameters_are_named(api: Api) -> None:
    document = problem(api.get("/api/v1/variants?bogus=1"), status=422, code="invalid-input")
    assert document["field"] == "bogus"
    assert "format" in document["allowed"]
    assert "max_weight_bytes" in document["allowed"]
    assert problem(api.get("/api/v1/recommend"), status=422)["field"] == "q"
    assert problem(api.get("/api/v1/why?q=13B"), status=422)["field"] == "variant"
    assert problem(api.get("/api/v1/health?x="), status=422)["allowed"] == "no query parameters"
    problem(api.post("/api/v1/jobs/lease?worker=w", json={"worker": "w"}), status=422)
    assert api.head(f"/api/v1/artifacts/{'0' * 64}").status_code == 404
    for path in ("/metrics?x=1", "/schema/openapi.json?x=1", "/?x=1"):
        assert api.get(path).status_code == 200


@pytest.mark.parametrize(
    ("scenario", "field", "nearest"),
    [
        ({"hardware": {"device_id": "rtx-409"}}, "hardware.device_id", "rtx-4090"),
        ({"model": {"kind": "model", "value": "llama-2-13c"}}, "model.value", "llama-2-13b"),
    ],
)
def test_unknown_names_in_a_scenario_are_fields(
    api: Api, scenario: dict[str, Any], field: str, nearest: str
) -> None:
    document = problem(api.post("/api/v1/recommend", json=scenario), status=422, code="invalid-input")
    assert document["field"] == field
    assert nearest in document["allowed"]


def test_nested_fields_are_named_by_their_path(api: Api) -> None:
    profile: dict[str, Any] = {
        "id": "p",
        "variant_id": "v",
        "device_id": "d",
        "runtime": {"name": "vllm"},
        "basis": "measured",
        "points": [{"workload": {}, "ttft_seconds": {"samples": "three", "mean": 1}}],
    }
    document = problem(api.post("/api/v1/profiles", json=profile), status=422)
    assert document["field"] == "points[0].ttft_seconds.samples"


def test_bodies_are_strict(api: Api) -> None:
    job: dict[str, Any] = {"kind": "build", "spec": {"a": 1}, "max_attempts": "3"}
    assert problem(api.post("/api/v1/jobs", json=job), status=422)["field"] == "max_attempts"
    job = {"kind": "build", "spec": {"a": 1}, "max_atempts": 3}
    assert "max_atempts" in problem(api.post("/api/v1/jobs", json=job), status=422)["detail"]


def test_an_unexpected_error_tells_nothing_but_an_incident(
    api: Api, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(**_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(workspace, "models", explode)
    answer = api.get("/api/v1/models")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    incident = answer.json()["extra"]["incident"]
    assert any(incident in record.getMessage() and record.exc_info for record in caplog.records)


def test_a_database_that_is_away_is_503(
    api: Api, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from planner.errors import Unavailable

    def away() -> int:
        raise Unavailable("the database cannot be reached")

    monkeypatch.setattr(workspace.registry, "revision", away)
    answer = api.get("/api/v1/health")
    assert answer.status_code == 503
    assert answer.json()["database"] == {"ok": False, "detail": "the database cannot be reached"}
    answer = api.get("/api/v1/recommend?q=13B")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


DEEP = "[" * 100_000 + "]" * 100_000
HOSTILE_BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"12",
    b"\xff\xfe",
    b'{"query": "\xff"}',
    b'{"query": 1}',
    b'{"query": null}',
    b'{"query": ""}',
    b'{"query": "\\u0000"}',
    b'{"query": "\\ud800"}',
    b'{"query": "x", "query2": 1}',
    b'{"risk": NaN}',
    b'{"risk": 1e999}',
    b'{"risk": 0}',
    b'{"hardware": {"memory_bytes": ' + b"9" * 400 + b"}}",
    b'{"hardware": {"memory_bytes": -1}}',
    b'{"hardware": {"memory_bytes": 1.5}}',
    b'{"hardware": []}',
    b'{"constraints": [{"type": "loss", "limit": -1}]}',
    b'{"constraints": [{"type": "loss", "limit": 0.1}, {"type": "loss", "limit": 0.2}]}',
    b'{"constraints": [{"type": "nothing"}]}',
    b'{"constraints": [{"limit": 1}]}',
    b'{"workload": {"input_tokens": 0, "output_tokens": 1, "concurrency": 1}}',
    b'{"objective": "prettiest"}',
    b'{"unknown": 1}',
    DEEP.encode(),
    b'{"origins": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"}",
]


@pytest.mark.parametrize("body", HOSTILE_BODIES, ids=range(len(HOSTILE_BODIES)))
@pytest.mark.parametrize(
    "path",
    [
        "recommend",
        "variants",
        "profiles",
        "evaluations",
        "jobs",
        "jobs/lease",
        "jobs/x/complete",
        "artifacts/missing",
    ],
)
def test_hostile_bodies(shared_api: Api, path: str, body: bytes) -> None:
    problem(shared_api.post(f"/api/v1/{path}", content=body, headers={"Content-Type": "application/json"}))


HOSTILE_TEXT = [
    "%00",
    "%ED%A0%80",
    "%FF",
    "a" * 5000,
    "🦙" * 600,
    "..%2F..%2Fetc%2Fpasswd",
    "'%20OR%201=1",
    "%25",
    "\u202ex",
]


@pytest.mark.parametrize("text", HOSTILE_TEXT)
@pytest.mark.parametrize(
    "path",
    [
        "models/{}",
        "variants/{}",
        "devices/{}",
        "jobs/{}",
        "plans/{}",
        "plans/{}/why?variant=x",
        "aliases/{}",
        "models?cursor={}",
        "variants?cursor={}",
        "jobs?cursor={}",
        "plans?cursor={}",
        "variants?sort={}",
        "variants?model={}",
        "variants?max_weight_bytes={}",
        "variants?fetchable={}",
        "profiles?variant={}",
        "profiles?device={}",
        "plans/x/why?variant={}",
        "recommend?q={}&q={}&limit",
    ],
)
def test_hostile_text(shared_api: Api, path: str, text: str) -> None:
    if path.startswith("recommend"):
        assert shared_api.get(f"/api/v1/{path.format(text, text)}").status_code < 500
    else:
        problem(shared_api.get(f"/api/v1/{path.format(text)}"))


@pytest.mark.parametrize(
    "query",
    [
        "variants?limit=99999999999999999999999999",
        "variants?limit=-1",
        "variants?limit=1.5",
        "variants?limit=",
        "variants?min_bits=nan",
        "variants?max_weight_bytes=1e400",
        "variants?max_weight_bytes=" + "9" * 5000,
        "variants?cursor=AAAA",
        "recommend",
        "recommend?q=",
        "understand",
        "why?q=13B",
        "why?variant=x",
    ],
)
def test_hostile_queries(shared_api: Api, query: str) -> None:
    problem(shared_api.get(f"/api/v1/{query}"), status=422)


def test_a_cursor_of_another_list_is_refused(api: Api) -> None:
    cursor = api.get("/api/v1/variants?limit=1").json()["next_cursor"]
    assert api.get(f"/api/v1/variants?limit=1&cursor={cursor}").status_code == 200
    for other in (
        f"models?cursor={cursor}",
        f"variants?sort=-name&cursor={cursor}",
        f"variants?scheme=int4&cursor={cursor}",
    ):
        assert problem(api.get(f"/api/v1/{other}"), status=422)["field"] == "cursor"


def test_a_body_that_is_too_large(api: Api) -> None:
    body = json.dumps({"kind": "build", "spec": {"a": "x" * (33 * 1024 * 1024)}}).encode()
    problem(api.post("/api/v1/jobs", content=body, headers={"Content-Type": "application/json"}), status=413)


def test_error_documentation_lists_every_code() -> None:
    from pathlib import Path

    from planner.api import errors as _  # noqa: F401 - defines the classes of the API
    from planner.errors import PlannerError

    def codes(root: type[PlannerError]) -> set[str]:
        found = {root.code}
        for child in root.__subclasses__():
            found |= codes(child)
        return found

    text: Any = (Path(__file__).resolve().parents[2] / "docs" / "errors.md").read_text()
    headings = {line.removeprefix("## ").strip("` ") for line in text.splitlines() if line.startswith("## ")}
    assert codes(PlannerError) <= headings
