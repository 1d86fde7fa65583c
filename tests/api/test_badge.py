from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient

from planner.api.badge_drawing import draw, width
from planner.domain.figure import Basis
from planner.domain.profile import ProfilePoint
from planner.workspace import Workspace
from tests.registry.conftest import Make
from tests.workspace.folders import write_llama

Api = TestClient[Litestar]


@pytest.fixture
def variant(workspace: Workspace, tmp_path: Path) -> str:
    done = workspace.register(write_llama(tmp_path / "tiny"), model="tiny")
    workspace.move_alias("prod", done.digest)
    return done.digest


def text_of(body: str) -> str:
    root = ET.fromstring(body)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return root.attrib["aria-label"]


def test_without_evidence_it_says_so(api: Api, variant: str) -> None:
    answer = api.get("/badge/models/tiny/prod.svg")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert text_of(answer.text) == "prod: bf16 · no evidence"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "max-age=300" in answer.headers["cache-control"]
    again = api.get("/badge/models/tiny/prod.svg", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_measured_evidence_is_shown_and_no_other(api: Api, workspace: Workspace, variant: str) -> None:
    make, device = Make(), "l4"
    mine = workspace.variant(variant)
    for basis, id_, loss in (
        (Basis.IMPORTED, "e-imported", 0.5),
        (Basis.MEASURED, "e-measured", 0.006),
    ):
        workspace.submit_evaluation(make.evaluation(mine, id_, loss=loss, basis=basis, task=f"arc-{id_}"))
    point = make.profile(mine).points[0]
    assert point.ttft_seconds is not None
    slow = msgspec.structs.replace(point.ttft_seconds, p95=9.0)
    fast = msgspec.structs.replace(point.ttft_seconds, p95=0.182)
    for basis, id_, times, doubt in (
        (Basis.PUBLISHED, "p-published", slow, None),
        (Basis.MEASURED, "p-doubted", slow, "the device was hot"),
        (Basis.MEASURED, "p-measured", fast, None),
    ):
        points = (ProfilePoint(workload=point.workload, ttft_seconds=times),)
        profile = make.profile(mine, id_, basis=basis, points=points, device_id=device, doubt=doubt)
        workspace.submit_profile(profile)
    shown = text_of(api.get("/badge/models/tiny/prod.svg").text)
    assert shown.startswith("prod: bf16 · −0.6 % ±1.0 · ")
    assert shown.endswith("L4 24GB TTFT p95 182 ms")
    assert "TTFT" not in text_of(api.get("/badge/models/tiny/prod.svg?device=h100-80gb").text)


def test_an_interval_that_is_unknown_is_shown_as_such(api: Api, workspace: Workspace, variant: str) -> None:
    evaluation = Make().evaluation(workspace.variant(variant), loss=-0.012)
    bare = msgspec.structs.replace(evaluation.relative_loss, interval=None)
    workspace.submit_evaluation(msgspec.structs.replace(evaluation, relative_loss=bare))
    assert text_of(api.get("/badge/models/tiny/prod.svg").text) == "prod: bf16 · +1.2 % ±?"


@pytest.mark.parametrize("path", ["models/tiny/none.svg", "models/llama-2-13b/prod.svg", "no/such/prod.svg"])
def test_what_is_not_there(api: Api, variant: str, path: str) -> None:
    answer = api.get(f"/badge/{path}")
    assert answer.status_code == 404
    assert text_of(answer.text).endswith(": not found")


def test_hostile_names_stay_text(api: Api, variant: str) -> None:
    for name in ("%3Cscript%3Ealert(1)%3C%2Fscript%3E", "%22onload=%22x", "%00%1b[31m", "x" * 1500):
        answer = api.get(f"/badge/models/tiny/{name}.svg")
        assert answer.status_code in {404, 422}
        if answer.status_code == 404 and "svg" in answer.headers["content-type"]:
            root = ET.fromstring(answer.text)
            assert {child.tag.rpartition("}")[2] for child in root.iter()} == {
                "svg",
                "title",
                "rect",
                "g",
                "text",
            }
            assert set(root.attrib) == {"width", "height", "role", "aria-label"}


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_makes_a_badge(label: str, message: str) -> None:
    try:
        body = draw(label, message, colour="#fff").encode()
    except UnicodeEncodeError:
        pytest.fail("a badge is always UTF-8")
    root = ET.fromstring(body)
    assert float(root.attrib["width"]) >= 24


def test_wider_text_is_wider() -> None:
    assert width("mmm") > width("aaa") > width("iii")
    assert width("中文") == 22
