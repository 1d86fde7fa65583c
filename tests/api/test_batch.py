from __future__ import annotations

from litestar import Litestar
from litestar.testing import TestClient

from planner.client import Client
from planner.domain.fleet import Demand, Fleet
from planner.domain.scenario import ModelSelector, Scenario, SelectorKind
from planner.domain.training import TrainingRequest
from planner.wire.requests import MAX_BATCH
from planner.workspace import Workspace
from tests.api.problems import problem

Api = TestClient[Litestar]
QUESTION = {"query": "13B on 24GB, <=1% loss"}


def test_every_item_is_answered_or_refused_in_order(api: Api) -> None:
    items = [
        QUESTION,
        {"query": "nonsense words"},
        {"model": {"kind": "size", "size_billions": 70}, "hardware": {"memory_bytes": 2**33}},
        {"modle": {}},
        17,
        {"hardware": {"device_id": "no-such-device"}},
    ]
    reply = api.post("/api/v1/recommend/batch", json={"questions": items})
    assert reply.status_code == 200
    answers = reply.json()["answers"]
    assert [("plan" in a, a.get("problem", {}).get("code")) for a in answers] == [
        (True, None),
        (False, "invalid-query"),
        (True, None),
        (False, "invalid-input"),
        (False, "invalid-input"),
        (False, "not-found"),
    ]
    assert answers[2]["plan"]["result"]["outcome"] == "infeasible"
    stored = answers[0]["plan"]
    assert api.get(f"/api/v1/plans/{stored['id']}").json() == stored
    alone = api.post("/api/v1/recommend", json=QUESTION).json()
    assert alone["result"] == stored["result"]


def test_an_empty_and_an_oversized_batch_are_refused(api: Api) -> None:
    for items in ([], [QUESTION] * (MAX_BATCH + 1)):
        assert problem(api.post("/api/v1/recommend/batch", json={"questions": items}))["field"] == "questions"
    assert problem(api.post("/api/v1/recommend/batch", json={"items": []}))["code"] == "invalid-input"


def test_fleet_and_training_are_answered(api: Api) -> None:
    body = {
        "pool": {"l4": 4, "a100-80gb-sxm": 1},
        "demands": [{"name": "chat", "query": "8B, <=5% loss", "requests_per_second": 0.5}],
    }
    placed = api.post("/api/v1/fleet", json=body).json()["result"]
    assert placed["outcome"] == "placed"
    assert placed["assignments"][0]["demand"] == "chat"
    body["demands"][0]["requests_per_second"] = 500.0  # type: ignore[index]
    assert api.post("/api/v1/fleet", json=body).json()["result"]["outcome"] == "infeasible"
    assert problem(api.post("/api/v1/fleet", json={**body, "pool": {}}))["field"] == "pool"
    plan = api.post("/api/v1/training", json={"query": "qat 7B on 2x24GB"}).json()
    assert plan["fits"] is False
    assert plan["changes"]
    assert problem(api.post("/api/v1/training", json={"query": "bake 7B on 24GB"}))["field"] == "query"


def test_client_and_workspace_answer_alike(api: Api, workspace: Workspace) -> None:
    client = Client("http://localhost", transport=api._transport)
    questions = (
        "13B on 24GB, <=1% loss",
        Scenario(model=ModelSelector(kind=SelectorKind.SIZE, size_billions=8)),
    )
    over_http = client.recommend_batch(questions)
    in_process = workspace.recommend_batch(questions)
    assert [a.plan and a.plan.result for a in over_http] == [a.plan and a.plan.result for a in in_process]
    fleet = Fleet(pool={"l4": 2}, demands=(Demand(name="a", query="8B, <=5% loss", requests_per_second=0.1),))
    assert client.fleet(fleet).result == workspace.fleet(fleet).result
    request = TrainingRequest(query="finetune llama-3.1-8b on 8x h100-sxm")
    assert client.training(request) == workspace.training(request)
