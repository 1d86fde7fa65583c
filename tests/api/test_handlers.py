from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tests.api.problems import problem
from tests.workspace.folders import write_llama

Api = TestClient[Litestar]


def manifest(api: Api, folder: Path, **fields: Any) -> dict[str, Any]:
    """Upload a folder's files; returns the manifest."""
    artifacts = []
    for path in sorted(folder.rglob("*")):
        body = path.read_bytes()
        digest = hashlib.sha256(body).hexdigest()
        assert api.put(f"/api/v1/artifacts/{digest}", content=body).status_code in {200, 201}
        artifacts.append({"path": path.relative_to(folder).as_posix(), "size": len(body), "sha256": digest})
    return {"artifacts": artifacts, **fields}


@pytest.fixture
def variant(api: Api, tmp_path: Path) -> dict[str, Any]:
    body = manifest(api, write_llama(tmp_path / "tiny"), model="tiny")
    answer = api.post("/api/v1/variants", json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()["variant"]
    return found


def test_health(api: Api) -> None:
    document = api.get("/api/v1/health").json()
    assert document["ok"] is True
    assert document["revision"] >= 1
    assert document["version"]


def test_registering(api: Api, tmp_path: Path) -> None:
    body = manifest(api, write_llama(tmp_path / "tiny"), model="tiny", name="first")
    dry = api.post("/api/v1/variants", json=body | {"dry_run": True})
    assert (dry.status_code, dry.json()["created"], dry.json()["dry_run"]) == (200, True, True)
    assert api.get("/api/v1/variants?search=first").json()["items"] == []
    created = api.post("/api/v1/variants", json=body)
    assert created.status_code == 201
    assert created.headers["location"] == f"/api/v1/variants/{created.json()['digest']}"
    again = api.post("/api/v1/variants", json=body)
    assert (again.status_code, again.json()["created"]) == (200, False)
    assert again.json()["variant"] == created.json()["variant"]
    assert api.get(created.headers["location"]).json() == created.json()["variant"]
    assert api.get("/api/v1/variants/tiny/first").json()["id"] == created.json()["digest"]


def test_registering_without_the_bytes(api: Api, tmp_path: Path) -> None:
    body = manifest(api, write_llama(tmp_path / "tiny"), model="tiny")
    body["artifacts"].append({"path": "more.safetensors", "size": 5, "sha256": "0" * 64})
    document = problem(api.post("/api/v1/variants", json=body), status=409, code="conflict")
    assert document["extra"]["missing"] == ["0" * 64]
    dry = api.post("/api/v1/variants", json=body | {"dry_run": True}).json()
    assert (dry["missing"], dry["bytes_new"], dry["variant"]) == (["0" * 64], 5, None)


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a//b", "a\\b", "C:x", "", "a/./b", "x\u0000y", "a" * 600]
)
def test_paths_that_leave_the_folder(api: Api, path: str) -> None:
    body = {"artifacts": [{"path": path, "size": 1, "sha256": "0" * 64}]}
    assert problem(api.post("/api/v1/variants", json=body), status=422)["field"] == "artifact.path"


def test_pickles_are_refused(api: Api, tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "tiny")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04K\x01.")
    problem(api.post("/api/v1/variants", json=manifest(api, folder)), status=422, code="unsafe-file")


def test_filters_sort_and_pages(shared_api: Api) -> None:
    def ids(query: str) -> list[str]:
        found: list[str] = []
        cursor = ""
        while True:
            page = shared_api.get(f"/api/v1/variants?limit=50{query}{cursor}").json()
            found += [row["variant"]["id"] for row in page["items"]]
            if not page["next_cursor"]:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    everything = ids("")
    assert len(everything) == len(set(everything)) > 500
    by_weight = ids("&sort=weight_bytes")
    assert sorted(by_weight) == sorted(everything)
    four = ids("&min_bits=4&max_bits=4")
    assert 0 < len(four) < len(everything)
    rows = shared_api.get("/api/v1/variants?max_loss=0.01&sort=-loss&limit=200").json()["items"]
    assert rows
    assert all(row["loss"]["value"] <= 0.01 for row in rows), "what is not known does not pass"
    assert shared_api.get("/api/v1/variants?max_loss=2").status_code == 422
    weights = [
        row["variant"]["weight_bytes"]["value"]
        for row in shared_api.get("/api/v1/variants?sort=-weight_bytes&limit=200").json()["items"]
    ]
    assert weights == sorted(weights, reverse=True)
    limit = int(weights[-1])
    small = shared_api.get(f"/api/v1/variants?max_weight_bytes={limit}&sort=-weight_bytes&limit=1").json()
    assert small["items"][0]["variant"]["weight_bytes"]["value"] <= limit
    assert ids("&fetchable=true") == []


