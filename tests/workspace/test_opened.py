from __future__ import annotations

from pathlib import Path

import pytest

from planner.errors import Conflict, IntegrityFailure, NotFound, PlannerError, Unavailable
from planner.settings import Settings, load_settings
from planner.workspace import Workspace

DIGEST = "0" * 64


def test_opening_loads_the_catalogue_once(settings: Settings) -> None:
    with Workspace(settings) as first:
        revision = first.registry.revision()
        assert first.models(limit=1).items
    with Workspace(settings) as second:
        assert second.registry.revision() == revision


def test_opening_from_nothing(tmp_path: Path) -> None:
    with Workspace(load_settings({}, data_dir=tmp_path / "new" / "folder")) as workspace:
        health = workspace.health()
        assert health.ok
        assert health.revision == workspace.registry.revision()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PlannerError):
        Workspace(load_settings({}, data_dir=tmp_path / "file"))


def test_files(workspace: Workspace) -> None:
    assert workspace.missing([DIGEST, DIGEST]) == (DIGEST,)
    with pytest.raises(NotFound):
        workspace.artifact_size(DIGEST)
    with pytest.raises(NotFound):
        workspace.open_artifact(DIGEST)
    with pytest.raises(IntegrityFailure):
        workspace.upload([b"x"], sha256=DIGEST)
    with pytest.raises(Unavailable, match="no room"):
        workspace.upload([b"x"], sha256=DIGEST, size=2**60)


def test_health_says_which_part_is_broken(workspace: Workspace, settings: Settings) -> None:
    settings.blob_dir.rename(settings.data_dir / "elsewhere")
    health = workspace.health()
    assert not health.ok
    assert health.database.ok
    assert not health.store.ok
    assert "artifact folder" in (health.store.detail or "")


def test_aliases_take_any_name_of_a_variant(workspace: Workspace) -> None:
    first, second = (row.variant for row in workspace.variants(limit=2).items)
    workspace.move_alias("prod", first.id)
    moved = workspace.move_alias("prod", second.id, expected="prod", actor="me")
    assert moved.variant_id == second.id
    with pytest.raises(Conflict):
        workspace.move_alias("prod", second.id, expected=first.id)
    assert [move.variant_id for move in workspace.alias("prod").moves] == [second.id, first.id]
