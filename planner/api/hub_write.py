"""The writing half of the Hugging Face endpoint: repositories, what may be pushed to them, branches and tags.

A repository that is a view of what is registered stays read-only; clients push to repositories of their own, whose
commits are registered (`planner.workspace.uploading`). Commits are read in `hub_commit`, large files in `hub_lfs`.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import PurePosixPath
from typing import Any, Final, TypeVar

import msgspec
from litestar import Response, Router, delete, post
from litestar.di import NamedDependency, Provide
from litestar.params import RawBody, SkipValidation

from planner.api.hub_address import MAIN
from planner.api.hub_card import MAX_CARD, judge
from planner.api.hub_errors import HANDLERS, Code, Refusal, header_text, no_repository, no_revision
from planner.api.hub_names import is_reserved, slug
from planner.api.hub_request import PREFIX, HubRequest, View, Where, address_of, base_url, json_response
from planner.api.hub_view import HubView
from planner.api.safety import RAW_BODY
from planner.artifacts.code_refusal import refuse_name
from planner.domain.identity import ANONYMOUS
from planner.domain.ignoring import Rule, is_ignored, read_rules
from planner.domain.upload import PushedCommit, check_pushed_path
from planner.errors import Conflict, InvalidInput, NotFound
from planner.wire import acting
from planner.wire.uploading import Pushed, Uploading

T = TypeVar("T")

MAX_INLINE: Final = 1 << 20
"""Largest file, in bytes, that clients are told to put into the commit itself."""
MAX_ASKED: Final = 1_000
_MAX_BODY: Final = 8 * 1024**2
_IGNORE_FILE: Final = ".gitignore"
_BY_LFS: Final = frozenset({".safetensors", ".gguf", ".msgpack", ".model", ".spm", ".arrow", ".parquet"})

UploadService = NamedDependency[SkipValidation[Uploading]]


class _Repository(msgspec.Struct, frozen=True):
    name: str
    organization: str | None = None
    type: str | None = "model"
    private: bool | None = None
    visibility: str | None = None


class _Card(msgspec.Struct, frozen=True, rename="camel"):
    content: str
    repo_type: str | None = "model"


class _Asked(msgspec.Struct, frozen=True):
    path: str
    size: int
    sample: str = ""


class _Preupload(msgspec.Struct, frozen=True, rename="camel"):
    files: list[_Asked]
    git_ignore: str | None = None


class _Tag(msgspec.Struct, frozen=True):
    tag: str
    message: str | None = None


class _Branch(msgspec.Struct, frozen=True, rename="camel"):
    starting_point: str | None = None


def read_json(body: bytes, kind: type[T], *, limit: int = _MAX_BODY) -> T:
    """Return a request's JSON. Raises Refusal."""
    if len(body) > limit:
        raise Refusal(413, f"the request has {len(body)} bytes; at most {limit} are read")
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, f"body: {error}"[:500]) from None


def writable(service: Uploading, view: HubView, repository: str) -> Pushed:
    """Return a repository that can be pushed to. Raises Refusal."""
    found = service.pushed(repository)
    if found is not None:
        return found
    try:
        view.repositories(service).get(repository)
    except Refusal:
        raise no_repository(repository, "; make it first, as `hf upload` and `create_repo` do") from None
    raise Refusal(
        403,
        f"`{repository}` is a view of what is registered, and read-only; push to a repository of your own",
    )


def head_of(pushed: Pushed, branch: str) -> PushedCommit:
    """Return the commit that a branch is at. Raises Refusal, also for what is no branch."""
    name = branch.removeprefix("refs/heads/")
    if name.startswith("refs/pr/"):
        raise Refusal(403, "pull requests are not kept here; push to a branch")
    for ref in pushed.refs:
        if ref.name == name and not ref.is_tag:
            return pushed.commits[ref.commit_id]
    branches = ", ".join(ref.name for ref in pushed.refs if not ref.is_tag)
    raise no_revision(pushed.repository.id, branch, f"; its branches are {branches}")


def refuse_pull_request(request: HubRequest) -> None:
    """Raise Refusal when a change is asked for as a pull request."""
    if request.query_params.get("create_pr", "").lower() in {"1", "true"}:
        raise Refusal(403, "pull requests are not kept here; push without create_pr, to a branch if need be")


