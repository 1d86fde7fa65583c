from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tests.api.conftest import MAX_ARTIFACT_BYTES
from tests.api.problems import problem

Api = TestClient[Litestar]
BODY = bytes(range(256)) * 40
DIGEST = hashlib.sha256(BODY).hexdigest()
URL = f"/api/v1/artifacts/{DIGEST}"


@pytest.fixture
def stored(api: Api) -> Api:
    assert api.put(URL, content=BODY).status_code == 201
    return api


def blobs(data_dir: Path) -> list[Path]:
    return [path for path in (data_dir / "blobs").rglob("*") if path.is_file()]


def test_upload_then_read(stored: Api) -> None:
    answer = stored.get(URL)
    assert answer.status_code == 200
    assert answer.content == BODY
    assert answer.headers["etag"] == f'"{DIGEST}"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-length"] == str(len(BODY))
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "application/octet-stream"
    wanted = base64.b64encode(bytes.fromhex(DIGEST)).decode()
    assert answer.headers["repr-digest"] == f"sha-256=:{wanted}:"


def test_uploading_again_changes_nothing(stored: Api, data_dir: Path) -> None:
    answer = stored.put(URL, content=BODY)
    assert answer.status_code == 200
    assert answer.json() == {"sha256": DIGEST, "size": len(BODY), "created": False}
    assert len(blobs(data_dir)) == 1


def test_head_has_the_headers_of_get_and_no_body(stored: Api) -> None:
    head, get = stored.head(URL), stored.get(URL)
    assert head.status_code == 200
    assert head.content == b""
    for name in ("etag", "content-length", "accept-ranges", "content-type", "repr-digest"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ("bytes=0-99", slice(0, 100)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=10239-99999", slice(10239, None)),
    ],
)
def test_range(stored: Api, given: str, part: slice) -> None:
    answer = stored.get(URL, headers={"Range": given})
    assert answer.status_code == 206
    assert answer.content == BODY[part]
    start, end, _ = part.indices(len(BODY))
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(BODY)}"
    assert answer.headers["content-length"] == str(end - start)
    head = stored.head(URL, headers={"Range": given})
    assert (head.status_code, head.content) == (206, b"")
    assert head.headers["content-range"] == answer.headers["content-range"]


@pytest.mark.parametrize("given", ["bytes=1-0", "bytes=0-1,5-6", "lines=1-2", "bytes=x-y"])
def test_ranges_that_are_ignored(stored: Api, given: str) -> None:
    answer = stored.get(URL, headers={"Range": given})
    assert (answer.status_code, len(answer.content)) == (200, len(BODY))


@pytest.mark.parametrize("given", [f"bytes={len(BODY)}-", "bytes=-0", "bytes=" + "9" * 40 + "-"])
def test_ranges_outside_the_file(stored: Api, given: str) -> None:
    answer = stored.get(URL, headers={"Range": given})
    assert problem(answer, status=416)["field"] == "Range"
    assert answer.headers["content-range"] == f"bytes */{len(BODY)}"


def test_if_range(stored: Api) -> None:
    part = {"Range": "bytes=0-9"}
    assert stored.get(URL, headers=part | {"If-Range": f'"{DIGEST}"'}).status_code == 206
    for stale in ('"other"', f'W/"{DIGEST}"', "Wed, 21 Oct 2026 07:28:00 GMT"):
        assert stored.get(URL, headers=part | {"If-Range": stale}).status_code == 200


def test_conditional_requests(stored: Api) -> None:
    for tag in (f'"{DIGEST}"', f'W/"{DIGEST}"', "*", f'"x", "{DIGEST}"'):
        answer = stored.get(URL, headers={"If-None-Match": tag, "Range": "bytes=0-0"})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == f'"{DIGEST}"'
    assert stored.get(URL, headers={"If-None-Match": '"other"'}).status_code == 200
    assert stored.get(URL, headers={"If-Match": f'"{DIGEST}"'}).status_code == 200
    problem(stored.get(URL, headers={"If-Match": '"other"'}), status=412, code="precondition-failed")


def test_the_empty_file(api: Api) -> None:
    digest = hashlib.sha256(b"").hexdigest()
    assert api.put(f"/api/v1/artifacts/{digest}", content=b"").status_code == 201
    answer = api.get(f"/api/v1/artifacts/{digest}")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")
    problem(api.get(f"/api/v1/artifacts/{digest}", headers={"Range": "bytes=0-"}), status=416)


def test_wrong_bytes_are_refused_and_leave_nothing(api: Api, data_dir: Path) -> None:
    document = problem(api.put(URL, content=BODY[:-1] + b"x"), status=422, code="integrity-failure")
    assert DIGEST in str(document)
    problem(api.get(URL), status=404, code="not-found")
    assert blobs(data_dir) == []


def test_too_large(api: Api, data_dir: Path) -> None:
    body = b"x" * (MAX_ARTIFACT_BYTES + 1)
    url = f"/api/v1/artifacts/{hashlib.sha256(body).hexdigest()}"
    problem(api.put(url, content=body), status=413, code="too-large")
    problem(api.put(url, content=iter([body])), status=413, code="too-large")
    assert blobs(data_dir) == []


@pytest.mark.parametrize(
    "digest", ["0" * 63, "0" * 65, "G" * 64, DIGEST.upper(), "..%2f..%2fetc", "%00", "a" * 3000]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_what_is_no_digest(api: Api, method: str, digest: str) -> None:
    answer = api.request(method, f"/api/v1/artifacts/{digest}", content=b"" if method == "PUT" else None)
    if method == "HEAD":
        assert 400 <= answer.status_code < 500
    else:
        problem(answer)


def test_missing(stored: Api) -> None:
    other = "0" * 64
    answer = stored.post("/api/v1/artifacts/missing", json={"sha256": [DIGEST, other, other]})
    assert (answer.status_code, answer.json()) == (200, {"sha256": [other]})
    problem(stored.post("/api/v1/artifacts/missing", json={"sha256": ["x"]}), status=422)
    problem(stored.post("/api/v1/artifacts/missing", json={"sha256": [other] * 10_001}), status=422)
