"""Commits of the Hugging Face protocol: read while they arrive, then made and registered in one go."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from functools import partial
from typing import Any, Final

from litestar import Response, Router, post
from litestar.di import NamedDependency, Provide

from planner.api.hub_commit_lines import MAX_BODY, Body, read_body
from planner.api.hub_errors import HANDLERS, Refusal, header_text
from planner.api.hub_request import PREFIX, HubRequest, View, Where, address_of, base_url, json_response
from planner.api.hub_write import UploadService, head_of, missing, refuse_pull_request, writable
from planner.api.safety import RAW_BODY
from planner.api.uploading import consume
from planner.domain.variant import Artifact
from planner.errors import NotFound, PlannerError
from planner.registry.uploads import StaleParent
from planner.wire.uploading import Committed, Uploading

_STALE: Final = 412


@post("/commit", status_code=200, opt={RAW_BODY: True}, request_max_body_size=None)
async def make_commit(
    service: UploadService,
    hub_view: View,
    request: HubRequest,
    where: Where,
    upload_threads: NamedDependency[Executor],
) -> Response[bytes]:
    """Commit to a branch: all of it, or nothing."""
    refuse_pull_request(request)
    announced = request.content_length
    if announced is not None and announced > MAX_BODY:
        raise Refusal(413, f"the commit has {announced} bytes; at most {MAX_BODY} are read, so split it")

    def read_and_commit(pieces: Iterator[bytes]) -> tuple[str, Committed]:
        try:
            pushed = writable(service, hub_view, where.repository)
            head_of(pushed, where.revision)
            body = read_body(pieces, put=partial(_put, service), size_of=partial(_size, service))
        except (Refusal, PlannerError):
            for _ in pieces:  # a client that is still sending would not hear the reason
                pass
            raise
        return pushed.repository.id, _commit(service, pushed.repository.id, where.revision, body)

    id_, done = await consume(request.stream(), read_and_commit, limit=MAX_BODY, threads=upload_threads)
    answer: dict[str, Any] = {
        "success": True,
        "commitOid": done.commit.id,
        "commitUrl": f"{base_url(request)}/{id_}/commit/{done.commit.id}",
        "hookOutput": "",
        "variant": done.commit.variant_id,
    }
    headers: dict[str, str] = {}
    if done.warning:
        headers["X-HF-Warning"] = f"registration; {header_text(done.warning)}"
    return json_response(answer, headers=headers)


def _commit(service: Uploading, id_: str, branch: str, body: Body) -> Committed:
    header = body.header
    try:
        return service.commit(
            id_,
            branch,
            body.operations,
            summary=header.summary,
            description=header.description or "",
            parent=header.parent_commit or None,
        )
    except StaleParent as error:
        raise Refusal(_STALE, error.message) from None
    except NotFound as error:
        raise missing(error) from None


def _put(service: Uploading, content: bytes) -> Artifact:
    stored = service.keep(content)
    return Artifact(path="content", size=stored.size, sha256=stored.sha256)


def _size(service: Uploading, sha256: str) -> int | None:
    try:
        return service.artifact_size(sha256)
    except NotFound:
        return None


router = Router(
    PREFIX,
    route_handlers=[make_commit],
    dependencies={"where": Provide(address_of, sync_to_thread=False)},
    exception_handlers=HANDLERS,
    include_in_schema=False,
)
