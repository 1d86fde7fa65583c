"""What the server asks a token for: the table of needs, the modes, the refusals, and who it says did it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient

from planner.api.access import need_of
from planner.api.app import create_app
from planner.api.authentication import BAD_TOKEN, check_exposure
from planner.api.failure_limit import MOST_ADDRESSES, MOST_FAILURES, WINDOW_SECONDS, FailureLimit
from planner.domain.identity import Principal, TokenScope
from planner.errors import InvalidInput, NotAllowed, TooManyRequests, Unavailable
from planner.settings import AuthMode, Settings, load_settings
from planner.wire import acting
from planner.wire.identity import TokenRequest
from planner.workspace import Workspace
from tests.workspace.folders import write_llama

UNKNOWN = "hf_" + "a" * 40
Api = TestClient[Litestar]
Open = Callable[[AuthMode], Api]


@pytest.fixture
def serving(settings: Settings, workspace: Workspace) -> Iterator[Open]:
    """Starts servers over one workspace, each asking for tokens in its own way."""
    with ExitStack() as stack:

        def start(mode: AuthMode) -> Api:
            app = create_app(msgspec.structs.replace(settings, auth=mode), service=workspace)
            return stack.enter_context(
                TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
            )

        yield start


def secret(workspace: Workspace, *scopes: TokenScope, label: str = "ci", **fields) -> dict[str, str]:
    made = workspace.create_token(TokenRequest(label=label, scopes=scopes, **fields))
    return {"Authorization": f"Bearer {made.secret}"}


# -- the table ------------------------------------------------------------------------------------------------------


def routes(app: Litestar) -> list[tuple[str, str]]:
    found = []
    for route in app.routes:
        for method in getattr(route, "methods", ()):
            if method != "OPTIONS":
                path = re.sub(r"{[^:}]+:path}", "some/thing", route.path)
                found.append((method, re.sub(r"{[^}]+}", "thing", path)))
    return found


def test_every_route_has_its_rule(settings):
    app = create_app(settings)
    known = routes(app)
    assert len(known) > 60
    assert [each for each in known if not need_of(each[0], each[1], each[1]).named] == []


def test_no_write_is_open_but_the_exchange_and_signed_addresses(settings):
    writes = [each for each in routes(create_app(settings)) if each[0] not in {"GET", "HEAD"}]
    opened = {path for method, path in writes if need_of(method, path, path).is_open}
    assert {path for path in opened if not path.startswith("/cas/")} == {"/oauth/token"}


@pytest.mark.parametrize(
    ("method", "path", "scopes"),
    [
        ("GET", "/api/v1/health", ()),
        ("GET", "/", ()),
        ("GET", "/assets/index.js", ()),
        ("HEAD", "/variants/x", ()),
        ("GET", "/schema/openapi.json", ()),
        ("POST", "/oauth/token", ()),
        ("PUT", "/lfs/upload/abc", ()),
        ("POST", "/cas/v1/xorbs/default/abc", ()),
        ("PUT", "/api/uploads/abc", ()),
        ("GET", "/metrics", (TokenScope.READ,)),
        ("GET", "/api/v1/variants", (TokenScope.READ,)),
        ("POST", "/api/v1/recommend", (TokenScope.READ,)),
        ("GET", "/api/v1/artifacts/abc", (TokenScope.READ,)),
        ("PUT", "/api/v1/artifacts/abc", (TokenScope.REGISTER, TokenScope.MEASURE)),
        ("POST", "/api/v1/variants", (TokenScope.REGISTER,)),
        ("POST", "/api/v1/signatures", (TokenScope.REGISTER,)),
        ("POST", "/api/v1/jobs/lease", (TokenScope.MEASURE,)),
        ("POST", "/api/v1/jobs/1/heartbeat", (TokenScope.MEASURE,)),
        ("POST", "/api/v1/workers/w/drain", (TokenScope.MEASURE,)),
        ("PUT", "/api/v1/aliases/prod", (TokenScope.PROMOTE,)),
        ("PUT", "/api/v1/states/v", (TokenScope.PROMOTE,)),
        ("GET", "/api/v1/tokens", (TokenScope.ADMIN,)),
        ("POST", "/api/v1/tokens", (TokenScope.ADMIN,)),
        ("GET", "//api//v1///tokens/", (TokenScope.ADMIN,)),
        ("POST", "/api/v1/tokens/x/revoke", (TokenScope.ADMIN,)),
        ("GET", "/api/v1/webhooks", (TokenScope.ADMIN,)),
        ("GET", "/api/whoami-v2", (TokenScope.READ,)),
        ("GET", "/api/models/llama/int4", (TokenScope.READ,)),
        ("POST", "/api/models/llama/int4/paths-info/main", (TokenScope.READ,)),
        ("GET", "/llama/int4/resolve/main/config.json", (TokenScope.READ,)),
        ("GET", "/lfs/x/resolve/main/config.json", (TokenScope.READ,)),
        ("GET", "//llama/int4/%72esolve/main/config.json", (TokenScope.READ,)),
        ("GET", "/api/models/llama/int4/auth-check", (TokenScope.READ,)),
        ("GET", "/api/models/llama/int4/auth-check/write", (TokenScope.REGISTER,)),
        ("POST", "/api/repos/create", (TokenScope.REGISTER,)),
        ("POST", "/api/models/llama/int4/preupload/main", (TokenScope.REGISTER,)),
        ("POST", "/api/models/llama/int4/commit/main", (TokenScope.REGISTER,)),
        ("POST", "/llama/int4.git/info/lfs/objects/batch", (TokenScope.REGISTER,)),
        ("POST", "/llama/int4.git/info/lfs/objects/verify", (TokenScope.REGISTER,)),
        ("POST", "/api/hub/create", (TokenScope.ADMIN,)),
        ("POST", "/api//hub/commit/", (TokenScope.ADMIN,)),
        ("PUT", "/api/v1/aliases/prod/protection", (TokenScope.ADMIN,)),
        ("POST", "/api/v1/admin/collection", (TokenScope.ADMIN,)),
        ("PUT", "/nothing/here", (TokenScope.ADMIN,)),
        ("GET", "/api/nothing", (TokenScope.READ,)),
        ("OPTIONS", "/api/v1/tokens", ()),
    ],
)
def test_what_requests_need(method, path, scopes):
    assert need_of(method, path.replace("%72", "r"), path).scopes == scopes


@given(st.sampled_from(["POST", "PUT", "DELETE", "PATCH"]), st.text(max_size=60))
def test_no_write_is_open_by_accident(method, text):
    path = "/" + text
    need = need_of(method, path, path.encode("utf-8", "surrogatepass").decode("latin-1"))
    assert not need.is_open or re.match(r"/+(lfs|cas|api/+uploads)/|/+oauth/+token", path)


# -- the modes ------------------------------------------------------------------------------------------------------

MOVE = {"variant": "unknown"}


def test_off_asks_for_nothing_and_minds_no_foreign_token(serving):
    api = serving(AuthMode.OFF)
    for headers in ({}, {"Authorization": f"Bearer {UNKNOWN}"}, {"Authorization": "Basic eDp5"}):
        assert api.get("/api/v1/variants", headers=headers).status_code == 200
        assert api.put("/api/v1/aliases/prod", json=MOVE, headers=headers).status_code == 404


def test_writes_asks_for_a_token_where_something_changes(serving, workspace):
    api = serving(AuthMode.WRITES)
    assert api.get("/api/v1/variants").status_code == 200
    assert api.post("/api/v1/recommend", json={"query": "7B on 24GB"}).status_code == 200
    missing = api.put("/api/v1/aliases/prod", json=MOVE)
    assert missing.status_code == 401
    assert missing.headers["www-authenticate"] == "Bearer"
    assert missing.headers["content-type"] == "application/problem+json"
    assert missing.headers["x-content-type-options"] == "nosniff"
    assert missing.json()["code"] == "not-authenticated"
    assert "PLANNER_TOKEN" in missing.json()["extra"]["hint"]
    lacking = api.put("/api/v1/aliases/prod", json=MOVE, headers=secret(workspace, TokenScope.REGISTER))
    assert (lacking.status_code, lacking.json()["code"]) == (403, "not-allowed")
    assert "`promote`" in lacking.json()["detail"]
    for scope in (TokenScope.PROMOTE, TokenScope.ADMIN):
        allowed = api.put("/api/v1/aliases/prod", json=MOVE, headers=secret(workspace, scope))
        assert (allowed.status_code, allowed.json()["code"]) == (404, "not-found")


def test_all_asks_for_a_token_to_read_and_leaves_the_dashboard_open(serving, workspace):
    api = serving(AuthMode.ALL)
    for path in ("/api/v1/variants", "/metrics", "/api/models", "/api/v1/presets"):
        assert api.get(path).status_code == 401, path
        assert api.get(path, headers=secret(workspace, TokenScope.READ)).status_code == 200, path
    for path in ("/", "/api/v1/health", "/schema/openapi.json"):
        assert api.get(path).status_code == 200, path
    assert api.get("/api/v1/health", headers={"Authorization": f"Bearer {UNKNOWN}"}).status_code == 200
    assert api.head("/api/v1/variants").content == b""


@pytest.mark.parametrize(
    "header", [f"Bearer {UNKNOWN}", "Bearer x", "Bearer", "Basic eDp5", "hf_x", "Bearer é"]
)
def test_a_token_that_does_not_work_is_refused_even_for_reads(serving, header):
    refused = serving(AuthMode.WRITES).get("/api/v1/variants", headers={"Authorization": header.encode()})
    assert refused.status_code == 401
    assert refused.json()["detail"] == BAD_TOKEN
    assert UNKNOWN not in refused.text


def test_expired_and_revoked_tokens_are_refused(serving, workspace):
    api = serving(AuthMode.ALL)
    short = secret(workspace, TokenScope.READ, label="short", expires_in_seconds=1)
    ended = secret(workspace, TokenScope.READ, label="ended")
    assert api.get("/api/v1/variants", headers=ended).status_code == 200
    workspace.revoke_token("ended")
    assert (
        api.get("/api/v1/variants", headers=ended).status_code == 401
    )  # at once, though it was known a moment ago
    import time

    time.sleep(1.05)
    assert api.get("/api/v1/variants", headers=short).status_code == 401


def test_a_worker_registers_under_its_lease_only(serving, workspace, tmp_path):
    api = serving(AuthMode.WRITES)
    worker = secret(workspace, TokenScope.MEASURE)
    manifest: dict[str, list[str]] = {"artifacts": []}
    assert api.post("/api/v1/variants", json=manifest, headers=worker).status_code == 403
    forged = api.post("/api/v1/variants", json=manifest, headers={**worker, "planner-lease": "nojob;1"})
    assert forged.status_code == 404  # such a job does not exist
    assert api.post("/api/v1/jobs/lease", json={"worker": "w"}, headers=worker).status_code in {200, 201, 204}


# -- the Hugging Face protocol --------------------------------------------------------------------------------------


def test_clients_of_the_hub_are_refused_in_their_own_words(serving, workspace):
    api = serving(AuthMode.ALL)
    bad = api.get("/api/models/llama/int4", headers={"Authorization": f"Bearer {UNKNOWN}"})
    assert (bad.status_code, bad.headers["x-error-message"]) == (401, BAD_TOKEN)
    assert {"x-error-code", "x-request-id", "www-authenticate"} <= set(bad.headers)
    missing = api.get("/llama/int4/resolve/main/config.json")
    assert (missing.status_code, missing.headers["x-error-code"]) == (401, "GatedRepo")
    assert "HF_TOKEN" in missing.headers["x-error-message"] or "token" in missing.headers["x-error-message"]
    lacking = api.post(
        "/api/models/llama/int4/preupload/main",
        json={"files": []},
        headers=secret(workspace, TokenScope.READ),
    )
    assert lacking.status_code == 403
    assert "`register` is needed" in lacking.headers["x-error-message"]
    unknown = api.get("/api/models/no/thing", headers=secret(workspace, TokenScope.READ))
    assert (unknown.status_code, unknown.headers["x-error-code"]) == (404, "RepoNotFound")


def test_whoami(serving, workspace):
    api = serving(AuthMode.WRITES)
    assert api.get("/api/whoami-v2").json()["name"] == "anonymous"
    reader = api.get("/api/whoami-v2", headers=secret(workspace, TokenScope.READ, label="reader")).json()
    assert (reader["name"], reader["auth"]["accessToken"]["role"]) == ("reader", "read")
    writer = api.get("/api/whoami-v2", headers=secret(workspace, TokenScope.REGISTER, label="ci")).json()
    assert (writer["name"], writer["auth"]["accessToken"]) == ("ci", {"displayName": "ci", "role": "write"})


def test_a_confined_token_writes_to_its_repositories_only(serving, workspace):
    api = serving(AuthMode.OFF)  # confines hold even where no token is asked for
    headers = secret(workspace, TokenScope.REGISTER, resources=("llama/int4",))
    body: dict[str, list[str]] = {"files": []}
    refused = api.post("/api/models/llama/int8/preupload/main", json=body, headers=headers)
    assert refused.status_code == 403
    assert "llama/int4 only" in refused.headers["x-error-message"]
    own = api.post("/api/models/llama/int4/preupload/main", json=body, headers=headers)
    assert own.status_code != 403


# -- who did it -----------------------------------------------------------------------------------------------------


@pytest.fixture
def variant(workspace, tmp_path):
    done = workspace.register(write_llama(tmp_path / "tiny"), model="tiny", name="one")
    assert done.variant is not None
    return done.variant


def test_the_actor_is_the_token_and_not_what_the_client_says(serving, workspace, variant):
    api = serving(AuthMode.WRITES)
    body = {"variant": variant.id, "actor": "somebody else"}
    moved = api.put(
        "/api/v1/aliases/prod", json=body, headers=secret(workspace, TokenScope.PROMOTE, label="release")
    )
    assert moved.json()["actor"] == "release"
    change = {"state": "deprecated", "reason": "old", "actor": "somebody else"}
    put = api.put(
        f"/api/v1/states/{variant.id}",
        json=change,
        headers=secret(workspace, TokenScope.PROMOTE, label="boss"),
    )
    assert put.json()["actor"] == "boss"
    files = {artifact.path for artifact in variant.artifacts}
    assert "config.json" in files
    repository = f"{variant.model_id}/{variant.name}"
    loaded = api.get(
        f"/{repository}/resolve/{variant.id.removeprefix('sha256:')[:40]}/config.json",
        headers=secret(workspace, TokenScope.READ, label="node"),
    )
    assert loaded.status_code == 200
    assert workspace.downloads().items[0].principal == "node"


def test_registering_again_is_attributed_too(serving, workspace, variant):
    api = serving(AuthMode.WRITES)
    manifest = {"artifacts": [msgspec.to_builtins(artifact) for artifact in variant.artifacts]}
    for label in ("first", "first", "second"):
        headers = secret(workspace, TokenScope.REGISTER, label=label)
        assert api.post("/api/v1/variants", json=manifest, headers=headers).status_code == 200
    records = api.get("/api/v1/registrations", params={"variant": variant.id}).json()["items"]
    assert [record["actor"] for record in records] == ["second", "first", "first"]  # three tokens
    assert {record["created"] for record in records} == {False}
    confined = secret(workspace, TokenScope.REGISTER, label="other", resources=("other/*",))
    refused = api.post("/api/v1/variants", json=manifest, headers=confined)
    assert (refused.status_code, refused.json()["code"]) == (403, "not-allowed")


def test_confines_hold_for_promotion_and_evidence(serving, workspace, variant):
    api = serving(AuthMode.WRITES)
    confined = secret(workspace, TokenScope.PROMOTE, resources=("other/*",))
    assert api.put("/api/v1/aliases/prod", json={"variant": variant.id}, headers=confined).status_code == 403
    own = secret(workspace, TokenScope.PROMOTE, resources=(f"{variant.model_id}/*",))
    assert api.put("/api/v1/aliases/prod", json={"variant": variant.id}, headers=own).status_code == 200


def test_confines_by_address_pass_for_what_is_registered_there():
    principal = Principal(
        name="ci", token_id="t", scopes=frozenset({TokenScope.REGISTER}), resources=("org/model",)
    )
    with acting.acting_as(principal), pytest.raises(NotAllowed):
        acting.check_repository("llama/int4")
    with acting.acting_as(principal, repository="org/model"):
        acting.check_repository("llama/int4")
    with acting.acting_as(principal, repository="org/other"), pytest.raises(NotAllowed):
        acting.check_repository("llama/int4")
    acting.check_repository("llama/int4")
    assert acting.actor("given") == "given"
    assert acting.actor() == "unnamed"


# -- tokens over HTTP -----------------------------------------------------------------------------------------------


def test_tokens_are_made_listed_and_revoked_by_admins(serving, workspace):
    api = serving(AuthMode.ALL)
    admin = secret(workspace, TokenScope.ADMIN, label="root")
    made = api.post(
        "/api/v1/tokens",
        json={"label": "ci", "scopes": ["register"], "expires_in_seconds": 60},
        headers=admin,
    )
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    document = made.json()
    assert re.fullmatch(r"hf_[A-Za-z0-9]{40}", document["secret"])
    assert document["token"]["created_by"] == "root"
    listed = api.get("/api/v1/tokens", headers=admin)
    assert document["secret"] not in listed.text
    assert document["secret"][:8] in listed.text
    assert [each["label"] for each in listed.json()["items"]] == ["ci", "root"]
    own = {"Authorization": f"Bearer {document['secret']}"}
    assert api.get("/api/v1/variants", headers=own).status_code == 200
    assert api.get("/api/v1/tokens", headers=own).status_code == 403
    assert api.post("/api/v1/tokens/ci/revoke", headers=admin).json()["revoked_at"]
    assert api.get("/api/v1/variants", headers=own).status_code == 401
    for body in (
        {"label": "", "scopes": ["read"]},
        {"label": "x", "scopes": []},
        {"label": "x", "scopes": ["root"]},
        {"label": "x", "scopes": ["read"], "expires_in_seconds": 0},
        {"label": "x", "scopes": ["read"], "resources": ["a/b/c"]},
        {"label": "x", "scopes": ["read"], "more": 1},
    ):
        assert api.post("/api/v1/tokens", json=body, headers=admin).status_code == 422, body


# -- limits and settings --------------------------------------------------------------------------------------------


def test_failures_are_limited_and_working_tokens_are_not(serving, workspace):
    api = serving(AuthMode.ALL)
    working = secret(workspace, TokenScope.READ)
    bad = {"Authorization": f"Bearer {UNKNOWN}"}
    statuses = [api.get("/api/v1/variants", headers=bad).status_code for _ in range(MOST_FAILURES + 2)]
    assert statuses == [401] * MOST_FAILURES + [429] * 2
    limited = api.get("/api/models/a/b", headers=bad)
    assert limited.status_code == 429
    assert 0 < int(limited.headers["retry-after"]) <= WINDOW_SECONDS
    assert limited.headers["ratelimit"].startswith('"api";r=0;t=')
    assert api.get("/api/v1/variants", headers=working).status_code == 200


def test_a_database_that_is_away_is_no_reason_to_hide_it(serving, workspace, monkeypatch):
    def away(_: str) -> None:
        raise Unavailable("the database is away")

    monkeypatch.setattr(workspace, "authenticate", away)
    headers = {"Authorization": f"Bearer {UNKNOWN}"}
    api = serving(AuthMode.ALL)
    assert api.get("/api/v1/health", headers=headers).json()["version"]
    refused = api.get("/api/v1/variants", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert serving(AuthMode.OFF).get("/api/v1/variants", headers=headers).status_code == 200


def test_the_limit_is_bounded_and_forgets():
    now = [0.0]
    limit = FailureLimit(clock=lambda: now[0])
    for _ in range(MOST_FAILURES):
        limit.check("a")
        limit.note("a")
    with pytest.raises(TooManyRequests) as caught:
        limit.check("a")
    assert caught.value.details["retry_after"] == WINDOW_SECONDS
    limit.check("b")
    now[0] = WINDOW_SECONDS
    limit.check("a")
    for number in range(MOST_ADDRESSES + 10):
        limit.note(str(number))
    assert len(limit._windows) == MOST_ADDRESSES


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "registry.example"])
def test_an_open_server_does_not_start_where_others_reach_it(settings, host):
    exposed = msgspec.structs.replace(settings, host=host)
    with pytest.raises(InvalidInput, match="PLANNER_UNPROTECTED=1"):
        check_exposure(exposed)
    check_exposure(msgspec.structs.replace(exposed, auth=AuthMode.WRITES))
    check_exposure(msgspec.structs.replace(exposed, unprotected=True))
    check_exposure(settings)


def test_settings_of_access(tmp_path):
    made = load_settings(
        {"PLANNER_AUTH": "ALL", "PLANNER_OIDC": str(tmp_path / "x.toml"), "PLANNER_UNPROTECTED": "1"},
        data_dir=tmp_path,
    )
    assert (made.auth, made.oidc, made.unprotected) == (AuthMode.ALL, tmp_path / "x.toml", True)
    assert load_settings({}, data_dir=tmp_path).auth is AuthMode.OFF
    for name, value in (("PLANNER_AUTH", "on"), ("PLANNER_UNPROTECTED", "yes")):
        with pytest.raises(InvalidInput, match=name):
            load_settings({name: value}, data_dir=tmp_path)


def test_what_is_refused_before_routing_is_counted(serving, workspace):
    api = serving(AuthMode.ALL)
    reader = secret(workspace, TokenScope.READ)

    def counted(method: str, code: str) -> float:
        said = f'planner_requests_refused_total{{code="{code}",method="{method}"}} '
        lines = api.get("/metrics", headers=reader).text.splitlines()
        return sum(float(line.removeprefix(said)) for line in lines if line.startswith(said))

    asked = [
        ("GET", "not-authenticated", {}),
        ("POST", "not-allowed", reader),
        ("other", "not-allowed", reader),
    ]
    before = [counted(method, code) for method, code, _ in asked]
    api.get("/api/v1/models")
    api.post("/api/v1/jobs", json={}, headers=reader)
    api.request("BREW", "/api/v1/jobs", headers=reader)
    assert [counted(method, code) for method, code, _ in asked] == [number + 1 for number in before]
