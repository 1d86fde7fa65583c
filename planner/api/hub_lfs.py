"""Large files of the Hugging Face protocol: the batch call of Git LFS, and the sealed addresses that it hands out.

https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md; the multipart transfer is the one of huggingface_hub. An object
that the store holds is answered without an address, so that no bytes travel twice, whoever brought them first.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Any, Final

import msgspec
from litestar import Response, Router, post, put
from litestar.di import NamedDependency, Provide
from litestar.params import RawBody

from planner.api.errors import TooLarge
from planner.api.hub_address import UPLOADS
from planner.api.hub_errors import HANDLERS, Refusal
from planner.api.hub_request import PREFIX, HubRequest, View, Where, address_of, base_url, json_response
from planner.api.hub_write import UploadService, read_json, writable
from planner.api.safety import RAW_BODY
from planner.api.uploading import consume, receive
from planner.artifacts.parts import new_session
from planner.domain.units import format_bytes
from planner.domain.variant import SHA256
from planner.errors import Conflict, IntegrityFailure, NotFound
from planner.wire.grant import Grant, Sealing
from planner.wire.uploading import Uploading

MAX_PARTS: Final = 1_000
"""A larger object goes in a thousand parts that are larger than the settings say."""
MAX_OBJECTS: Final = 1_000
SHORTEST_GRANT: Final = 3_600
"""Seconds for which an address holds at least."""
SLOWEST: Final = 1_000_000
"""Bytes per second of the slowest upload that an address still holds for."""
LONGEST_GRANT: Final = 7 * 24 * 3_600
_LFS_JSON: Final = "application/vnd.git-lfs+json"
_WRONG_BYTES: Final = 422


class _Object(msgspec.Struct, frozen=True):
    oid: str
    size: int


class _Batch(msgspec.Struct, frozen=True):
    objects: list[_Object]
    operation: str = "upload"
    transfers: tuple[str, ...] = ("basic",)
    hash_algo: str = "sha256"


class _Part(msgspec.Struct, frozen=True, rename="camel"):
    part_number: int
    etag: str


class _Completion(msgspec.Struct, frozen=True):
    oid: str
    parts: list[_Part]


@post("/lfs-batch", status_code=200, opt={RAW_BODY: True}, sync_to_thread=True)
def batch(  # noqa: PLR0917 - what Litestar provides, by name
    service: UploadService,
    hub_view: View,
    request: HubRequest,
    where: Where,
    max_artifact_bytes: NamedDependency[int],
    upload_part_bytes: NamedDependency[int],
    body: RawBody,
) -> Response[bytes]:
    """Say where each object is to be sent; nothing for one that is here, an error for one that cannot be taken."""
    data = read_json(body, _Batch)
    if data.operation != "upload":
        raise Refusal(400, f"operation: `{data.operation[:50]}` is not served; files are read by /resolve")
    if data.hash_algo != "sha256":
        raise Refusal(409, f"hash_algo: `{data.hash_algo[:50]}` is not served; only sha256 is")
    if len(data.objects) > MAX_OBJECTS:
        raise Refusal(413, f"objects: {len(data.objects)} are too many; at most {MAX_OBJECTS} in one call")
    desk = _Desk(
        service,
        writable(service, hub_view, where.repository).repository.id,
        base_url(request),
        limit=max_artifact_bytes,
        part_bytes=upload_part_bytes if "multipart" in data.transfers else max_artifact_bytes,
    )
    answers = [desk.answer(wanted) for wanted in data.objects]
    content = {"transfer": "basic", "objects": answers, "hash_algo": "sha256"}
    return Response(
        msgspec.json.encode(content),
        media_type=_LFS_JSON,
        status_code=200,
        headers={"Cache-Control": "no-store"},
    )


class _Desk:
    """Hands out the addresses of one batch."""

    def __init__(
        self, service: Uploading, repository: str, base: str, *, limit: int, part_bytes: int
    ) -> None:
        self._service = service
        self._signer = service.signer
        self._repository = repository
        self._base = base
        self._limit = limit
        self._part_bytes = part_bytes
        self._free = service.free_bytes()

    def answer(self, wanted: _Object) -> dict[str, Any]:
        """Return what the client is told of one object."""
        answer: dict[str, Any] = {"oid": wanted.oid, "size": wanted.size, "authenticated": True}
        problem = self._problem(wanted)
        if problem is not None:
            return answer | {"error": {"code": problem[0], "message": problem[1]}}
        if self._service.missing([wanted.oid]):
            self._free -= wanted.size
            answer["actions"] = self._actions(wanted)
        return answer

    def _problem(self, wanted: _Object) -> tuple[int, str] | None:
        if SHA256.fullmatch(wanted.oid) is None:
            return 422, "oid: is not a sha256; allowed: 64 lower-case hex digits"
        if not 0 <= wanted.size <= self._limit:
            return 422, f"size: {wanted.size} bytes; allowed: 0 to {self._limit}"
        if not self._service.missing([wanted.oid]):
            held = self._service.artifact_size(wanted.oid)
            return None if held == wanted.size else (422, f"size: the object has {held} bytes")
        if wanted.size > self._free:
            room = format_bytes(max(0, self._free), binary=False)
            return 507, f"no room for {format_bytes(wanted.size, binary=False)}: {room} free"
        return None

    def _actions(self, wanted: _Object) -> dict[str, Any]:
        seconds = min(LONGEST_GRANT, max(SHORTEST_GRANT, wanted.size // SLOWEST))
        whole = Grant(
            method="PUT",
            repository=self._repository,
            sha256=wanted.oid,
            size=wanted.size,
            expires=int(time.time()) + seconds,
            length=wanted.size,
        )
        verify = {"href": f"{self._base}/{self._repository}.git/info/lfs/objects/verify"}
        if wanted.size <= self._part_bytes:
            upload = {"href": self._href(whole), "expires_in": seconds}
            return {"upload": upload, "verify": verify}
        chunk = max(self._part_bytes, -(-wanted.size // MAX_PARTS))
        session = new_session()
        header = {"chunk_size": str(chunk)}
        for part, start in enumerate(range(0, wanted.size, chunk), start=1):
            length = min(chunk, wanted.size - start)
            header[str(part)] = self._href(
                msgspec.structs.replace(whole, session=session, part=part, start=start, length=length)
            )
        completion = msgspec.structs.replace(whole, method="POST", session=session, part=len(header) - 1)
        upload = {"href": self._href(completion), "header": header, "expires_in": seconds}
        return {"upload": upload, "verify": verify}

    def _href(self, grant: Grant) -> str:
        return f"{self._base}{UPLOADS}{self._signer.seal(grant)}"


@post("/lfs-verify", status_code=200, opt={RAW_BODY: True}, sync_to_thread=True)
def verify(service: UploadService, body: RawBody) -> Response[bytes]:
    """Say that an object is here, whole."""
    wanted = read_json(body, _Object)
    if SHA256.fullmatch(wanted.oid) is None:
        raise Refusal(422, "oid: is not a sha256; allowed: 64 lower-case hex digits")
    try:
        held = service.artifact_size(wanted.oid)
    except NotFound:
        raise Refusal(404, f"{wanted.oid} has not been uploaded") from None
    if held != wanted.size:
        raise Refusal(422, f"size: the object has {held} bytes, not {wanted.size}")
    return json_response({})


@put("/upload", status_code=200, opt={RAW_BODY: True}, request_max_body_size=None)
async def take(
    service: UploadService, request: HubRequest, where: Where, upload_threads: NamedDependency[Executor]
) -> Response[bytes]:
    """Store an object, or a part of one, under its sealed address."""
    grant = service.signer.open(where.path, method="PUT", now=time.time())
    announced = request.content_length
    if announced is not None and announced != grant.length:
        raise Refusal(_WRONG_BYTES, f"Content-Length: {announced} bytes instead of {grant.length}")
    try:
        if grant.session:
            await _take_part(service, request, grant, upload_threads)
            return json_response({}, headers={"ETag": f'"{service.signer.receipt(grant)}"'})
        await receive(
            service,
            request.stream(),
            sha256=grant.sha256,
            size=grant.size,
            limit=grant.size,
            threads=upload_threads,
        )
    except (IntegrityFailure, TooLarge) as error:
        raise Refusal(_WRONG_BYTES, error.message) from None
    return json_response({}, headers={"ETag": f'"{grant.sha256}"'})


async def _take_part(service: Uploading, request: HubRequest, grant: Grant, threads: Executor) -> None:
    def write(pieces: Iterator[bytes]) -> None:
        service.upload_part(grant.session, pieces, size=grant.size, start=grant.start, length=grant.length)

    await consume(request.stream(), write, limit=grant.length, threads=threads)


@post("/upload", status_code=200, opt={RAW_BODY: True})
async def complete(
    service: UploadService,
    request: HubRequest,
    where: Where,
    upload_threads: NamedDependency[Executor],
) -> Response[bytes]:
    """Make an object of its parts, when each has been acknowledged and together they are what was promised."""

    def finish(pieces: Iterator[bytes]) -> None:
        signer = service.signer
        grant = signer.open(where.path, method="POST", now=time.time())
        _check_parts(signer, grant, read_json(b"".join(pieces), _Completion))
        try:
            service.complete_parts(grant.session, sha256=grant.sha256, size=grant.size)
        except IntegrityFailure as error:
            raise Refusal(_WRONG_BYTES, error.message) from None
        except NotFound as error:
            # A completion whose answer was lost is asked for again.
            if service.missing([grant.sha256]):
                raise Refusal(404, error.message) from None
        except Conflict as error:
            raise Refusal(503, error.message) from None

    await consume(request.stream(), finish, limit=MAX_PARTS * 1_024, threads=upload_threads)
    return json_response({})


def _check_parts(signer: Sealing, grant: Grant, data: _Completion) -> None:
    if data.oid != grant.sha256:
        raise Refusal(_WRONG_BYTES, "oid: is not the object of this address")
    numbers = [part.part_number for part in data.parts]
    if sorted(numbers) != list(range(1, grant.part + 1)):
        raise Refusal(_WRONG_BYTES, f"parts: are not the {grant.part} of this upload")
    for part in data.parts:
        if not signer.is_receipt(part.etag, session=grant.session, part=part.part_number):
            raise Refusal(_WRONG_BYTES, f"parts: part {part.part_number} has not arrived whole")


router = Router(
    PREFIX,
    route_handlers=[batch, verify, take, complete],
    dependencies={"where": Provide(address_of, sync_to_thread=False)},
    exception_handlers=HANDLERS,
    include_in_schema=False,
)