def test_evidence(api: Api, variant: dict[str, Any]) -> None:
    device = api.get("/api/v1/devices?limit=1").json()["items"][0]["id"]
    profile = {
        "id": "p1",
        "variant_id": variant["id"],
        "device_id": device,
        "runtime": {"name": "transformers", "version": "5"},
        "basis": "measured",
        "points": [
            {
                "workload": {"input_tokens": 128, "output_tokens": 32, "concurrency": 1},
                "tpot_seconds": {"samples": 5, "mean": 0.01, "p50": 0.01},
            }
        ],
    }
    first = api.post("/api/v1/profiles", json=profile)
    assert (first.status_code, first.json()) == (201, {"id": "p1", "created": True})
    assert api.post("/api/v1/profiles", json=profile).status_code == 200
    problem(api.post("/api/v1/profiles", json=profile | {"load_seconds": 3.0}), status=409, code="conflict")
    problem(api.post("/api/v1/profiles", json=profile | {"id": "p2", "variant_id": "nothing"}), status=404)
    found = api.get(f"/api/v1/profiles?variant=tiny/bf16&device={device}").json()["items"]
    assert [item["id"] for item in found] == ["p1"]
    figure = {"value": 0.01, "unit": "ratio", "basis": "measured"}
    evaluation = {
        "id": "e1",
        "variant_id": variant["id"],
        "task": "wikitext",
        "metric": "perplexity",
        "higher_is_better": False,
        "basis": "measured",
        "baseline_score": 10.0,
        "variant_score": 10.1,
        "relative_loss": figure,
    }
    assert api.post("/api/v1/evaluations", json=evaluation).status_code == 201
    row = api.get("/api/v1/variants?search=tiny").json()["items"][0]
    assert (row["loss"]["value"], row["profile_count"]) == (0.01, 1)


def test_devices(api: Api) -> None:
    device = {"id": "my-cpu", "name": "My CPU", "kind": "cpu", "vendor": "me", "memory_bytes": 2**34}
    assert api.put("/api/v1/devices/my-cpu", json=device).status_code == 200
    assert api.get("/api/v1/devices/MY%20CPU").json()["id"] == "my-cpu"
    assert problem(api.put("/api/v1/devices/other", json=device), status=422)["field"] == "id"


def test_aliases(api: Api, variant: dict[str, Any]) -> None:
    url = "/api/v1/aliases/prod"
    problem(api.put(url, json={"variant": "nothing"}), status=404)
    moved = api.put(url, json={"variant": variant["id"][:20], "expected": None, "actor": "ci"})
    assert (moved.status_code, moved.json()["variant_id"]) == (200, variant["id"])
    document = problem(api.put(url, json={"variant": variant["id"], "expected": None}), status=409)
    assert document["extra"]["current"] == variant["id"]
    assert api.get("/api/v1/variants/prod").json()["id"] == variant["id"]
    history = api.get(url).json()
    assert (history["alias"]["name"], [move["actor"] for move in history["moves"]]) == ("prod", ["ci"])
    assert [alias["name"] for alias in api.get("/api/v1/aliases").json()["items"]] == ["prod"]


