"""The reading half of the Hugging Face endpoint: `HF_ENDPOINT=http://host:port` makes stock clients fetch variants from this server.

A request's address is read from its undecoded path before routing (`hub_address`) and handled here: repositories
(`hub_repositories`), what a revision means in one (`hub_revisions`, `hub_plans`), and the answer's JSON (`hub_documents`).
A revision that can move is answered by a redirect to the commit it means now, so that no download mixes two variants.
Unknown query parameters are ignored: new releases of clients send new ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlencode

import msgspec
from litestar import Response, Router, get, post, route
from litestar.di import NamedDependency, Provide
from litestar.enums import ScopeType
from litestar.params import RawBody, SkipValidation
from litestar.types import ASGIApp, Receive, Send
from litestar.types import Scope as ASGIScope

from planner.api import hub_documents, hub_plans, hub_pushed, hub_revisions
from planner.api.artifacts import respond_with_file
from planner.api.hub_address import MAIN, Address, parse
from planner.api.hub_errors import HANDLERS, Refusal, header_text, no_entry, no_repository
from planner.api.hub_listing import listed, page_bounds
from planner.api.hub_repositories import Kind, Repository
from planner.api.hub_request import PREFIX, STATE, HubRequest, View, Where, address_of
from planner.api.hub_revisions import Snapshot
from planner.api.hub_standing import standing
from planner.api.hub_view import HubView
from planner.api.safety import RAW_BODY
from planner.domain.identity import ANONYMOUS, TokenScope
from planner.domain.variant import Artifact, Variant
from planner.settings import AuthMode
from planner.wire import acting
from planner.wire.serving import Load
from planner.wire.uploading import Uploading

HTTP_LIMIT: Final = 50 * 1000**3
"""Clients refuse to download larger files without Xet when they know the size (`MAX_HTTP_DOWNLOAD_SIZE`)."""
MAX_PATHS: Final = 10_000
_CLIENT: Final = re.compile(r"\bhf_hub/(\d+)\.(\d+)")
_SIZE_FREE_SINCE: Final = (1, 31)
"""First release of huggingface_hub that downloads a file whose size it was not told beforehand."""


def read_addresses(app: ASGIApp) -> ASGIApp:
    """Return `app` behind a reader of addresses, which sends requests of the protocol to the handlers of this module."""

    async def read(scope: ASGIScope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            root = scope["root_path"] if "root_path" in scope else ""  # noqa: SIM401 - `get` of a scope is untyped
            address = parse(scope["raw_path"].decode("latin-1").removeprefix(root))
            if address is not None:
                scope["path"] = f"{root}{PREFIX}/{address.operation.value}"
                scope["state"][STATE] = address
        await app(scope, receive, send)

    return read


HubService = NamedDependency[SkipValidation[Uploading]]


def _load(request: HubRequest, repository: Repository, revision: str) -> Load:
    return Load(
        client=request.client.host if request.client else "unknown",
        user_agent=request.headers.get("user-agent", ""),
        repository=repository.id,
        revision=revision,
        principal=principal.name if (principal := acting.current()) else None,
    )


def _snapshot(service: Uploading, view: HubView, request: HubRequest, address: Address) -> Snapshot:
    """Return what the address means. Raises Refusal."""
    pushed = hub_pushed.find(service, address.repository)
    if pushed is not None:
        snapshot = hub_pushed.snapshot(service, view, address, pushed)
        _remember(view, request, snapshot, address)
        return snapshot
    repository = view.repositories(service).get(address.repository)
    if hub_plans.asks_plan(repository, address.revision):
        return hub_plans.resolve(service, repository, _load(request, repository, address.revision))
    snapshot = hub_revisions.resolve(service, repository, address.revision)
    _remember(view, request, snapshot, address)
    return snapshot


def _remember(view: HubView, request: HubRequest, snapshot: Snapshot, address: Address) -> None:
    if not snapshot.fixed and snapshot.variant is not None:
        view.remember(_load(request, snapshot.repository, address.revision), snapshot.variant.id)


def _notices(snapshot: Snapshot, variants: Iterable[Variant]) -> dict[str, str]:
    """Return the header with what clients print. Raises Refusal for variants that are not handed out."""
    said: list[tuple[str, str]] = [] if snapshot.notice is None else [("plan", snapshot.notice)]
    for variant in variants:
        known = standing(variant, snapshot.repository.states)
        if known.refused is not None:
            raise Refusal(403, known.refused)
        said += known.notices
    if not said:
        return {}
    text = "; ".join(dict.fromkeys(message for _, message in said))
    return {"X-HF-Warning": f"{said[0][0]}; {header_text(text)}"}


def _json(
    content: Any, *, snapshot: Snapshot | None = None, headers: dict[str, str] | None = None
) -> Response[bytes]:
    sent = {"Cache-Control": "no-store", **(headers or {})}
    if snapshot is not None:
        own = (snapshot.variant,) if snapshot.variant is not None else ()
        sent |= {"X-Repo-Commit": snapshot.commit, **_notices(snapshot, own)}
    return Response(msgspec.json.encode(content), media_type="application/json", headers=sent)


def _flag(request: HubRequest, name: str) -> bool:
    return request.query_params.get(name, "").lower() in {"true", "1"}


@get("/list", sync_to_thread=True)
def list_repositories(service: HubService, hub_view: View, request: HubRequest) -> Response[bytes]:
    """Return the repositories that pass the filters, with a link to the next page."""
    query = request.query_params
    start, limit = page_bounds(query)
    held = hub_view.repositories(service)
    own = hub_pushed.listed(service, held)
    taken = {repository.id.casefold() for repository in own}
    views = [each for each in held.all() if each.id.casefold() not in taken]
    everything = sorted([*views, *own], key=lambda each: each.id.casefold())
    found = listed(everything, query, service.download_counts())
    headers: dict[str, str] = {}
    if start + limit < len(found):
        rest = [(name, value) for name, value in query.multi_items() if name != "cursor"]
        following = urlencode([*rest, ("cursor", start + limit)])
        host = request.headers.get("host", "")
        headers["Link"] = f'<{request.url.scheme}://{host}/api/models?{following}>; rel="next"'
    return _json(found[start : start + limit], headers=headers)


@route("/info", http_method=["GET", "HEAD"], sync_to_thread=True)
def repository_info(
    service: HubService, hub_view: View, request: HubRequest, where: Where
) -> Response[bytes]:
    """Return a repository at a revision, with its files."""
    snapshot = _snapshot(service, hub_view, request, where)
    repository = snapshot.repository
    downloads = service.download_counts().get(repository.id, 0)
    names = () if repository.kind in {Kind.PLAN, Kind.GGUF} else hub_revisions.aliases(service, repository)
    return _json(hub_documents.info(snapshot, aliases=names, downloads=downloads), snapshot=snapshot)


@route("/tree", http_method=["GET", "HEAD"], sync_to_thread=True)
def repository_tree(
    service: HubService, hub_view: View, request: HubRequest, where: Where
) -> Response[bytes]:
    """Return the files and folders in a folder, always on one page."""
    snapshot = _snapshot(service, hub_view, request, where)
    found = hub_documents.tree(
        snapshot, where.path, recursive=_flag(request, "recursive"), expand=_flag(request, "expand")
    )
    if found is None:
        raise no_entry(where.path, snapshot.commit)
    return _json(found, snapshot=snapshot)


@post("/paths-info", status_code=200, opt={RAW_BODY: True}, sync_to_thread=True)
def paths_info(
    service: HubService, hub_view: View, request: HubRequest, where: Where, body: RawBody
) -> Response[bytes]:
    """Return those of the given paths that exist."""
    paths, expand = _paths(body, request.headers.get("content-type", ""))
    snapshot = _snapshot(service, hub_view, request, where)
    return _json(hub_documents.entries(snapshot, paths, expand=expand), snapshot=snapshot)


def _paths(body: bytes, media_type: str) -> tuple[list[str], bool]:
    """Return the paths asked for, from a form as clients send it or from JSON. Raises Refusal."""
    try:
        if media_type.partition(";")[0].strip().lower() == "application/json":
            document = msgspec.json.decode(body, type=dict[str, list[str] | str | bool | None])
            given, expand = document.get("paths"), document.get("expand") is True
            paths = given if isinstance(given, list) else [given] if isinstance(given, str) else []
        else:
            form = parse_qs(body.decode(), max_num_fields=MAX_PATHS + 10)
            paths, expand = form.get("paths", []), form.get("expand", [""])[-1].lower() in {"true", "1"}
    except (ValueError, msgspec.MsgspecError) as error:
        raise Refusal(400, f"paths: {error}") from None
    if len(paths) > MAX_PATHS:
        raise Refusal(400, f"paths: {len(paths)} are too many; allowed: at most {MAX_PATHS}")
    return [path.strip("/") for path in paths], expand


@get("/refs", sync_to_thread=True)
def repository_refs(
    service: HubService, hub_view: View, request: HubRequest, where: Where
) -> Response[bytes]:
    """Return the branches: `main`, the aliases, and in a model's repository its variants."""
    pushed = hub_pushed.find(service, where.repository)
    if pushed is not None:
        shown = hub_pushed.snapshot(service, hub_view, msgspec.structs.replace(where, revision=MAIN), pushed)
        return _json(hub_pushed.refs(pushed, hub_revisions.aliases(service, shown.repository)))
    repository = hub_view.repositories(service).get(where.repository)
    main: str | None = None
    if repository.kind in {Kind.PLAN, Kind.GGUF}:
        main = _snapshot(service, hub_view, request, msgspec.structs.replace(where, revision=MAIN)).commit
        return _json(hub_documents.refs(repository, main, {}))
    return _json(hub_documents.refs(repository, main, hub_revisions.aliases(service, repository)))


