"""Jobs over HTTP: what a queued one waits for, logs, parking, workers, and writes under a lease."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tests.api.problems import problem
from tests.workspace.folders import write_llama

Api = TestClient[Litestar]
SPEC = {"variant": {"from": "reference"}}


def _queue(api: Api, *requires: str, **more: Any) -> dict[str, Any]:
    answer = api.post("/api/v1/jobs", json={"kind": "measure", "spec": SPEC, "requires": requires, **more})
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


def _lease(api: Api, worker: str, *capabilities: str) -> dict[str, Any]:
    answer = api.post("/api/v1/jobs/lease", json={"worker": worker, "capabilities": capabilities})
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def _beat(api: Api, lease: dict[str, Any], **more: Any) -> Any:
    return api.post(f"/api/v1/jobs/{lease['job']['id']}/heartbeat", json={"token": lease["token"], **more})


def _park(api: Api) -> str:
    job = _queue(api)
    for worker in ("a", "b"):
        lease = _lease(api, worker)
        failure = {"reason": "crashed", "message": "ended by SIGSEGV", "log_tail": f"words of {worker}"}
        answer = api.post(
            f"/api/v1/jobs/{job['id']}/fail", json={"token": lease["token"], "failure": failure}
        )
        assert answer.status_code == 200
    identifier: str = job["id"]
    return identifier


def test_a_queued_job_says_what_no_worker_meets(api: Api) -> None:
    job = _queue(api, "vram >= 80GiB", "cuda")
    assert job["requires"] == ["vram>=80GiB", "cuda"]
    assert "no worker was seen" in job["unmatched"]["message"]
    assert (
        api.post(
            "/api/v1/jobs/lease", json={"worker": "w", "capabilities": ["cuda", "vram:23.5GiB"]}
        ).status_code
        == 204
    )
    listed = api.get("/api/v1/jobs?state=queued").json()["items"][0]
    assert listed["unmatched"]["requirements"] == ["vram>=80GiB"]
    assert api.get(f"/api/v1/jobs/{job['id']}").json()["unmatched"] == listed["unmatched"]
    _lease(api, "big", "cuda", "vram:139.8GiB")
    assert api.get(f"/api/v1/jobs/{job['id']}").json()["unmatched"] is None


def test_a_requirement_that_is_none_is_refused_by_field(api: Api) -> None:
    answer = api.post("/api/v1/jobs", json={"kind": "measure", "spec": SPEC, "requires": ["vram>=24"]})
    assert problem(answer, status=422, code="invalid-input")["field"] == "requires"


def test_a_log_is_read_while_it_grows(api: Api) -> None:
    job = _queue(api)
    lease = _lease(api, "w")
    assert api.get(f"/api/v1/jobs/{job['id']}/log").json()["text"] == ""
    beat = _beat(api, lease, progress=0.5, log={"start": 0, "end": 4, "text": "one\n"})
    assert beat.json()["attempts"][0]["progress"] == 0.5
    _beat(api, lease, log={"start": 4, "end": 8, "text": "two\n"})
    log = api.get(f"/api/v1/jobs/{job['id']}/log?offset=4&attempt=1").json()
    assert (log["text"], log["next_offset"], log["ended"]) == ("two\n", 8, False)
    stale = {**lease, "token": lease["token"] + 1}
    problem(_beat(api, stale, log={"start": 8, "end": 9, "text": "x"}), status=409, code="lease-lost")
    problem(_beat(api, lease, log={"start": 9, "end": 8, "text": "x"}), status=422, code="invalid-input")
    problem(api.get(f"/api/v1/jobs/{job['id']}/log?attempt=2"), status=422, code="invalid-input")
    problem(api.get("/api/v1/jobs/none/log"), status=404, code="not-found")


def test_a_parked_job_shows_its_evidence_and_is_released(api: Api) -> None:
    identifier = _park(api)
    parked = api.get("/api/v1/jobs?state=parked").json()["items"][0]
    assert parked["id"] == identifier
    assert "a and 2 on b ended alike" in parked["parked_because"]
    assert [attempt["failure"]["log_tail"] for attempt in parked["attempts"]] == ["words of a", "words of b"]
    released = api.post(f"/api/v1/jobs/{identifier}/release").json()
    assert (released["state"], len(released["attempts"])) == ("queued", 2)
    problem(api.post(f"/api/v1/jobs/{identifier}/release"), status=409, code="conflict")
    api.post(f"/api/v1/jobs/{identifier}/cancel")
    assert api.post(f"/api/v1/jobs/{_park(api)}/cancel").json()["state"] == "cancelled"


def test_workers_are_listed_and_told_to_drain(api: Api) -> None:
    job = _queue(api)
    lease = _lease(api, "gpu-1", "cuda")
    (row,) = api.get("/api/v1/workers").json()["items"]
    assert (row["worker"]["name"], row["state"], row["job_id"]) == ("gpu-1", "working", job["id"])
    assert row["worker"]["capabilities"] == ["cuda"]
    assert api.post("/api/v1/workers/gpu-1/drain").json()["state"] == "draining"
    assert _beat(api, lease).status_code == 200, "the running job is finished"
    api.post(f"/api/v1/jobs/{job['id']}/complete", json={"token": lease["token"], "result": {}})
    _queue(api)
    problem(api.post("/api/v1/jobs/lease", json={"worker": "gpu-1"}), status=409, code="draining")
    assert api.post("/api/v1/workers/gpu-1/resume").json()["state"] == "idle"
    _lease(api, "gpu-1")
    answer = problem(api.post("/api/v1/workers/gpu1/drain"), status=404, code="not-found")
    assert answer["extra"]["nearest"] == ["gpu-1"]


@pytest.fixture
def late(api: Api) -> str:
    """The lease header of a worker whose job was cancelled."""
    job = _queue(api)
    lease = _lease(api, "late")
    api.post(f"/api/v1/jobs/{job['id']}/cancel")
    return f"{job['id']};{lease['token']}"


def test_a_late_worker_writes_nothing(api: Api, late: str, tmp_path: Any) -> None:
    headers = {"Planner-Lease": late}
    file = write_llama(tmp_path / "tiny") / "config.json"
    body = file.read_bytes()
    digest = hashlib.sha256(body).hexdigest()
    problem(
        api.put(f"/api/v1/artifacts/{digest}", content=body, headers=headers), status=409, code="lease-lost"
    )
    assert api.head(f"/api/v1/artifacts/{digest}").status_code == 404
    for path in ("variants", "profiles", "evaluations"):
        problem(api.post(f"/api/v1/{path}", json={}, headers=headers), status=409, code="lease-lost")
    problem(api.put("/api/v1/devices/x", json={}, headers=headers), status=409, code="lease-lost")
    assert api.get("/api/v1/models", headers=headers).status_code == 200, "reading is harmless"


def test_the_holder_of_a_lease_writes(api: Api) -> None:
    job = _queue(api)
    lease = _lease(api, "w")
    held = {"Planner-Lease": f"{job['id']};{lease['token']}"}
    assert api.put(f"/api/v1/artifacts/{'0' * 63}1", content=b"x", headers=held).status_code == 422
    wrong = {"Planner-Lease": f"{job['id']};{lease['token'] + 1}"}
    problem(
        api.put(f"/api/v1/artifacts/{'0' * 63}1", content=b"x", headers=wrong), status=409, code="lease-lost"
    )


@pytest.mark.parametrize("value", ["", "job", "job;", ";1", "job;-1", "job;x", "job;" + "9" * 30])
def test_a_header_that_names_no_lease_is_refused(api: Api, value: str) -> None:
    answer = api.post("/api/v1/jobs", json={}, headers={"Planner-Lease": value})
    assert problem(answer, status=422, code="invalid-input")["field"] == "planner-lease"
    problem(
        api.post("/api/v1/jobs", json={}, headers={"Planner-Lease": "none;1"}), status=404, code="not-found"
    )
