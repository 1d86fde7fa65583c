"""Uploads by Xet, which current clients of the Hugging Face protocol choose unasked: a token, then xorbs, then shards.

https://huggingface.co/docs/xet/api. What arrives becomes ordinary files of the store, so the commit that follows finds them as if
they had come over LFS. Files are never served this way, and nothing here tells a client which chunks the server knows.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from typing import Final

from litestar import Response, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath

from planner.api.hub_errors import HANDLERS, Refusal
from planner.api.hub_request import PREFIX, HubRequest, View, Where, address_of, base_url, json_response
from planner.api.hub_write import UploadService, writable
from planner.api.safety import RAW_BODY
from planner.api.uploading import consume
from planner.artifacts.xet.shard import MAX_SHARD
from planner.artifacts.xet.xorb import MAX_XORB
from planner.errors import IntegrityFailure
from planner.wire.grant import Grant
from planner.wire.uploading import Uploading

CAS: Final = "/cas"
TOKEN_SECONDS: Final = 3_600
_METHOD: Final = "XET"
_WRONG_BYTES: Final = 422
_FOOTER_BYTES: Final = 1024**2
"""What older clients send after the chunks of a xorb, at most."""


class _Running:
    """Assemblies that are under way, so that a client that asks again waits for the first one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Future[int]] = {}

    def join(self, service: Uploading, shard: bytes, limit: int) -> int:
        """Return how many files the shard made, made by this call or by one that is at it."""
        key = hashlib.sha256(shard).hexdigest()
        mine: Future[int] = Future()
        with self._lock:
            running = self._known.setdefault(key, mine)
        if running is not mine:
            return running.result()
        try:
            count = service.assemble(shard, limit=limit)
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            mine.set_result(count)
            return count
        finally:
            with self._lock:
                del self._known[key]


_RUNNING: Final = _Running()


@get("/xet-write-token", sync_to_thread=True)
def write_token(service: UploadService, hub_view: View, request: HubRequest, where: Where) -> Response[bytes]:
    """Return where xorbs go and the token to send with them; clients read it from the headers or from the body."""
    repository = writable(service, hub_view, where.repository).repository.id
    expires = int(time.time()) + TOKEN_SECONDS
    token = service.signer.seal(
        Grant(method=_METHOD, repository=repository, sha256="", size=0, expires=expires)
    )
    endpoint = f"{base_url(request)}{CAS}"
    return json_response(
        {"casUrl": endpoint, "accessToken": token, "exp": expires},
        headers={
            "X-Xet-Cas-Url": endpoint,
            "X-Xet-Access-Token": token,
            "X-Xet-Token-Expiration": str(expires),
        },
    )


@post(
    "/v1/xorbs/{prefix:str}/{digest:str}", status_code=200, opt={RAW_BODY: True}, request_max_body_size=None
)
async def take_xorb(
    service: UploadService,
    request: HubRequest,
    digest: FromPath[str],
    upload_threads: NamedDependency[Executor],
) -> Response[bytes]:
    """Keep a xorb whose hash is that of its address."""
    _check_token(service, request)

    def write(pieces: Iterator[bytes]) -> bool:
        try:
            return service.take_xorb(digest, pieces)
        except IntegrityFailure as error:
            raise Refusal(_WRONG_BYTES, error.message) from None

    inserted = await consume(request.stream(), write, limit=MAX_XORB + _FOOTER_BYTES, threads=upload_threads)
    return json_response({"was_inserted": inserted})


@post("/v1/shards", status_code=200, opt={RAW_BODY: True}, request_max_body_size=None)
async def take_shard(
    service: UploadService,
    request: HubRequest,
    max_artifact_bytes: NamedDependency[int],
    upload_threads: NamedDependency[Executor],
) -> Response[bytes]:
    """Put the files of a shard together; the answer comes when they are stored."""
    _check_token(service, request)

    def finish(pieces: Iterator[bytes]) -> int:
        try:
            return _RUNNING.join(service, b"".join(pieces), max_artifact_bytes)
        except IntegrityFailure as error:
            raise Refusal(_WRONG_BYTES, error.message) from None

    await consume(request.stream(), finish, limit=MAX_SHARD, threads=upload_threads)
    return json_response({"result": 1})


def _check_token(service: Uploading, request: HubRequest) -> None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refusal(401, "a token from /api/models/ID/xet-write-token/REVISION is needed")
    service.signer.open(token.strip(), method=_METHOD, now=time.time())


token_router = Router(
    PREFIX,
    route_handlers=[write_token],
    dependencies={"where": Provide(address_of, sync_to_thread=False)},
    exception_handlers=HANDLERS,
    include_in_schema=False,
)
router = Router(
    CAS,
    route_handlers=[take_xorb, take_shard],
    exception_handlers=HANDLERS,
    include_in_schema=False,
)