def _asked_id(data: _Repository) -> str:
    if data.type not in {None, "model"}:
        raise Refusal(400, f"`{(data.type or '')[:50]}` repositories are not kept here; only models are")
    if "/" in data.name:
        if data.organization is not None and data.name.partition("/")[0] != data.organization:
            raise Refusal(400, f"`{data.name[:100]}` is not in the organization `{data.organization[:100]}`")
        return data.name
    principal = acting.current()
    owner = ANONYMOUS if principal is None else principal.name
    return f"{data.organization or owner}/{data.name}"


@post("/create", status_code=200, opt={RAW_BODY: True}, sync_to_thread=True)
def create_repository(
    service: UploadService, hub_view: View, request: HubRequest, body: RawBody
) -> Response[bytes]:
    """Make a repository to push to; 409 when there is one."""
    data = read_json(body, _Repository)
    id_ = _asked_id(data)
    acting.check_repository(id_)
    headers: dict[str, str] = {}
    if data.private or data.visibility == "private":
        text = "whoever may read this registry can read this repository; it keeps none private"
        headers["X-HF-Warning"] = f"visibility; {text}"
    answer = {"url": f"{base_url(request)}/{id_}", "name": id_, "id": id_}
    known = service.pushed(id_)
    if known is None:
        _check_free(service, hub_view, id_)
        _, created = service.create_repository(id_)
    else:
        created = False
        answer |= {"url": f"{base_url(request)}/{known.repository.id}", "name": known.repository.id}
    if created:
        return json_response(answer, headers=headers)
    message = f"you already have a repository `{answer['name']}`; pass exist_ok to go on with it"
    return json_response({**answer, "error": message}, status=409, headers={"X-Error-Message": message})


def _check_free(service: Uploading, view: HubView, id_: str) -> None:
    organization = id_.partition("/")[0]
    if is_reserved(organization):
        raise Refusal(403, f"ids that begin with `{organization}/` are the server's own; push to OWNER/NAME")
    models = service.holdings().models
    if organization.casefold() in {slug(model).casefold() for model in models}:
        raise Refusal(
            403, f"`{organization}` is a model: its repositories come of registering; push to OWNER/NAME"
        )
    try:
        view.repositories(service).get(id_)
    except Refusal:
        return
    raise Refusal(403, f"`{id_}` is a view of what is registered, and read-only; push to another id")


@delete("/delete", status_code=200, opt={RAW_BODY: True}, sync_to_thread=True)
def delete_repository(service: UploadService, hub_view: View, body: RawBody) -> Response[bytes]:
    """Remove a pushed repository; variants that were registered from it stay."""
    id_ = _asked_id(read_json(body, _Repository))
    service.delete_repository(writable(service, hub_view, id_).repository.id)
    return json_response({})


@post("/validate-yaml", status_code=200, opt={RAW_BODY: True}, sync_to_thread=True)
def validate_card(body: RawBody) -> Response[bytes]:
    """Judge a model card before it is pushed."""
    data = read_json(body, _Card, limit=MAX_CARD)
    if data.repo_type not in {None, "model"}:
        raise Refusal(400, "only cards of models are judged here")
    errors, warnings = judge(data.content)
    answer = {
        "errors": [{"message": error} for error in errors],
        "warnings": [{"message": warning} for warning in warnings],
    }
    return json_response(answer, status=400 if errors else 200)


@post("/preupload", status_code=200, opt={RAW_BODY: True}, sync_to_thread=True)
def preupload(
    service: UploadService, hub_view: View, request: HubRequest, where: Where, body: RawBody
) -> Response[bytes]:
    """Say of each file whether it goes into the commit or by large-file storage; forbidden formats are refused here."""
    refuse_pull_request(request)
    data = read_json(body, _Preupload)
    if len(data.files) > MAX_ASKED:
        raise Refusal(400, f"files: {len(data.files)} are too many; allowed: at most {MAX_ASKED}")
    pushed = writable(service, hub_view, where.repository)
    head = head_of(pushed, where.revision)
    rules = _rules(service, head, data.git_ignore)
    announced: list[str] = []
    answers: list[dict[str, Any]] = []
    for file in data.files:
        check_pushed_path(file.path)
        ignored = is_ignored(file.path, rules)
        if not ignored:
            refuse_name(file.path)
            announced.append(file.path)
        answers.append({"path": file.path, "uploadMode": _mode(file), "shouldIgnore": ignored})
    service.announce(pushed.repository.id, where.revision, announced)
    return json_response({"files": answers})


