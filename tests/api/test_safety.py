from __future__ import annotations

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from planner.api.app import create_app
from planner.api.safety import is_loopback
from planner.settings import Settings, load_settings
from planner.workspace import Workspace
from tests.api.problems import problem

Api = TestClient[Litestar]
JOB = {"kind": "build", "spec": {"base": {"from": "reference"}, "recipe": {"recipe": "int8"}}}


@pytest.mark.parametrize(
    "path", ["/", "/api/v1/health", "/api/v1/nothing", "/schema/openapi.json", "/metrics"]
)
def test_every_response_has_the_safety_headers(api: Api, path: str) -> None:
    headers = api.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost:8765", "[::1]:80", "LOCALHOST", "a.localhost", "127.3.2.1"]
)
def test_own_hosts(api: Api, host: str) -> None:
    assert api.get("/api/v1/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8765", "", "[::1", "10.0.0.1"]
)
def test_foreign_hosts_are_refused_on_loopback(api: Api, host: str) -> None:
    problem(api.get("/api/v1/health", headers={"Host": host}), status=403, code="forbidden")


def test_hosts_of_a_proxy_can_be_allowed(settings: Settings, workspace: Workspace) -> None:
    environ = {"PLANNER_ALLOWED_HOSTS": "planner.example, other.example"}
    allowed = load_settings(environ, data_dir=settings.data_dir)
    assert allowed.allowed_hosts == ("planner.example", "other.example")
    with TestClient(create_app(allowed, service=workspace), base_url="http://Planner.example") as client:
        assert (
            client.post("/api/v1/jobs", json=JOB, headers={"Origin": "https://planner.example"}).status_code
            == 201
        )
        problem(client.get("/api/v1/health", headers={"Host": "evil.example"}), status=403)


def test_any_host_is_served_when_not_on_loopback(settings: Settings, workspace: Workspace) -> None:
    open_settings = msgspec.structs.replace(settings, host="0.0.0.0")
    with TestClient(
        create_app(open_settings, service=workspace), base_url="http://planner.example"
    ) as client:
        assert client.get("/api/v1/health").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1"},
    ],
)
def test_writes_from_other_origins_are_refused(api: Api, headers: dict[str, str]) -> None:
    problem(api.post("/api/v1/jobs", json=JOB, headers=headers), status=403, code="forbidden")
    problem(api.put(f"/api/v1/artifacts/{'0' * 64}", content=b"x", headers=headers), status=403)
    assert api.get("/api/v1/jobs", headers=headers).status_code == 200
    assert api.get("/api/v1/jobs").json()["items"] == []


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "http://127.0.0.1"}, {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:80"}],
)
def test_own_writes_pass(api: Api, headers: dict[str, str]) -> None:
    assert api.post("/api/v1/jobs", json=JOB, headers=headers).status_code == 201


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        "application/jsonp",
    ],
)
def test_bodies_other_than_json_are_refused(api: Api, media_type: str) -> None:
    answer = api.post(
        "/api/v1/jobs", content=b'{"kind":"build","spec":{"a":1}}', headers={"Content-Type": media_type}
    )
    assert problem(answer, status=415)["allowed"] == "application/json"
    answer = api.post("/api/v1/recommend", content=b'{"query":"13B"}', headers={"Content-Type": media_type})
    problem(answer, status=415)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