@get("/commits", sync_to_thread=True)
def repository_commits(
    service: HubService, hub_view: View, request: HubRequest, where: Where
) -> Response[bytes]:
    """Return a commit and those before it."""
    snapshot = _snapshot(service, hub_view, request, where)
    pushed = hub_pushed.find(service, where.repository)
    if pushed is not None:
        return _json(hub_pushed.commits(pushed, snapshot.commit), snapshot=snapshot)
    return _json(hub_documents.commits(snapshot), snapshot=snapshot)


@get("/auth-check", sync_to_thread=True)
def auth_check(service: HubService, hub_view: View, where: Where) -> Response[bytes]:
    """Say that a repository can be read, and whether it can be pushed to."""
    if hub_pushed.find(service, where.repository) is not None:
        return _json({})
    hub_view.repositories(service).get(where.repository)
    if where.path:
        raise Refusal(403, "views of what is registered are read-only; push to a repository of your own")
    return _json({})


@get("/whoami", sync_to_thread=False)
def whoami() -> Response[bytes]:
    """Say whose token the request was made with; without one nobody is told apart."""
    principal = acting.current()
    name = ANONYMOUS if principal is None else principal.name
    writes = principal is not None and any(
        principal.may(scope) for scope in (TokenScope.REGISTER, TokenScope.PROMOTE)
    )
    token = {"displayName": name, "role": "write" if writes else "read"}
    return _json(
        {
            "type": "user",
            "name": name,
            "fullname": name,
            "orgs": [],
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


@route(
    "/unknown",
    http_method=["GET", "HEAD", "POST", "PUT", "DELETE"],
    opt={RAW_BODY: True},
    sync_to_thread=False,
)
def unknown(where: Where) -> Response[bytes]:
    """Refuse what is not served: datasets, spaces, and parts of the protocol that only a hub has."""
    if where.repository.partition("/")[0] in {"datasets", "spaces", "kernels"}:
        raise no_repository(where.repository, "; only models are served")
    raise Refusal(404, "this part of the protocol is not served")


@route("/file", http_method=["GET", "HEAD"], sync_to_thread=True)
def read_file(
    service: HubService,
    hub_view: View,
    auth_mode: NamedDependency[AuthMode],
    request: HubRequest,
    where: Where,
) -> Response[Any]:
    """Return a file, or the way to the commit that holds it."""
    snapshot = _snapshot(service, hub_view, request, where)
    found = snapshot.files.get(where.path)
    if found is None:
        raise no_entry(where.path, snapshot.commit)
    artifact, variant = found
    own = (variant,) if variant is not None else ()
    headers = _file_headers(snapshot, artifact, where.path) | _notices(snapshot, own)
    silent = artifact.size > HTTP_LIMIT and _needs_no_size(request)
    if silent:
        del headers["X-Linked-Size"]
    if not snapshot.fixed:
        to = f"/{snapshot.repository.id}/resolve/{snapshot.commit}/{quote(where.path)}"
        headers |= {
            "Location": to,
            "ETag": f'"{artifact.sha256}"',
            "Accept-Ranges": "bytes",
            "Cache-Control": "no-store",
        }
        return Response(b"", status_code=307, headers=headers, media_type="text/plain")
    hub_view.withholding.check(service.holdings(), artifact.sha256, auth=auth_mode)
    response = respond_with_file(service, request, artifact.sha256, headers=headers)
    if request.method == "HEAD" and silent:
        response.headers.pop("content-length", None)
    elif request.method == "GET" and variant is not None and (response.status_code or 200) < 300:
        hub_view.note(service, _load(request, snapshot.repository, where.revision), variant.id)
    return response


def _file_headers(snapshot: Snapshot, artifact: Artifact, path: str) -> dict[str, str]:
    name = quote(path.rpartition("/")[2])
    return {
        "X-Repo-Commit": snapshot.commit,
        "X-Linked-Size": str(artifact.size),
        "X-Linked-ETag": f'"{artifact.sha256}"',
        "content-disposition": f"attachment; filename*=UTF-8''{name}",
    }


def _needs_no_size(request: HubRequest) -> bool:
    match = _CLIENT.search(request.headers.get("user-agent", ""))
    return match is not None and (int(match[1]), int(match[2])) >= _SIZE_FREE_SINCE


router = Router(
    PREFIX,
    route_handlers=[
        list_repositories,
        repository_info,
        repository_tree,
        paths_info,
        repository_refs,
        repository_commits,
        auth_check,
        whoami,
        unknown,
        read_file,
    ],
    dependencies={"where": Provide(address_of, sync_to_thread=False)},
    exception_handlers=HANDLERS,
    include_in_schema=False,
)
