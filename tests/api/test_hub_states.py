"""What stock clients meet of variants that are deprecated, yanked, quarantined or deleted, route by route."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from planner.api.app import create_app
from planner.domain.lifecycle import LifecycleState
from planner.settings import load_settings
from planner.wire.lifecycle import SetState
from planner.workspace import Workspace
from tests.api.test_hub import Held, commit

S = LifecycleState


@pytest.fixture
def held(data_template: Path, tmp_path: Path) -> Iterator[Held]:
    shutil.copytree(data_template, tmp_path / "data")
    with Workspace(load_settings({}, data_dir=tmp_path / "data", port=0)) as workspace:
        yield Held(workspace, tmp_path / "made")


@pytest.fixture
def hub(held: Held) -> Iterator[TestClient[Litestar]]:
    app = create_app(held.workspace.settings, service=held.workspace)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        client.follow_redirects = False
        yield client


def put(held: Held, variant: str, state: LifecycleState, replacement: str | None = None) -> None:
    held.workspace.set_state(
        variant, SetState(state=state, reason="wrong tokenizer", replacement=replacement)
    )


def test_a_quarantined_variant_is_refused_with_the_reason_at_every_route(hub, held):
    put(held, held.wide.id, S.QUARANTINED)
    name, sha = f"{held.model}/wide", commit(held.wide)
    reason = f"{name} is quarantined: wrong tokenizer"
    for revision in (sha, "main"):
        asked = [
            hub.get(f"/{name}/resolve/{revision}/config.json"),
            hub.head(f"/{name}/resolve/{revision}/config.json"),
            hub.get(f"/api/models/{name}/revision/{revision}"),
            hub.get(f"/api/models/{name}/tree/{revision}?recursive=true"),
            hub.get(f"/api/models/{name}/commits/{revision}"),
            hub.post(f"/api/models/{name}/paths-info/{revision}", data={"paths": "config.json"}),
        ]
        for answer in asked:
            assert (answer.status_code, answer.headers["x-error-message"]) == (403, reason), (
                answer.request.url
            )
    through_model = hub.get(f"/models/{held.model}/resolve/wide/config.json")
    assert (through_model.status_code, through_model.headers["x-error-message"]) == (403, reason)
    put(held, held.wide.id, S.ACTIVE)
    assert hub.get(f"/{name}/resolve/{sha}/config.json").status_code == 200


def test_a_yanked_variant_is_served_with_a_warning(hub, held):
    put(held, held.wide.id, S.YANKED, held.new.id)
    name, sha = f"{held.model}/wide", commit(held.wide)
    said = f"yanked; {name} is yanked: wrong tokenizer; use {held.new.id} instead"
    for answer in (
        hub.head(f"/{name}/resolve/{sha}/config.json"),
        hub.get(f"/{name}/resolve/{sha}/config.json"),
        hub.get(f"/api/models/{name}/revision/{sha}"),
        hub.get(f"/api/models/{name}/tree/{sha}"),
    ):
        assert (answer.status_code, answer.headers["x-hf-warning"]) == (200, said)


def test_a_deprecated_variant_is_served_with_a_warning(hub, held):
    put(held, held.wide.id, S.DEPRECATED)
    said = hub.head(f"/{held.model}/wide/resolve/{commit(held.wide)}/config.json").headers["x-hf-warning"]
    assert said == f"deprecated; {held.model}/wide is deprecated: wrong tokenizer"


def test_main_is_the_newest_that_is_still_recommended(hub, held):
    name = f"{held.model}/tiny"
    assert hub.get(f"/api/models/{name}").json()["sha"] == commit(held.new)
    put(held, held.new.id, S.YANKED)
    assert hub.get(f"/api/models/{name}").json()["sha"] == commit(held.old)
    put(held, held.old.id, S.YANKED)
    answer = hub.get(f"/api/models/{name}")
    assert answer.json()["sha"] == commit(held.new)
    assert answer.headers["x-hf-warning"].startswith("yanked; ")


def test_an_alias_is_a_branch_that_follows_and_is_refused_with_its_variant(hub, held):
    name = f"{held.model}/tiny"
    put(held, held.old.id, S.QUARANTINED)
    answer = hub.head(f"/{name}/resolve/prod/config.json")
    assert (answer.status_code, answer.headers["x-error-message"]) == (
        403,
        f"{name} is quarantined: wrong tokenizer",
    )
    held.workspace.move_alias("prod", held.new.id)
    answer = hub.head(f"/{name}/resolve/prod/config.json")
    assert answer.status_code == 307
    assert commit(held.new) in answer.headers["location"]
    branches = {
        each["name"]: each["targetCommit"] for each in hub.get(f"/api/models/{name}/refs").json()["branches"]
    }
    assert branches["prod"] == commit(held.new)


def test_gathered_gguf_files_leave_out_what_is_withheld_and_old_commits_refuse_it(hub, held):
    repositories = [each["id"] for each in hub.get("/api/models").json()]
    name = next(each for each in repositories if each.endswith("-GGUF"))
    before = hub.get(f"/api/models/{name}").json()
    q4 = next(each["rfilename"] for each in before["siblings"] if "Q4_K_M" in each["rfilename"])
    assert hub.get(f"/{name}/resolve/{before['sha']}/{q4}").content == b"second"
    put(held, held.ggufs[2].id, S.QUARANTINED)
    after = hub.get(f"/api/models/{name}").json()
    assert after["sha"] != before["sha"]
    assert hub.get(f"/{name}/resolve/{after['sha']}/{q4}").content == b"first"
    refused = hub.get(f"/{name}/resolve/{before['sha']}/{q4}")
    assert refused.status_code == 403
    assert refused.headers["x-error-message"].endswith("is quarantined: wrong tokenizer")


def test_a_plan_made_earlier_is_refused_when_its_variant_is_quarantined(hub, held):
    plan = held.workspace.recommend(query=f"{held.model} on 24GB")
    chosen = plan.result.chosen.variant_id
    sha = hub.get(f"/api/models/plans/{plan.id}").json()["sha"]
    assert sha == chosen.removeprefix("sha256:")[:40]
    put(held, chosen, S.QUARANTINED)
    assert hub.get(f"/api/models/plans/{plan.id}").status_code == 403
    assert held.workspace.replay(plan.id).identical