def test_jobs(api: Api) -> None:
    assert api.post("/api/v1/jobs/lease", json={"worker": "w"}).status_code == 204
    spec = {"base": {"from": "reference"}, "recipe": {"recipe": "int8"}}
    job = api.post("/api/v1/jobs", json={"kind": "build", "spec": spec, "requires": ["cuda"]})
    assert job.status_code == 201
    url = f"/api/v1/jobs/{job.json()['id']}"
    assert api.post("/api/v1/jobs/lease", json={"worker": "w"}).status_code == 204
    lease = api.post("/api/v1/jobs/lease", json={"worker": "w", "capabilities": ["cuda"]}).json()
    token = lease["token"]
    beat = api.post(f"{url}/heartbeat", json={"token": token, "progress": 0.5, "message": "half"})
    assert beat.json()["attempts"][0]["progress"] == 0.5
    assert (
        problem(api.post(f"{url}/heartbeat", json={"token": token, "progress": 2}), status=422)["field"]
        == "progress"
    )
    problem(
        api.post(f"{url}/complete", json={"token": token + 1, "result": {}}), status=409, code="lease-lost"
    )
    failure = {"reason": "network", "message": "reset"}
    failed = api.post(f"{url}/fail", json={"token": token, "failure": failure})
    assert failed.status_code == 200, failed.text
    assert failed.json()["state"] == "queued"
    token = api.post("/api/v1/jobs/lease", json={"worker": "w2", "capabilities": ["cuda"]}).json()["token"]
    done = api.post(f"{url}/complete", json={"token": token, "result": {"variant_id": "x"}})
    assert done.json()["state"] == "succeeded"
    assert api.post(f"{url}/cancel").json()["state"] == "succeeded"
    assert [found["id"] for found in api.get("/api/v1/jobs?state=succeeded").json()["items"]] == [
        job.json()["id"]
    ]
    problem(api.post("/api/v1/jobs", json={"kind": "build", "spec": {}}), status=422)
    document = problem(api.post("/api/v1/jobs", json={"kind": "build", "spec": {"x": 1}}), status=422)
    assert document["field"] == "spec.x"
    assert "base, recipe" in document["allowed"]
    problem(api.post("/api/v1/jobs/nothing/cancel"), status=404)


def test_plans(api: Api) -> None:
    plan = api.get("/api/v1/recommend", params={"q": "13B on 24GB, <=2% loss"}).json()
    assert plan["query"] == "13B on 24GB, <=2% loss"
    assert api.get(f"/api/v1/plans/{plan['id']}").json() == plan
    again = api.post("/api/v1/recommend", json=plan["scenario"])
    assert again.status_code == 200
    assert again.json()["result"] == plan["result"]
    words = api.post("/api/v1/recommend", json={"query": plan["query"]})
    assert words.json()["result"] == plan["result"]
    replay = api.post(f"/api/v1/plans/{plan['id']}/replay").json()
    assert replay["identical"] is True
    rows = api.get("/api/v1/plans").json()["items"]
    assert [row["id"] for row in rows] == [words.json()["id"], again.json()["id"], plan["id"]]
    chosen = plan["result"]["chosen"]["variant_id"]
    why = api.get(f"/api/v1/plans/{plan['id']}/why", params={"variant": chosen}).json()
    assert (why["variant_id"], why["chosen"]) == (chosen, True)
    other = api.get("/api/v1/variants?model=llama-2-70b&limit=1").json()["items"][0]["variant"]["id"]
    why = api.get("/api/v1/why", params={"q": plan["query"], "variant": other}).json()
    assert why["chosen"] is False
    assert why["elimination"]["key"] == "model"


def test_infeasible_is_an_answer(api: Api) -> None:
    plan = api.get("/api/v1/recommend", params={"q": "70B on 8GB"})
    assert plan.status_code == 200
    assert plan.json()["result"]["outcome"] == "infeasible"


def test_understand(shared_api: Api) -> None:
    found = shared_api.get("/api/v1/understand", params={"q": "24GB显存跑13B,精度损失不超过1%"}).json()
    assert found["scenario"]["model"]["size_billions"] == 13
    assert found["scenario"]["hardware"]["memory_bytes"] == 24 * 2**30
    again = shared_api.get("/api/v1/understand", params={"q": found["echo"]}).json()
    assert again["echo"] == found["echo"]
    document = problem(
        shared_api.get("/api/v1/understand", params={"q": "13B on 24GB blorp"}),
        status=422,
        code="invalid-query",
    )
    assert document["extra"]["position"] == 12


def test_presets(shared_api: Api) -> None:
    presets = shared_api.get("/api/v1/presets").json()
    assert {"id", "name", "description", "workload"} <= set(presets[0])
