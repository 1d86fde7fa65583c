"""Files of quarantined variants asked for by digest, past every name that the quarantine closes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from planner.api.app import create_app
from planner.domain.identity import TokenScope
from planner.domain.lifecycle import LifecycleState
from planner.settings import load_settings
from planner.wire.identity import TokenRequest
from planner.wire.lifecycle import SetState
from planner.workspace import Workspace
from tests.api.test_hub import Held


def opened(data_template: Path, folder: Path, auth: str) -> Iterator[tuple[TestClient[Litestar], Held]]:
    shutil.copytree(data_template, folder / "data")
    settings = load_settings({"PLANNER_AUTH": auth}, data_dir=folder / "data", port=0)
    with Workspace(settings) as workspace:
        held = Held(workspace, folder / "made")
        app = create_app(settings, service=workspace)
        with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
            yield client, held


@pytest.fixture(params=["writes", "all"])
def asking(request, data_template, tmp_path) -> Iterator[tuple[TestClient[Litestar], Held]]:
    yield from opened(data_template, tmp_path, request.param)


@pytest.fixture
def trusting(data_template, tmp_path) -> Iterator[tuple[TestClient[Litestar], Held]]:
    yield from opened(data_template, tmp_path, "off")


def sender(held: Held, scope: TokenScope) -> dict[str, str]:
    made = held.workspace.create_token(TokenRequest(label=f"a {scope}", scopes=(scope,)))
    return {"Authorization": f"Bearer {made.secret}"}


def put(held: Held, state: LifecycleState) -> None:
    held.workspace.set_state(held.wide.id, SetState(state=state, reason="fails the gate"))


def own_and_shared(held: Held) -> tuple[str, set[str]]:
    others = {
        file.sha256
        for each in held.workspace.holdings().variants
        if each.id != held.wide.id
        for file in each.artifacts
    }
    mine = {file.sha256: file.path for file in held.wide.artifacts}
    own = [sha for sha, path in mine.items() if sha not in others and path.endswith(".safetensors")]
    return own[0], set(mine) & others


def test_a_digest_is_no_way_around_a_quarantine(asking):
    client, held = asking
    own, shared = own_and_shared(held)
    reader, register = sender(held, TokenScope.READ), sender(held, TokenScope.REGISTER)
    assert client.get(f"/api/v1/artifacts/{own}", headers=reader).status_code == 200
    put(held, LifecycleState.QUARANTINED)
    for headers in (reader, register):
        for ask in (client.get, client.head):
            assert ask(f"/api/v1/artifacts/{own}", headers=headers).status_code == 403
        part = client.get(f"/api/v1/artifacts/{own}", headers={**headers, "Range": "bytes=0-9"})
        assert (part.status_code, part.json()["code"]) == (403, "withheld")
        assert "fails the gate" in part.json()["detail"]
    for scope in (TokenScope.MEASURE, TokenScope.ADMIN):
        assert client.get(f"/api/v1/artifacts/{own}", headers=sender(held, scope)).status_code == 200
    for sha in shared:
        assert client.get(f"/api/v1/artifacts/{sha}", headers=reader).status_code == 200
    put(held, LifecycleState.ACTIVE)
    assert client.get(f"/api/v1/artifacts/{own}", headers=reader).status_code == 200


def test_a_server_that_asks_for_nothing_lets_anyone_measure(trusting):
    client, held = trusting
    own, _ = own_and_shared(held)
    put(held, LifecycleState.QUARANTINED)
    assert client.get(f"/api/v1/artifacts/{own}").status_code == 200


def test_what_a_token_was_needed_for_is_kept_by_no_shared_cache(asking):
    client, held = asking
    answer = client.get(f"/api/v1/artifacts/{own_and_shared(held)[0]}", headers=sender(held, TokenScope.READ))
    assert answer.headers["cache-control"].startswith("private")
