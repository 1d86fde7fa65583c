from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from planner.client import AsyncClient, Client, answering, calls
from planner.client.calls import Call
from planner.domain.job import Failure, FailureReason, JobKind, JobState
from planner.domain.listing import VariantFilter, VariantSort
from planner.domain.outcome import Infeasible, Recommended
from planner.domain.scenario import Scenario
from planner.errors import (
    Conflict,
    IntegrityFailure,
    InvalidInput,
    InvalidQuery,
    LeaseLost,
    NotFound,
    PlannerError,
    Unavailable,
    UnsafeFile,
)
from planner.wire.problem import problem_of
from planner.wire.requests import JobRequest
from planner.wire.service import Service
from planner.workspace import Workspace
from tests.api.process import running_server
from tests.workspace.folders import write_llama


@pytest.fixture(scope="module")
def url(data_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that the module's tests share."""
    import shutil

    folder = Path(shutil.copytree(data_template, tmp_path_factory.mktemp("server") / "data"))
    with running_server(folder) as server:
        yield server.url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as opened:
        yield opened


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without waiting."""
    monkeypatch.setattr(answering, "pause", lambda *_: 0.0)


def mocked(handler: Callable[[httpx.Request], httpx.Response]) -> Client:
    return Client("http://planner.example", transport=httpx.MockTransport(handler))


def test_client_and_workspace_have_the_same_methods() -> None:
    """The protocol is what both promise; mypy checks the types, this the names and parameters."""
    for name, method in inspect.getmembers(Service, inspect.isfunction):
        if name.startswith("_"):
            continue
        wanted = list(inspect.signature(method).parameters)
        for implementation in (Client, Workspace):
            assert list(inspect.signature(getattr(implementation, name)).parameters) == wanted, (
                implementation,
                name,
            )


def test_is_a_service(url: str) -> None:
    service: Service = Client(url)
    assert service.health().ok
    service.close()


def test_answers_are_those_of_the_workspace(client: Client, workspace: Workspace) -> None:
    query = "13B on 24GB, <=1% loss"
    here, there = workspace.recommend(query=query), client.recommend(query=query)
    assert there.result == here.result
    assert there.understood == here.understood
    assert client.plan(there.id) == there
    assert client.understand(query) == workspace.understand(query)
    assert client.recommend(scenario=there.scenario).result == here.result
    assert isinstance(client.recommend(query="70B on 8GB").result, Infeasible)
    assert client.replay(there.id).identical
    assert isinstance(there.result, Recommended)
    chosen = there.result.chosen.variant_id
    assert client.why(chosen, plan_id=there.id).chosen
    assert client.why(chosen, query=query).candidate == here.result.chosen  # type: ignore[union-attr]
    assert client.presets() == workspace.presets()
    wanted = VariantFilter(max_bits=4, scheme="gguf")
    assert client.variants(wanted, sort=VariantSort.LOSS, limit=10) == workspace.variants(
        wanted, sort=VariantSort.LOSS, limit=10
    )
    for name in ("models", "devices", "profiles", "evaluations", "aliases"):
        assert getattr(client, name)(limit=5) == getattr(workspace, name)(limit=5)
    model = client.models(limit=1).items[0]
    assert client.model(model.hub_id or model.id) == model


def test_pages_go_on_to_the_end(client: Client) -> None:
    seen: list[str] = []
    page = client.variants(limit=100)
    while True:
        seen += [row.variant.id for row in page.items]
        if page.next_cursor is None:
            break
        page = client.variants(limit=100, cursor=page.next_cursor)
    assert len(seen) == len(set(seen)) > 500


def test_errors_are_the_servers(client: Client) -> None:
    with pytest.raises(NotFound) as missing:
        client.model("llama-2-13c")
    assert "llama-2-13b" in missing.value.details["nearest"]
    with pytest.raises(InvalidQuery) as invalid:
        client.recommend(query="13B on 24GB blorp")
    assert (invalid.value.details["position"], invalid.value.details["length"]) == (12, 5)
    with pytest.raises(InvalidInput) as field:
        client.variants(limit=0)
    assert field.value.details["field"] == "limit"
    with pytest.raises(NotFound):
        client.variant("../../health")
    with pytest.raises(InvalidInput):
        client.variant("")
    with pytest.raises(NotFound):
        list(client.open_artifact("0" * 64))
    with pytest.raises(NotFound):
        client.artifact_size("0" * 64)


def test_registering_a_folder(client: Client, tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "tiny")
    seen: list[tuple[int, int]] = []
    dry = client.register(folder, model="tiny", dry_run=True)
    assert (dry.created, dry.files_new, len(dry.missing)) == (True, 2, 2)
    done = client.register(folder, model="tiny", name="one", progress=lambda *at: seen.append(at))
    assert (done.created, done.files_new, done.bytes_new) == (True, 2, done.bytes_total)
    assert seen[-1][0] == seen[-1][1] > 0
    assert seen == sorted(seen)
    assert done.variant is not None
    assert client.variant("tiny/one") == done.variant
    again = client.register(folder, model="tiny", name="two")
    assert (again.created, again.files_new, again.variant) == (False, 0, done.variant)
    artifact = done.variant.artifacts[0]
    body = (folder / artifact.path).read_bytes()
    assert client.artifact_size(artifact.sha256) == artifact.size
    assert b"".join(client.open_artifact(artifact.sha256)) == body
    assert b"".join(client.open_artifact(artifact.sha256, start=7, length=20)) == body[7:27]
    assert b"".join(client.read(artifact, len(body) - 3)) == body[-3:]
    assert list(client.read(artifact, len(body))) == []
    alias = client.move_alias("prod", "tiny/one", expected=None, actor="ci")
    assert client.alias("prod").alias == alias
    with pytest.raises(Conflict):
        client.move_alias("prod", "tiny/one", expected=None)


def test_registering_what_is_not_allowed(client: Client, tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "tiny", seed=9)
    with pytest.raises(InvalidInput, match="contradicts"):
        client.register(folder, model="tiny", scheme="int4")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(UnsafeFile):
        client.register(folder, model="tiny")


def test_wrong_bytes(client: Client) -> None:
    with pytest.raises(IntegrityFailure):
        client.upload(iter([b"other"]), sha256=hashlib.sha256(b"bytes").hexdigest(), size=5)


def test_jobs(client: Client) -> None:
    job = client.create_job(
        JobRequest(kind=JobKind.MEASURE, spec={"variant": {"from": "reference"}}, requires=("device:t",))
    )
    assert client.lease(worker="w") is None
    lease = client.lease(worker="w", capabilities=frozenset({"device:t"}), kinds=(JobKind.MEASURE,))
    assert lease is not None
    assert lease.job.id == job.id
    assert client.heartbeat(job.id, token=lease.token, progress=0.25).attempts[0].progress == 0.25
    with pytest.raises(LeaseLost):
        client.complete(job.id, token=lease.token + 1, result={})
    failure = Failure(reason=FailureReason.INVALID_JOB, message="no such variant")
    assert client.fail(job.id, token=lease.token, failure=failure).state is JobState.FAILED
    assert client.cancel(job.id).state is JobState.FAILED
    assert client.jobs(state=JobState.FAILED).items[0].id == job.id


async def _asynchronously(url: str) -> tuple[bool, str]:
    async with AsyncClient(url) as client:
        health = await client.send(calls.health())
        plan = await client.send(calls.recommend(query="7B on 16GB"))
        with pytest.raises(NotFound):
            await client.send(calls.model("nothing"))
        return health.ok, plan.query or ""


def test_asynchronous(url: str) -> None:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    # In a thread of its own: a browser test before this one may have left a loop running here.
    with ThreadPoolExecutor(max_workers=1) as pool:
        answered = pool.submit(asyncio.run, _asynchronously(url)).result()
    assert answered == (True, "7B on 16GB")


@pytest.mark.usefixtures("quick")
def test_nobody_there() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(Unavailable, match="planner up") as caught:
        client.health()
    assert caught.value.details["server"] == "http://127.0.0.1:9"


@pytest.mark.parametrize(
    "address", ["", "localhost", "ftp://x", "http://", "http://x:99999", "file:///etc/passwd", "http://[::1"]
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(InvalidInput, match="server"):
        Client(address)


ERRORS = [
    InvalidInput("a.b", "is wrong", allowed="right"),
    NotFound("model", "x", nearest=("y", "z")),
    InvalidQuery("what", query="q", position=3, expected=("a", "b"), suggestion="c"),
    UnsafeFile("a.bin", "", "is a pickle"),
    Conflict("changed", current="x"),
    LeaseLost("gone"),
    Unavailable("away"),
    IntegrityFailure("other bytes", expected=1),
]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
def test_every_error_comes_back_as_itself(error: PlannerError) -> None:
    import msgspec

    def handler(_: httpx.Request) -> httpx.Response:
        document = problem_of(error, instance="/x")
        return httpx.Response(
            error.status,
            content=msgspec.json.encode(document),
            headers={"content-type": "application/problem+json"},
        )

    with mocked(handler) as client, pytest.raises(type(error)) as caught:
        client.presets()
    assert type(caught.value) is type(error)
    assert caught.value.message == error.message
    assert json.loads(json.dumps(error.details)) == caught.value.details


def failing(times: int, failure: Callable[[], httpx.Response]) -> tuple[Client, list[httpx.Request]]:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return failure() if len(seen) <= times else httpx.Response(200, content=b"[]")

    return mocked(handler), seen


def unavailable() -> httpx.Response:
    return httpx.Response(503, content=b"away")


def broken() -> httpx.Response:
    raise httpx.ReadError("reset")


def refused() -> httpx.Response:
    raise httpx.ConnectError("refused")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("failure", [unavailable, broken, refused])
def test_calls_that_can_be_repeated_are(failure: Callable[[], httpx.Response]) -> None:
    client, seen = failing(answering.ATTEMPTS - 1, failure)
    assert client.presets() == ()
    assert len(seen) == answering.ATTEMPTS
    client, seen = failing(100, failure)
    with pytest.raises(Unavailable):
        client.presets()
    assert len(seen) == answering.ATTEMPTS


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("failure", "tries"), [(unavailable, 1), (broken, 1), (refused, answering.ATTEMPTS)])
def test_calls_that_cannot_be_repeated_are_only_when_they_never_arrived(
    failure: Callable[[], httpx.Response], tries: int
) -> None:
    client, seen = failing(100, failure)
    with pytest.raises(Unavailable):
        client.create_job(JobRequest(kind=JobKind.BUILD, spec={"a": 1}))
    assert len(seen) == tries


def test_pauses_grow_and_heed_the_server() -> None:
    for attempt in range(1, 10):
        longest = min(0.1 * 2 ** (attempt - 1), 5.0)
        assert longest / 2 <= answering.pause(attempt) <= longest
    assert answering.pause(1, "3") == 3.0
    assert answering.pause(1, "999") == 5.0
    assert answering.pause(1, "soon") < 1


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b"[{}]"])
def test_answers_that_are_not_understood(body: bytes) -> None:
    with (
        mocked(lambda _: httpx.Response(200, content=body)) as client,
        pytest.raises(Unavailable, match="not understood"),
    ):
        client.presets()


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_errors_that_are_not_ours(status: int) -> None:
    with (
        mocked(lambda _: httpx.Response(status, content=b"<html>")) as client,
        pytest.raises(Unavailable, match=str(status)),
    ):
        client.presets()


@pytest.mark.usefixtures("quick")
def test_reading_goes_on_where_the_connection_broke() -> None:
    body = bytes(range(256)) * 100
    ranges: list[str] = []

    class Breaking(httpx.SyncByteStream):
        def __init__(self, part: bytes) -> None:
            self._part = part

        def __iter__(self) -> Iterator[bytes]:
            yield self._part[:10_000]
            if len(self._part) > 10_000:
                raise httpx.ReadError("reset")

    def handler(request: httpx.Request) -> httpx.Response:
        given = request.headers.get("range", "bytes=0-")
        ranges.append(given)
        start = int(given.removeprefix("bytes=").split("-")[0])
        return httpx.Response(206 if "range" in request.headers else 200, stream=Breaking(body[start:]))

    with mocked(handler) as client:
        assert b"".join(client.open_artifact("0" * 64)) == body
    assert ranges == ["bytes=0-", "bytes=10000-", "bytes=20000-"]


def test_paths_are_quoted() -> None:
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path.decode())
        return httpx.Response(404, content=b"")

    with mocked(handler) as client:
        for name in ("sha256:ab", "a/b", "a b?c=d#e", "ü", "%2e"):
            with pytest.raises(Unavailable):
                client.variant(name)
    assert seen == [
        "/api/v1/variants/sha256:ab",
        "/api/v1/variants/a/b",
        "/api/v1/variants/a%20b%3Fc%3Dd%23e",
        "/api/v1/variants/%C3%BC",
        "/api/v1/variants/%252e",
    ]


def test_exactly_one_question() -> None:
    with pytest.raises(InvalidInput):
        calls.recommend()
    with pytest.raises(InvalidInput):
        calls.recommend(query="x", scenario=Scenario())
    with pytest.raises(InvalidInput):
        calls.why("v")


def test_calls_are_data() -> None:
    call = calls.variants(
        VariantFilter(fetchable=True, search="a b"), sort=VariantSort.LOSS_REVERSED, limit=3
    )
    assert isinstance(call, Call)
    assert call.parameters == {"fetchable": "true", "search": "a b", "sort": "-loss", "limit": "3"}
