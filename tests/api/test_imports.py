from __future__ import annotations

from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from planner.client.multipart import multipart
from planner.workspace import Workspace
from tests.api.problems import problem
from tests.ingest import documents
from tests.ingest.documents import encoded
from tests.workspace.folders import write_llama

Api = TestClient[Litestar]


@pytest.fixture
def pair(workspace: Workspace, tmp_path: Path) -> tuple[str, str]:
    base = workspace.register(write_llama(tmp_path / "base", dtype="F32"), model="tiny", name="full").digest
    variant = workspace.register(write_llama(tmp_path / "variant", seed=1), model="tiny", name="small").digest
    return base, variant


def test_one_file_is_the_body(api: Api, workspace: Workspace, pair: tuple[str, str]) -> None:
    device = workspace.devices().items[0].id
    query = f"variant={pair[1]}&device={device}&runtime=vllm%200.33.0&name=serve.json"
    content = encoded(documents.vllm_serve())
    headers = {"content-type": "application/octet-stream"}
    dry = api.post(f"/api/v1/imports?{query}&dry_run=true", content=content, headers=headers)
    assert dry.status_code == 200, dry.text
    assert dry.json()["dry_run"] is True
    assert not api.get(f"/api/v1/profiles?variant={pair[1]}").json()["items"]
    answer = api.post(f"/api/v1/imports?{query}", content=content, headers=headers)
    assert answer.status_code == 201, answer.text
    report = answer.json()
    assert report["format"] == "vllm-serve"
    assert report["files"][0]["name"] == "serve.json"
    assert {finding["lint"] for finding in report["findings"]} == {"L8"}
    assert api.get(f"/api/v1/artifacts/{report['files'][0]['sha256']}").content == content
    assert api.post(f"/api/v1/imports?{query}", content=content, headers=headers).status_code == 200


def test_several_files_are_a_form(api: Api, pair: tuple[str, str]) -> None:
    parts = [("file", name, content) for name, content in documents.lm_eval_files(2)]
    parts += [("baseline_file", name, content) for name, content in documents.lm_eval_files(1)]
    media_type, body = multipart(parts)
    answer = api.post(
        f"/api/v1/imports?variant={pair[1]}&baseline={pair[0]}",
        content=body,
        headers={"content-type": media_type},
    )
    assert answer.status_code == 201, answer.text
    assert {e["task"] for e in answer.json()["evaluations"]} == {"tiny_choice", "tiny_words"}


def test_what_is_missing_or_unknown_is_a_problem(api: Api, pair: tuple[str, str]) -> None:
    headers = {"content-type": "text/plain"}
    content = encoded(documents.vllm_serve())
    for path, body, field in (
        ("imports", content, "variant"),
        (f"imports?variant={pair[1]}", content, "device"),
        (f"imports?variant={pair[1]}&devices=0", content, "devices"),
        (f"imports?variant={pair[1]}", b"{}", "body"),
    ):
        answer = api.post(f"/api/v1/{path}", content=body, headers=headers)
        assert problem(answer, status=422)["field"] == field


def test_a_form_with_other_parts_is_refused(api: Api) -> None:
    media_type, body = multipart([("malware", "x", b"{}")])
    answer = api.post("/api/v1/imports", content=body, headers={"content-type": media_type})
    assert problem(answer, status=422)["field"] == "malware"
    broken = api.post("/api/v1/imports", content=b"--x", headers={"content-type": "multipart/form-data"})
    assert broken.status_code in {400, 422}
