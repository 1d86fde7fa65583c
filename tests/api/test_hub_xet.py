"""Uploads by Xet by hand: what a hostile or broken client sends."""

from __future__ import annotations

import hashlib
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from planner.api.hub_xet import _Running  # pyright: ignore[reportPrivateUsage]
from planner.errors import InvalidInput
from tests.artifacts.xet.written import file, shard, term, xorb

Api = TestClient[Litestar]
REPOSITORY = "acme/by-xet"


@pytest.fixture(scope="module")
def token(shared_api: Api) -> str:
    shared_api.post("/api/repos/create", json={"name": REPOSITORY})
    answer = shared_api.get(f"/api/models/{REPOSITORY}/xet-write-token/main")
    assert answer.status_code == 200
    body = answer.json()
    assert answer.headers["x-xet-cas-url"] == body["casUrl"] == "http://127.0.0.1/cas"
    assert answer.headers["x-xet-access-token"] == body["accessToken"]
    assert int(answer.headers["x-xet-token-expiration"]) == body["exp"]
    return str(body["accessToken"])


def send(api: Api, path: str, body: bytes, token: str | None) -> httpx.Response:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    return api.post(f"/cas{path}", content=body, headers=headers)


def chunks(seed: int) -> list[bytes]:
    return [random.Random(seed * 100 + n).randbytes(2_000 + n) for n in range(7)]


def test_a_file_arrives_as_chunks_and_is_committed(shared_api: Api, token: str) -> None:
    parts = chunks(1)
    whole = b"".join(parts)
    name, sent = xorb(*parts)
    assert send(shared_api, f"/v1/xorbs/default/{name}", sent, token).json() == {"was_inserted": True}
    asked = shard(file(whole, term(name, parts, 0, 7)))
    assert send(shared_api, "/v1/shards", asked, token).json() == {"result": 1}
    assert send(shared_api, "/v1/shards", asked, token).json() == {"result": 1}
    sha256 = hashlib.sha256(whole).hexdigest()
    lines = [
        '{"key":"header","value":{"summary":"s"}}',
        f'{{"key":"lfsFile","value":{{"path":"a.arrow","algo":"sha256","oid":"{sha256}","size":{len(whole)}}}}}',
    ]
    answer = shared_api.post(f"/api/models/{REPOSITORY}/commit/main", content="\n".join(lines).encode())
    assert answer.status_code == 200, answer.text
    assert shared_api.get(f"/{REPOSITORY}/resolve/main/a.arrow").content == whole


@pytest.mark.parametrize("wrong", [None, "", "hf_" + "a" * 34, "e30.AAAA"])
def test_only_the_token_of_an_upload_opens_the_way(shared_api: Api, token: str, wrong: str | None) -> None:
    name, sent = xorb(*chunks(2))
    for given in (wrong, None if wrong is None else token[:-2] + "AA"):
        for path, body in ((f"/v1/xorbs/default/{name}", sent), ("/v1/shards", shard())):
            answer = send(shared_api, path, body, given)
            assert answer.status_code in {401, 403}
            assert answer.headers["x-error-message"]


def test_a_token_is_given_for_what_can_be_pushed_to(shared_api: Api) -> None:
    assert shared_api.get("/api/models/acme/nothing/xet-write-token/main").status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        (f"/v1/xorbs/default/{'0' * 64}", xorb(b"abc")[1], 422, "its hash is"),
        (f"/v1/xorbs/default/{'0' * 64}", b"", 422, "has no chunks"),
        (f"/v1/xorbs/default/{'0' * 64}", b"\x07" * 40, 422, "version 7"),
        ("/v1/xorbs/default/no-hash", b"", 422, "is not a hash"),
        ("/v1/shards", b"no shard", 422, "too short"),
        ("/v1/shards", shard(file(b"abc", term(xorb(b"abc")[0], [b"abc"], 0, 1)))[:200], 422, "ends inside"),
        ("/v1/shards", shard(file(b"never", term(xorb(b"never")[0], [b"never"], 0, 1))), 422, "is not here"),
    ],
)
def test_what_is_wrong_is_said(
    shared_api: Api, token: str, path: str, body: bytes, status: int, says: str
) -> None:
    answer = send(shared_api, path, body, token)
    assert answer.status_code == status
    assert says in answer.headers["x-error-message"]


def test_nothing_is_said_about_chunks_that_the_server_has(shared_api: Api, token: str) -> None:
    for path in (f"/cas/v1/chunks/default-merkledb/{'0' * 64}", f"/cas/v1/reconstructions/{'0' * 64}"):
        assert shared_api.get(path, headers={"authorization": f"Bearer {token}"}).status_code == 404
    assert send(shared_api, f"/v1/xorb-grants/default/{'0' * 64}", b"", token).status_code == 404
    assert send(shared_api, "/v2/shards", shard(), token).status_code == 404


class Slow:
    """Stands for a service that takes its time with an assembly."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls = 0
        self.go = threading.Event()
        self.error = error

    def assemble(self, _: bytes, *, limit: int) -> int:
        self.calls += 1
        assert self.go.wait(10)
        if self.error is not None:
            raise self.error
        return limit


@pytest.mark.parametrize("error", [None, InvalidInput("shard", "is wrong")])
def test_who_asks_again_waits_for_the_first(error: Exception | None) -> None:
    running, service = _Running(), Slow(error)
    untyped: Any = service
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(running.join, untyped, b"same", 5) for _ in range(4)]
        while not any(future.running() for future in asked):
            pass
        threading.Timer(0.2, service.go.set).start()
        for future in asked:
            if error is None:
                assert future.result() == 5
            else:
                assert isinstance(future.exception(), InvalidInput)
    assert service.calls == 1
    service.error = None
    assert running.join(untyped, b"same", 7) == 7
