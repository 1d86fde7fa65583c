from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from planner.domain.variant import Variant
from planner.settings import load_settings
from planner.workspace import Workspace
from tests.api.process import Server, running_server
from tests.workspace.fixtures import data_template
from tests.workspace.folders import write_llama

__all__ = ["data_template"]


class Served:
    """A server process, and the variants it holds."""

    def __init__(self, server: Server, data_dir: Path, builds: dict[str, Variant]) -> None:
        self.server = server
        self.url = server.url
        self.data_dir = data_dir
        self.builds = builds


@pytest.fixture(scope="module")
def served(data_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with two small builds, a 28 MB one, and the reference model where it is installed."""
    folder = tmp_path_factory.mktemp("served")
    data_dir = Path(shutil.copytree(data_template, folder / "data"))
    builds: dict[str, Variant] = {}
    with Workspace(load_settings({}, data_dir=data_dir)) as workspace:
        for name, dtype in (("tiny", "BF16"), ("wide", "F32")):
            made = write_llama(folder / name, dtype=dtype)
            (made / "sub dir").mkdir()
            (made / "sub dir" / "note.txt").write_text(f"a note about {name}")
            builds[name] = register(workspace, made, name=name)
        builds["big"] = register(workspace, write_llama(folder / "big", hidden=1024, layers=4), name="big")
        workspace.move_alias("prod", builds["wide"].id)
    with running_server(data_dir) as server:
        yield Served(server, data_dir, builds)


def register(workspace: Workspace, folder: Path, *, name: str) -> Variant:
    done = workspace.register(folder, name=name)
    assert done.variant is not None
    return done.variant