def _rules(service: Uploading, head: PushedCommit, given: str | None) -> tuple[Rule, ...]:
    if given is not None:
        return read_rules(given)
    for artifact in service.pushed_files(head):
        if artifact.path == _IGNORE_FILE and artifact.size <= MAX_INLINE:
            content = b"".join(service.open_artifact(artifact.sha256))
            return read_rules(content.decode("utf-8", "replace"))
    return ()


def _mode(file: _Asked) -> str:
    if file.size > MAX_INLINE or PurePosixPath(file.path).suffix.lower() in _BY_LFS:
        return "lfs"
    try:
        sample = base64.b64decode(file.sample, validate=True)
    except (binascii.Error, ValueError):
        return "lfs"
    return "lfs" if b"\0" in sample else "regular"


@post("/tag", status_code=200, opt={RAW_BODY: True}, sync_to_thread=True)
def create_tag(service: UploadService, hub_view: View, where: Where, body: RawBody) -> Response[bytes]:
    """Put a tag on a commit, which registers its files as a variant."""
    data = read_json(body, _Tag)
    id_ = writable(service, hub_view, where.repository).repository.id
    _make_ref(service, id_, data.tag, where.revision, is_tag=True, message=data.message)
    return json_response({})


@delete("/tag", status_code=200, opt={RAW_BODY: True}, sync_to_thread=True)
def delete_tag(service: UploadService, hub_view: View, where: Where) -> Response[bytes]:
    """Remove a tag; the variant stays registered."""
    id_ = writable(service, hub_view, where.repository).repository.id
    name = where.revision.removeprefix("refs/tags/")
    if not service.delete_ref(id_, name, is_tag=True):
        raise no_revision(id_, name)
    return json_response({})


@post("/branch", status_code=200, opt={RAW_BODY: True}, sync_to_thread=True)
def create_branch(service: UploadService, hub_view: View, where: Where, body: RawBody) -> Response[bytes]:
    """Make a branch; commits to it are registered when they are tagged."""
    start = read_json(body, _Branch).starting_point
    id_ = writable(service, hub_view, where.repository).repository.id
    _make_ref(service, id_, where.revision, start or MAIN, is_tag=False)
    return json_response({})


@delete("/branch", status_code=200, opt={RAW_BODY: True}, sync_to_thread=True)
def delete_branch(service: UploadService, hub_view: View, where: Where) -> Response[bytes]:
    """Remove a branch; its commits stay readable."""
    id_ = writable(service, hub_view, where.repository).repository.id
    name = where.revision.removeprefix("refs/heads/")
    try:
        if not service.delete_ref(id_, name, is_tag=False):
            raise no_revision(id_, name)
    except Conflict as error:
        raise Refusal(403, error.message) from None
    return json_response({})


def _make_ref(
    service: Uploading, id_: str, name: str, start: str, *, is_tag: bool, message: str | None = None
) -> None:
    kind = "tag" if is_tag else "branch"
    try:
        made = service.create_ref(id_, name, start, is_tag=is_tag, message=message)
    except NotFound as error:
        if error.details.get("kind") == "revision":
            raise no_revision(id_, start) from None
        raise Refusal(422, f"not registered: {error.message}") from None
    except InvalidInput as error:
        if error.details.get("field") == "ref":
            raise Refusal(400, error.message) from None
        raise Refusal(
            422, f"no {kind} was made, as the commit cannot be registered: {error.message}"
        ) from None
    if not made:
        raise Refusal(409, f"`{id_}` has a {kind} `{header_text(name)[:100]}` already")


def missing(error: NotFound) -> Refusal:
    """Return what clients are told of a thing that a commit refers to and that is not there."""
    if error.details.get("kind") in {"file", "folder"}:
        return Refusal(
            404, f"A {error.details['kind']} with this name doesn't exist: {error.message}", code=Code.ENTRY
        )
    return Refusal(404, error.message, code=Code.REVISION)


router = Router(
    PREFIX,
    route_handlers=[
        create_repository,
        delete_repository,
        validate_card,
        preupload,
        create_tag,
        delete_tag,
        create_branch,
        delete_branch,
    ],
    dependencies={"where": Provide(address_of, sync_to_thread=False)},
    exception_handlers=HANDLERS,
    include_in_schema=False,
)
