"""Gates over HTTP: judged, previewed, listed; what the client sends and the server answers are the same structs."""

from __future__ import annotations

import msgspec
import pytest

from planner.api.access import PROMOTE, READ, need_of
from planner.client import Client
from planner.errors import InvalidInput, NotFound
from planner.gate.policy_text import parse_policy
from planner.gate.report import GateReport, GateVerdict
from planner.wire.gating import GateAllRequest, GateRequest
from tests.api.process import running_server
from tests.gate.builds import evaluated, register

POLICY = parse_policy("version: 1\ntasks: [{task: maths, margin: 2%}]\non_pass: {move_alias: prod}\n")
BODY = msgspec.to_builtins(POLICY)


@pytest.fixture
def build(workspace, tmp_path):
    base = register(workspace, tmp_path, "base", seed=1)
    made = register(workspace, tmp_path, "build", seed=2, base=base.id)
    evaluated(workspace, made, base, lost=40, gained=40, items=5000)
    return made


def test_a_gate_is_judged_and_found_again(api, build):
    preview = api.post("/api/v1/gates/preview", json={"variant": "build", "policy": BODY})
    assert preview.status_code == 200
    assert preview.json()["verdict"] == "pass"
    assert api.get("/api/v1/gates").json()["items"] == []
    answer = api.post("/api/v1/gates", json={"variant": "build", "policy": BODY})
    report = msgspec.json.decode(answer.content, type=GateReport)
    assert (answer.status_code, report.verdict) == (200, GateVerdict.PASS)
    assert api.get("/api/v1/aliases/prod").json()["alias"]["variant_id"] == build.id
    assert api.get(f"/api/v1/gates/{report.id}").json()["id"] == report.id
    listed = api.get("/api/v1/gates", params={"variant": build.id, "verdict": "pass"}).json()["items"]
    assert [each["id"] for each in listed] == [report.id]
    rows = api.post("/api/v1/gates/all", json={"policy": BODY, "model": "gated-llama"}).json()["items"]
    assert {row["name"]: row["verdict"] for row in rows} == {"base": "inconclusive", "build": "pass"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"policy": {**BODY, "tasks": [{"task": "a", "margin": "1"}]}}, "policy.tasks[0].margin"),
        ({"policy": {**BODY, "tasks": [{"task": "a", "margin": "0%"}]}}, "policy.tasks[0].margin"),
        ({"policy": {**BODY, "tsks": []}}, "policy"),
        ({"against": "prod"}, "against"),
        ({"surprise": 1}, "body"),
    ],
)
def test_a_wrong_request_names_the_field(api, build, change, field):
    answer = api.post("/api/v1/gates", json={"variant": "build", "policy": BODY, **change})
    assert answer.status_code == 422
    assert answer.json()["field"] == field


def test_a_policy_is_checked(api):
    answer = api.post("/api/v1/gates/policy", json=BODY)
    assert answer.json()["policy"]["tasks"][0]["margin"] == "2%"
    assert api.get("/api/v1/gates/none").status_code == 404


def test_judging_is_a_read_and_its_effects_are_not():
    for path in ("/api/v1/gates/preview", "/api/v1/gates/all", "/api/v1/gates/policy"):
        assert need_of("POST", path, path) == READ
    assert need_of("POST", "/api/v1/gates", "/api/v1/gates") == PROMOTE
    assert need_of("GET", "/api/v1/gates/x", "/api/v1/gates/x") == READ


def test_the_client_gives_what_a_workspace_gives(data_dir, tmp_path):
    with running_server(data_dir) as server, Client(server.url) as client:
        base = register(client, tmp_path, "base", seed=1)
        build = register(client, tmp_path, "build", seed=2, base=base.id)
        evaluated(client, build, base, lost=12, gained=10, items=500)
        request = GateRequest(variant="build", policy=POLICY, queue=True, explain=True)
        report = client.gate(request)
        assert report.verdict is GateVerdict.INCONCLUSIVE
        assert report.flips[0].worse == 12
        assert report.jobs[0].state.value == "blocked"
        evaluated(client, build, base, lost=40, gained=40, items=5000)
        assert client.gate(msgspec.structs.replace(request, dry_run=True)).verdict is GateVerdict.PASS
        decided = client.gate(request)
        assert decided.effects[0].done
        assert [each.id for each in client.gates(variant="build").items] == [decided.id, report.id]
        assert client.gate_report(decided.id).verdict is GateVerdict.PASS
        page = client.gate_all(GateAllRequest(policy=POLICY, model="gated-llama"), limit=1)
        assert page.items[0].name == "base"
        assert page.next_cursor is not None
        assert not client.check_policy(POLICY).has_floor
        with pytest.raises(NotFound):
            client.gate(GateRequest(variant="nothing", policy=POLICY))
        with pytest.raises(InvalidInput, match="against"):
            client.gate(GateRequest(variant="build", policy=POLICY, against="prod"))
