from typing import Any

import pytest
import yaml
from litestar import Litestar
from litestar.testing import TestClient

from planner.domain.outcome import Recommended
from planner.workspace import Workspace
from tests.workspace.folders import write_llama

QUERY = "the smallest tiny-deployed on 24GB, concurrency 2"


@pytest.fixture
def plan_id(workspace: Workspace, tmp_path: Any) -> str:
    workspace.register(write_llama(tmp_path / "tiny"), model="tiny-deployed", name="tiny-deployed-bf16")
    plan = workspace.recommend(query=QUERY)
    assert isinstance(plan.result, Recommended)
    return plan.id


def test_a_plan_is_locked_checked_and_deployed(api: TestClient[Litestar], plan_id: str) -> None:
    locked = api.post("/api/v1/lock", json={"plan_id": plan_id, "runtime": "vllm"})
    assert locked.status_code == 200
    lock = locked.json()
    assert lock["plan"]["plan_id"] == plan_id
    assert lock["variant"]["fetchable"] is True
    checked = api.post("/api/v1/check", json=lock)
    assert checked.status_code == 200
    assert checked.json()["status"] == "feasible"
    for body in (
        {"plan_id": plan_id, "runtime": "vllm", "options": {"target": "kubernetes"}},
        {"lock": lock, "options": {"target": "kubernetes"}},
    ):
        made = api.post("/api/v1/deploy", json=body)
        assert made.status_code == 200, made.text
        (document,) = made.json()["documents"]
        assert [each["kind"] for each in yaml.safe_load_all(document["content"])][-1] == "Service"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/lock", {"plan_id": "PLAN", "runtime": "tgi"}, "runtime"),
        ("/lock", {"plan_id": "PLAN", "runtime": "llama.cpp"}, "runtime"),
        ("/lock", {"plan": "PLAN"}, None),
        ("/check", {"lock_version": 1}, None),
        ("/deploy", {"plan_id": "PLAN"}, None),
        ("/deploy", {"options": {"target": "vllm"}}, "plan_id"),
        ("/deploy", {"plan_id": "PLAN", "options": {"target": "helm"}}, "options.target"),
        ("/deploy", {"plan_id": "PLAN", "options": {"target": "compose", "port": 0}}, "port"),
        ("/deploy", {"plan_id": "PLAN", "options": {"target": "compose", "image": "$(id)"}}, "image"),
    ],
)
def test_what_is_wrong_is_named(
    api: TestClient[Litestar], plan_id: str, path: str, body: dict[str, Any], field: str | None
) -> None:
    sent = {key: plan_id if value == "PLAN" else value for key, value in body.items()}
    answer = api.post(f"/api/v1{path}", json=sent)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem["code"] == "invalid-input"
    if field is not None:
        assert problem["field"] == field


def test_a_lock_whose_files_are_others_is_refused(api: TestClient[Litestar], plan_id: str) -> None:
    lock = api.post("/api/v1/lock", json={"plan_id": plan_id}).json()
    lock["files"][0]["sha256"] = "0" * 64
    answer = api.post("/api/v1/deploy", json={"lock": lock, "options": {"target": "vllm"}})
    assert answer.status_code == 422
    assert answer.json()["field"] == "variant.id"


def test_an_infeasible_plan_has_nothing_to_lock(api: TestClient[Litestar], workspace: Workspace) -> None:
    plan = workspace.recommend(query="70B on 8GB, ≤0.1% loss")
    answer = api.post("/api/v1/lock", json={"plan_id": plan.id})
    assert answer.status_code == 422
    assert "infeasible" in answer.json()["problem"]
    assert api.post("/api/v1/lock", json={"plan_id": "nope"}).status_code == 404
