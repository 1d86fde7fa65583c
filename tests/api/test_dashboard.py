from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from planner.api import dashboard
from planner.api.app import create_app
from planner.settings import Settings
from planner.workspace import Workspace
from tests.api.problems import problem

Api = TestClient[Litestar]
PAGE = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def built(
    tmp_path: Path, settings: Settings, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Api]:
    """A server with a dashboard as the build leaves it."""
    folder = tmp_path / "dashboard"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>built</title>")
    (folder / "assets" / "index-abc123.js").write_text("export {}")
    (folder / "favicon.svg").write_text("<svg/>")
    (folder / "secret").symlink_to("/etc/hostname")
    monkeypatch.setattr(dashboard, "find_folder", lambda: folder)
    with TestClient(create_app(settings, service=workspace), base_url="http://127.0.0.1") as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/index.html", "/variants/123", "/plans/a/b", "/ask?q=13B"])
def test_every_page_is_index_html(built: Api, path: str) -> None:
    answer = built.get(path, headers=PAGE)
    assert answer.status_code == 200
    assert "built" in answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-cache"


def test_head(built: Api) -> None:
    answer = built.head("/", headers=PAGE)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(built.get("/", headers=PAGE).content))


def test_hashed_assets_are_cached_for_ever(built: Api) -> None:
    answer = built.get("/assets/index-abc123.js")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(("text/javascript", "application/javascript"))
    assert "immutable" in answer.headers["cache-control"]
    assert built.get("/favicon.svg").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "/assets/gone.js",
        "/api/v1/nothing",
        "/api",
        "/schema/nothing.json",
        "/secret",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
    ],
)
def test_what_is_not_there_is_not_a_page(built: Api, path: str) -> None:
    headers = PAGE if path.startswith(("/assets", "/api", "/schema")) else {"Accept": "*/*"}
    problem(built.get(path, headers=headers), status=404)


def test_without_a_build_the_page_says_so(
    settings: Settings, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "find_folder", lambda: None)
    with TestClient(create_app(settings, service=workspace), base_url="http://127.0.0.1") as client:
        answer = client.get("/", headers=PAGE)
    assert answer.status_code == 200
    assert "/schema/openapi.json" in answer.text
