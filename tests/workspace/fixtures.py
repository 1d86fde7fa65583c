"""Fixtures shared by the tests of workspace, API and client: a workspace on a data folder of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from planner.settings import Settings, load_settings
from planner.workspace import Workspace


@pytest.fixture(scope="session")
def data_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the catalogue loaded, to be copied."""
    folder = tmp_path_factory.mktemp("template") / "data"
    Workspace(load_settings({}, data_dir=folder)).close()
    return folder


@pytest.fixture
def data_dir(tmp_path: Path, data_template: Path) -> Path:
    """A data folder of the test's own."""
    return Path(shutil.copytree(data_template, tmp_path / "data"))


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    return load_settings({}, data_dir=data_dir, port=0)


@pytest.fixture
def workspace(settings: Settings) -> Iterator[Workspace]:
    with Workspace(settings) as opened:
        yield opened
