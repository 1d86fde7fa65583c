"""Files by digest: conditional and partial reads, and uploads that are hashed while they are written."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import Executor
from functools import partial
from typing import Annotated, Any, Final

from litestar import Request, Response, Router, get, patch, post, put, route
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, PathParameter, QueryParameter, SkipValidation
from litestar.response import Stream
from litestar.types import Method

from planner.api.errors import PreconditionFailed, TooLarge, WrongBytes, respond
from planner.api.hub_view import HubView
from planner.api.parameters import ServiceParameter
from planner.api.ranges import Span, Unsatisfiable, keeps_range, matches, parse_range
from planner.api.reading_ahead import read_ahead
from planner.api.safety import RAW_BODY
from planner.api.uploading import consume, receive
from planner.domain.units import MAX_BYTES
from planner.domain.variant import SHA256
from planner.errors import IntegrityFailure, InvalidInput
from planner.settings import AuthMode
from planner.wire.problem import problem_of
from planner.wire.replies import Received, Upload
from planner.wire.requests import Digests
from planner.wire.service import Service
from planner.wire.serving import Serving

MAX_DIGESTS: Final = 10_000
"""Most digests in one question for missing files: no variant has more files."""

Digest = Annotated[
    str, PathParameter(description="sha256 in lower-case hex.", schema_extra={"pattern": "^[0-9a-f]{64}$"})
]


def _check_digest(sha256: str) -> None:
    if SHA256.fullmatch(sha256) is None:
        raise InvalidInput("sha256", f"`{sha256[:80]}` is not a sha256", allowed="64 lower-case hex digits")


def _headers(sha256: str, *, shared: bool) -> dict[str, str]:
    """Return what is said of a file; `shared` is whether a cache may give it to others than who asked."""
    digest = base64.b64encode(bytes.fromhex(sha256)).decode()
    return {
        "etag": f'"{sha256}"',
        "accept-ranges": "bytes",
        "cache-control": f"{'public' if shared else 'private'}, max-age=31536000, immutable",
        "repr-digest": f"sha-256=:{digest}:",
        "content-disposition": "attachment",
    }


def _stream(
    service: Service, sha256: str, span: Span, *, status: int, headers: dict[str, str], head: bool
) -> Response[Any]:
    chunks: Iterator[bytes] = (
        iter(()) if head else service.open_artifact(sha256, start=span.start, length=span.length)
    )
    return Stream(
        read_ahead(chunks),
        status_code=status,
        headers={**headers, "content-length": str(span.length)},
        media_type="application/octet-stream",
    )


def _operation_id(_: HTTPRouteHandler, method: Method, __: object) -> str:
    return "headArtifact" if method == "HEAD" else "readArtifact"


@route(
    "/artifacts/{sha256:str}",
    http_method=["GET", "HEAD"],
    operation_id=_operation_id,
    summary="Read a file, or part of it",
    description=(
        "Honours Range, If-Range, If-None-Match and If-Match. The ETag is the digest. A file that only quarantined "
        "variants have needs a token that may `measure`."
    ),
    responses={
        200: ResponseSpec(
            bytes,
            description="The whole file",
            media_type="application/octet-stream",
            generate_examples=False,
        ),
        206: ResponseSpec(
            bytes,
            description="The part asked for",
            media_type="application/octet-stream",
            generate_examples=False,
        ),
        304: ResponseSpec(None, description="The caller has it"),
        416: ResponseSpec(None, description="The range lies outside the file"),
    },
    sync_to_thread=True,
)
def read_artifact(
    service: NamedDependency[SkipValidation[Serving]],
    request: Request[Any, Any, Any],
    hub_view: NamedDependency[HubView],
    auth_mode: NamedDependency[AuthMode],
    sha256: Digest,
) -> Response[Any]:
    """Stream a file or a part of it. Raises Withheld for one that only quarantined variants have."""
    _check_digest(sha256)
    hub_view.withholding.check(service.holdings(), sha256, auth=auth_mode)
    return respond_with_file(service, request, sha256, headers={})


def respond_with_file(
    service: Service, request: Request[Any, Any, Any], sha256: str, *, headers: dict[str, str]
) -> Response[Any]:
    """Return the file, or what the request's conditions and range ask for of it, with `headers` besides its own.

    Raises NotFound, PreconditionFailed.
    """
    size = service.artifact_size(sha256)
    sent = request.headers
    headers, etag = _headers(sha256, shared="authorization" not in sent) | headers, f'"{sha256}"'
    if "if-match" in sent and not matches(sent["if-match"], etag):
        raise PreconditionFailed("the file is not the one in If-Match", field="If-Match", allowed=etag)
    if matches(sent.get("if-none-match"), etag):
        return Response(None, status_code=304, headers=headers)
    try:
        part = parse_range(sent.get("range"), size) if keeps_range(sent.get("if-range"), etag) else None
    except Unsatisfiable:
        error = InvalidInput(
            "Range", "lies outside the file", allowed=f"within 0 to {size - 1}" if size else "no range"
        )
        response = respond(problem_of(error, instance=request.url.path, status=416))
        response.set_header("content-range", f"bytes */{size}")
        return response
    head = request.method == "HEAD"
    if part is None:
        return _stream(service, sha256, Span(0, size), status=200, headers=headers, head=head)
    headers["content-range"] = f"bytes {part.start}-{part.start + part.length - 1}/{size}"
    return _stream(service, sha256, part, status=206, headers=headers, head=head)


@put(
    "/artifacts/{sha256:str}",
    operation_id="uploadArtifact",
    summary="Store a file under its digest",
    description="The bytes are hashed while they are written; nothing is kept when they are not the promised ones.",
    responses={201: ResponseSpec(Upload, description="Stored", generate_examples=False)},
    opt={RAW_BODY: True},
    request_max_body_size=None,
)
async def upload_artifact(
    service: ServiceParameter,
    request: Request[Any, Any, Any],
    max_artifact_bytes: NamedDependency[int],
    upload_threads: NamedDependency[Executor],
    sha256: Digest,
) -> Response[Upload]:
    """Store a file; 200 when it was there."""
    _check_digest(sha256)
    announced = request.content_length
    if announced is not None and announced > max_artifact_bytes:
        raise TooLarge(
            f"{announced} bytes are more than the server takes",
            field="Content-Length",
            allowed=f"at most {max_artifact_bytes}",
        )
    try:
        upload = await receive(
            service,
            request.stream(),
            sha256=sha256,
            size=announced,
            limit=max_artifact_bytes,
            threads=upload_threads,
        )
    except IntegrityFailure as error:
        raise WrongBytes(error.message, **error.details) from error
    return Response(upload, status_code=201 if upload.created else 200)


Size = Annotated[int, QueryParameter(ge=1, le=MAX_BYTES, description="Bytes of the whole file.")]


@get(
    "/artifacts/{sha256:str}/upload",
    operation_id="uploadReceived",
    summary="Say how far the upload of a file has come, to go on from there",
    sync_to_thread=True,
)
def upload_received(service: ServiceParameter, sha256: Digest, size: Size) -> Received:
    """Return the offset that the next part begins at."""
    _check_digest(sha256)
    return service.received(sha256, size=size)


@patch(
    "/artifacts/{sha256:str}",
    operation_id="appendArtifact",
    summary="Send the next part of a file",
    description=(
        "The body is `Content-Length` bytes from `offset` on. The answer means that they are on disk; the last part makes "
        "the file whole, which is verified. 409 with the right `offset` when the upload has come to another one."
    ),
    opt={RAW_BODY: True},
    request_max_body_size=None,
)
async def append_artifact(
    *,
    service: ServiceParameter,
    request: Request[Any, Any, Any],
    max_artifact_bytes: NamedDependency[int],
    upload_threads: NamedDependency[Executor],
    sha256: Digest,
    size: Size,
    offset: Annotated[int, QueryParameter(ge=0, le=MAX_BYTES, description="Where the part begins.")],
) -> Received:
    """Take a part of a file."""
    _check_digest(sha256)
    length = request.content_length
    if length is None or not 0 < length <= size - offset:
        raise InvalidInput(
            "Content-Length",
            f"{length} does not fit",
            allowed=f"1 to {max(size - offset, 1)}, stated beforehand",
        )
    if size > max_artifact_bytes:
        raise TooLarge(
            f"{size} bytes are more than the server takes",
            field="size",
            allowed=f"at most {max_artifact_bytes}",
        )
    try:
        part = partial(service.append, sha256=sha256, size=size, start=offset, length=length)
        return await consume(request.stream(), part, limit=length, threads=upload_threads)
    except IntegrityFailure as error:
        raise WrongBytes(error.message, **error.details) from error


@post(
    "/artifacts/missing",
    operation_id="missingArtifacts",
    summary="Say which files the store does not hold",
    status_code=200,
    sync_to_thread=True,
)
def missing_artifacts(service: ServiceParameter, data: JSONBody[Digests]) -> Digests:
    """Return the digests whose bytes are to be uploaded."""
    if len(data.sha256) > MAX_DIGESTS:
        raise InvalidInput(
            "sha256", f"{len(data.sha256)} digests are too many", allowed=f"at most {MAX_DIGESTS}"
        )
    for digest in data.sha256:
        _check_digest(digest)
    return Digests(sha256=service.missing(data.sha256))


router = Router(
    "/",
    route_handlers=[read_artifact, upload_artifact, append_artifact, upload_received, missing_artifacts],
    tags=["Artifacts"],
)
