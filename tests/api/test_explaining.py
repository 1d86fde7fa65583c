"""Comparing, sweeping, and queueing what would change an answer, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tests.api.problems import problem
from tests.api.test_handlers import manifest
from tests.workspace.folders import write_llama

Api = TestClient[Litestar]
QUESTION = "13B on 24GB, <=2% loss"


@pytest.fixture
def variant(api: Api, tmp_path: Path) -> dict[str, Any]:
    answer = api.post("/api/v1/variants", json=manifest(api, write_llama(tmp_path / "tiny"), model="tiny"))
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()["variant"]
    return found


def test_variants_and_plans_are_compared(api: Api) -> None:
    rows = api.get("/api/v1/variants?model=llama-2-13b&limit=3").json()["items"]
    names = [row["variant"]["id"] for row in rows]
    bare = api.post("/api/v1/compare", json={"variants": names})
    assert bare.status_code == 200
    assert [thing["variant_id"] for thing in bare.json()["things"]] == names
    asked = api.post("/api/v1/compare", json={"variants": names, "query": QUESTION}).json()
    assert all(thing["verdict"] for thing in asked["things"])
    plans = [api.get("/api/v1/recommend", params={"q": q}).json()["id"] for q in (QUESTION, "70B on 8GB")]
    both = api.post("/api/v1/compare/plans", json={"plans": plans}).json()
    assert [thing["plan_id"] for thing in both["things"]] == plans
    in_plan = api.post("/api/v1/compare", json={"variants": names, "plan_id": plans[0]}).json()
    assert in_plan["figures"] == asked["figures"]
    refused = api.post("/api/v1/compare", json={"variants": names[:1]})
    assert problem(refused, status=422, code="invalid-input")["field"] == "variants"
    problem(
        api.post("/api/v1/compare/plans", json={"plans": [plans[0], "nothing"]}), status=404, code="not-found"
    )


def test_a_bound_is_swept(api: Api) -> None:
    curve = api.get("/api/v1/sweep", params={"q": QUESTION, "over": "memory=4GiB..64GiB/12"}).json()
    assert len(curve["points"]) == 12
    assert curve["points"][0]["outcome"] == "infeasible"
    assert curve["points"][-1]["outcome"] == "recommended"
    assert curve["breakpoints"][0]["value"] == curve["breakpoints"][0]["below"] + 1
    plan = api.get("/api/v1/recommend", params={"q": QUESTION}).json()["id"]
    again = api.get(f"/api/v1/plans/{plan}/sweep", params={"over": "memory=4GiB..64GiB/12"}).json()
    assert again["points"] == curve["points"]
    refused = api.get("/api/v1/sweep", params={"q": QUESTION, "over": "memory=4GiB..x"})
    assert problem(refused, status=422, code="invalid-input")["field"] == "over.to"
    problem(api.get("/api/v1/sweep", params={"q": QUESTION}), status=422, code="invalid-input")


def test_what_is_only_published_is_named_and_not_queued(api: Api) -> None:
    plan = api.get("/api/v1/recommend", params={"q": QUESTION}).json()["id"]
    advice = api.get(f"/api/v1/plans/{plan}/measurements").json()
    assert advice["measurements"]
    assert api.get("/api/v1/measurements", params={"q": QUESTION}).json() == advice
    queued = api.post(f"/api/v1/plans/{plan}/measurements", json={"count": 2})
    assert queued.status_code == 201
    assert queued.json()["jobs"] == []
    assert any("holds no files" in reason for reason in queued.json()["passed_over"])
    problem(api.post(f"/api/v1/plans/{plan}/builds", json={"count": 0}), status=422, code="invalid-input")


def test_a_build_and_a_measurement_are_queued_for_a_registered_model(
    api: Api, variant: dict[str, Any]
) -> None:
    scenario = {
        "model": {"kind": "model", "value": variant["model_id"]},
        "hardware": {"memory_bytes": 8 * 1024**3},
        "workload": {"input_tokens": 64, "output_tokens": 16, "concurrency": 1},
        "constraints": [{"type": "scheme", "words": ["int8"]}],
    }
    plan = api.post("/api/v1/recommend", json=scenario).json()
    assert plan["result"]["outcome"] == "infeasible"
    advice = api.get(f"/api/v1/plans/{plan['id']}/builds").json()
    assert advice["builds"][0]["purpose"] == "satisfies"
    queued = api.post(f"/api/v1/plans/{plan['id']}/builds", json={}).json()
    (job,) = queued["jobs"]
    assert job["kind"] == "build"
    assert job["state"] == "queued"
    assert job["spec"]["base"] == {"from": "registry", "variant": variant["id"]}
    assert job["spec"]["recipe"]["recipe"] == advice["builds"][0]["recipe"]
    assert api.get(f"/api/v1/jobs/{job['id']}").json()["spec"] == job["spec"]


def test_why_carries_findings_and_what_is_needed(api: Api) -> None:
    why = api.get("/api/v1/why", params={"q": "70B on 8GB", "variant": "llama-2-70b-fp16"}).json()
    memory = next(each for each in why["findings"] if each["key"] == "memory")
    assert memory["origin"] == "asked"
    assert memory["verdict"] == "violated"
    assert memory["margin"] > 1
    assert why["needed"][0]["key"] == "memory"
