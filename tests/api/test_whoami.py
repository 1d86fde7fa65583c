"""Who the server says is asking, and what it says they may do."""

from __future__ import annotations

import msgspec
from litestar.testing import TestClient

from planner.api.app import create_app
from planner.api.whoami import whoami_of
from planner.domain.identity import Principal, TokenScope
from planner.settings import AuthMode, Settings
from planner.wire.identity import TokenRequest
from planner.workspace import Workspace


def test_scopes_are_told_with_what_they_imply_and_what_the_server_leaves_open() -> None:
    ci = Principal(name="ci", token_id="t1", scopes=frozenset({TokenScope.REGISTER}), resources=("llama/*",))
    assert whoami_of(ci, AuthMode.ALL).may == (TokenScope.READ, TokenScope.REGISTER)
    assert whoami_of(ci, AuthMode.OFF).may == tuple(TokenScope)
    assert whoami_of(ci, AuthMode.ALL).resources == ("llama/*",)
    assert whoami_of(None, AuthMode.WRITES).may == (TokenScope.READ,)
    assert whoami_of(None, AuthMode.ALL).may == ()


def test_a_token_that_does_not_work_is_told_from_none(settings: Settings, workspace: Workspace) -> None:
    made = workspace.create_token(TokenRequest(label="ci", scopes=(TokenScope.PROMOTE,)))
    app = create_app(msgspec.structs.replace(settings, auth=AuthMode.WRITES), service=workspace)
    with TestClient(app, base_url="http://127.0.0.1") as api:

        def ask(token: str | None) -> tuple[int, dict[str, object]]:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            reply = api.get("/api/v1/whoami", headers=headers)
            return reply.status_code, reply.json()

        assert ask(None) == (200, {"auth": "writes", "name": "anonymous", "may": ["read"]})
        assert ask("hf_" + "x" * 40)[0] == 401
        status, mine = ask(made.secret)
        assert (status, mine["name"], mine["may"]) == (200, "ci", ["read", "promote"])
        assert mine["token_id"] == made.token.id
