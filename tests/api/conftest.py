from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from planner.api.app import create_app
from planner.settings import Settings, load_settings
from planner.workspace import Workspace
from tests.workspace.fixtures import data_dir, data_template, settings, workspace

__all__ = ["data_dir", "data_template", "settings", "workspace"]

MAX_ARTIFACT_BYTES = 4 * 1024 * 1024


@pytest.fixture
def api(settings: Settings, workspace: Workspace) -> Iterator[TestClient[Litestar]]:
    """A client of the app in this process."""
    app = create_app(settings, service=workspace, max_artifact_bytes=MAX_ARTIFACT_BYTES)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def shared_api(
    data_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient[Litestar]]:
    """A client for tests that change nothing, so that hundreds of them need only one server."""
    folder = Path(shutil.copytree(data_template, tmp_path_factory.mktemp("shared") / "data"))
    opened = load_settings({}, data_dir=folder, port=0)
    with TestClient(create_app(opened), base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client
