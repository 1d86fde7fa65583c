"""Addresses of the Hugging Face protocol: what a request's path, still percent-encoded, asks for. Pure.

Servers decode a path before they route it, and then "refs%2Fpr%2F1/a.gguf" can no longer be told from a file in a
folder. So the paths of the protocol are read here, segment by segment, before routing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final
from urllib.parse import unquote

import msgspec

MAIN: Final = "main"
_OTHER_KINDS: Final = frozenset({"datasets", "spaces", "kernels"})
_RESERVED: Final = frozenset({"api", "assets", "schema", "metrics"})
"""First segments that are other parts of the server."""
_REF_KINDS: Final = frozenset({"heads", "tags", "pr", "convert"})


class Operation(StrEnum):
    """What is asked for."""

    LIST = "list"
    INFO = "info"
    TREE = "tree"
    PATHS_INFO = "paths-info"
    REFS = "refs"
    COMMITS = "commits"
    AUTH_CHECK = "auth-check"
    WHOAMI = "whoami"
    FILE = "file"
    CREATE = "create"
    DELETE = "delete"
    VALIDATE_CARD = "validate-yaml"
    PREUPLOAD = "preupload"
    COMMIT = "commit"
    TAG = "tag"
    BRANCH = "branch"
    LFS_BATCH = "lfs-batch"
    LFS_VERIFY = "lfs-verify"
    XET = "xet-write-token"
    UPLOAD = "upload"
    """Bytes under a sealed address, which is the path."""
    UNKNOWN = "unknown"
    """A part of the protocol that is not served."""


class Address(msgspec.Struct, frozen=True):
    """What a path asks for: of which repository, at which revision, which file or folder."""

    operation: Operation
    repository: str = ""
    revision: str = MAIN
    path: str = ""


_MODEL_OPERATIONS: Final = {
    "revision": Operation.INFO,
    "tree": Operation.TREE,
    "paths-info": Operation.PATHS_INFO,
    "refs": Operation.REFS,
    "commits": Operation.COMMITS,
    "auth-check": Operation.AUTH_CHECK,
    "preupload": Operation.PREUPLOAD,
    "commit": Operation.COMMIT,
    "tag": Operation.TAG,
    "branch": Operation.BRANCH,
    "xet-write-token": Operation.XET,
}
_WORDS: Final = {"whoami-v2": Operation.WHOAMI, "validate-yaml": Operation.VALIDATE_CARD}
_LFS_OPERATIONS: Final = {"batch": Operation.LFS_BATCH, "verify": Operation.LFS_VERIFY}
UPLOADS: Final = "/api/uploads/"
"""Where sealed addresses begin: they carry their own authorization."""
_FILES: Final = frozenset({"resolve", "raw"})


def parse(raw_path: str) -> Address | None:
    """Return what a percent-encoded path asks for in the protocol; None when it belongs to another part of the server."""
    segments = [unquote(segment) for segment in raw_path.partition("?")[0].lstrip("/").split("/")]
    match segments:
        case ["api", *rest]:
            return _api(rest)
        case [*repository, "info", "lfs", "objects", verb] if repository and repository[-1].endswith(".git"):
            return _lfs("/".join(repository).removesuffix(".git"), verb)
        case [kind, *rest] if kind in _OTHER_KINDS and _FILES & set(rest[1:3]):
            return Address(Operation.UNKNOWN, repository="/".join(segments[:3]))
        case [organization, name, verb, *rest] if verb in _FILES and rest and organization not in _RESERVED:
            return _file(f"{organization}/{name}", rest)
        case [name, verb, *rest] if verb in _FILES and rest and name not in _RESERVED:
            return _file(name, rest)
        case _:
            return None


def _api(rest: list[str]) -> Address | None:
    match rest:
        case [word] if word in _WORDS:
            return Address(_WORDS[word])
        case ["repos", ("create" | "delete") as verb]:
            return Address(Operation(verb))
        case ["uploads", token]:
            return Address(Operation.UPLOAD, path=token)
        case ["models"] | ["models", ""]:
            return Address(Operation.LIST)
        case ["models", *more]:
            return _model(more)
        case [kind, *_] if kind in _OTHER_KINDS:
            return Address(Operation.UNKNOWN, repository="/".join(rest[:3]))
        case _:
            return None


def _model(rest: list[str]) -> Address:
    match rest:
        case [name] | [name, ""]:
            return Address(Operation.INFO, repository=name)
        case [organization, name] | [organization, name, ""]:
            return Address(Operation.INFO, repository=f"{organization}/{name}")
        case [organization, name, verb, *more] if verb in _MODEL_OPERATIONS:
            return _operation(f"{organization}/{name}", verb, more)
        case [name, verb, *_] if verb in _MODEL_OPERATIONS:
            return Address(
                Operation.INFO, repository=name
            )  # an id of one part: refused, whatever is asked of it
        case _:
            return Address(Operation.UNKNOWN, repository="/".join(rest[:2]))


def _lfs(repository: str, verb: str) -> Address | None:
    top = repository.partition("/")[0]
    if top in _OTHER_KINDS or verb not in _LFS_OPERATIONS:
        return Address(Operation.UNKNOWN, repository=repository)
    return None if top in _RESERVED else Address(_LFS_OPERATIONS[verb], repository=repository)


def _operation(repository: str, verb: str, rest: list[str]) -> Address:
    operation = _MODEL_OPERATIONS[verb]
    if operation is Operation.AUTH_CHECK:
        return Address(operation, repository=repository, path="/".join(rest))
    revision, path = _revision(rest)
    return Address(operation, repository=repository, revision=revision, path=path.strip("/"))


def _file(repository: str, rest: list[str]) -> Address:
    revision, path = _revision(rest)
    return Address(Operation.FILE, repository=repository, revision=revision, path=path)


def _revision(rest: list[str]) -> tuple[str, str]:
    """Return revision and path. A ref whose slashes were not encoded takes three segments."""
    match rest:
        case []:
            return MAIN, ""
        case ["refs", kind, name, *path] if kind in _REF_KINDS:
            return f"refs/{kind}/{name}", "/".join(path)
        case [revision, *path]:
            return revision or MAIN, "/".join(path)
        case _:  # pragma: no cover - the two cases above are all there are
            return MAIN, ""
