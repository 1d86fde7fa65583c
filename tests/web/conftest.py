"""The built dashboard, a real server that serves it, and a real browser.

Chromium and the build are needed: without them the tests are skipped; PLANNER_REQUIRE_SERVICES=1 makes that a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from planner.settings import load_settings
from planner.workspace import Workspace
from tests.api.process import running_server
from tests.cli.conftest import make_llama

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "web"


def missing(message: str) -> None:
    """Skip for want of a tool, or fail where all of them are meant to be there."""
    if os.environ.get("PLANNER_REQUIRE_SERVICES") == "1":
        pytest.fail(message)
    pytest.skip(message)


def newest(*paths: Path) -> float:
    """Return when the youngest file under `paths` was changed."""
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
    return max(file.stat().st_mtime for file in files if file.is_file())


@pytest.fixture(scope="session")
def dist() -> Path:
    """The built dashboard, built again when it is older than its sources."""
    index = WEB / "dist" / "index.html"
    sources = (
        WEB / "src",
        WEB / "public",
        WEB / "index.html",
        WEB / "vite.config.ts",
        WEB / "package-lock.json",
    )
    npm = shutil.which("npm")
    can_build = npm is not None and (WEB / "node_modules" / "vite").is_dir()
    if can_build and not (index.is_file() and index.stat().st_mtime >= newest(*sources)):
        subprocess.run([str(npm), "run", "build"], cwd=WEB, check=True, capture_output=True)
    if not index.is_file():
        missing("the dashboard is not built: run `npm ci && npm run build` in web/")
    return index.parent


@pytest.fixture(scope="session")
def held_id(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A data folder with the catalogue and one variant whose files are held, and that variant's id."""
    folder = tmp_path_factory.mktemp("web")
    files = make_llama(folder / "tiny-llama")
    with Workspace(load_settings({}, data_dir=folder / "data")) as workspace:
        return folder / "data", workspace.register(files, name="tiny-llama-fp32").digest


@pytest.fixture(scope="session")
def url(dist: Path, held_id: tuple[Path, str]) -> Iterator[str]:
    """A real server that serves the built dashboard."""
    assert dist.is_dir()
    with running_server(held_id[0]) as server:
        yield server.url


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium: the system's, or the one that playwright has installed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        executable = shutil.which("chromium") or shutil.which("chromium-browser")
        if executable is None and not Path(playwright.chromium.executable_path).exists():
            missing("Chromium is not installed")
        chromium = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()
