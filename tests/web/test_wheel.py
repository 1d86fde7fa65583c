"""A wheel made from a clean copy of the sources is whole: installed alone, it serves API and dashboard.

The wheel's dependencies are borrowed from the running environment, so that the test needs no package index; torch is
barred, so that a server that needs it cannot start.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.web.conftest import ROOT, missing

TORCHLESS = "import sys; sys.modules.update(torch=None, transformers=None, torchao=None)\n"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory, dist: Path) -> Path:
    """The files of the repository and nothing else, with the dashboard as it was built."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        missing("a clean copy is made from a git checkout")
    listed = subprocess.run(
        [str(git), "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    copy = tmp_path_factory.mktemp("sources")
    for name in listed.stdout.split("\0"):
        if (file := ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy / name)
    shutil.copytree(dist, copy / "web" / "dist")
    return copy


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without an isolated environment where the build backend is at hand."""
    folder = tmp_path_factory.mktemp("wheel")
    at_hand = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "-q", "-w", str(folder), *at_hand]
    built = subprocess.run(command, cwd=sources, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `planner` command of a fresh environment that holds the wheel."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", str(wheel)],
        check=True,
        capture_output=True,
    )
    site = next((folder / "lib").glob("python3*/site-packages"))
    borrowed = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    (site / "borrowed.pth").write_text("\n".join(borrowed))
    (site / "torchless.pth").write_text(TORCHLESS)
    return folder / "bin" / "planner"


def clean_environment() -> dict[str, str]:
    """The environment without what would let Python find the sources of this checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@contextmanager
def up(command: Path, data: Path) -> Iterator[str]:
    """`planner up` of the installed wheel, started far from the sources; yields its address."""
    arguments = ["up", "--port", "0", "--data-dir", str(data), "--json"]
    with subprocess.Popen(
        [str(command), *arguments],
        cwd=data.parent,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            printed = ""
            while not printed.rstrip().endswith("}"):
                line = process.stdout.readline()
                assert line, f"the server did not start: {printed}"
                printed += line
            yield json.loads(printed)["url"]
        finally:
            process.terminate()
            process.wait(timeout=30)


def test_the_wheel_holds_dashboard_and_migrations(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "planner/dashboard/index.html" in names
    assert [name for name in names if name.startswith("planner/dashboard/assets/") and name.endswith(".js")]
    assert "planner/_migrations/env.py" in names
    assert [name for name in names if name.startswith("planner/_migrations/versions/")]
    assert [name for name in names if name.startswith("planner/catalogue/data/")]
    assert "planner/choose/language/grammar.lark" in names
    strays = {name.split("/")[0] for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert strays == {"planner", "worker"}
    assert not [name for name in names if "node_modules" in name or name.startswith("web/")]


def test_the_installed_wheel_serves_the_dashboard(installed: Path, tmp_path: Path) -> None:
    accept = {"Accept": "text/html"}
    with up(installed, tmp_path / "data") as url, httpx.Client(base_url=url) as client:
        page = client.get("/variants/anything", headers=accept)
        assert page.status_code == 200
        assert '<div id="root">' in page.text
        scripts = [part.split('"')[0] for part in page.text.split('src="')[1:]]
        assert scripts
        for script in scripts:
            answer = client.get(script)
            assert answer.status_code == 200
            assert "immutable" in answer.headers["cache-control"]
        assert client.get("/api/v1/health").json()["ok"] is True
        answer = client.get("/api/v1/recommend", params={"q": "13B on 24GB, ≤1% loss"})
        assert answer.json()["result"]["outcome"] == "recommended"
    where = "import planner, worker; print(planner.__file__, worker.__file__)"
    python = installed.with_name("python")
    found = subprocess.run(
        [str(python), "-c", where],
        cwd=tmp_path,
        env=clean_environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    assert str(ROOT) not in found.stdout
