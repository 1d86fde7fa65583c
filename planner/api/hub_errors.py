"""Refusals of the Hugging Face protocol: clients tell errors apart by the header X-Error-Code, not by the status."""

from __future__ import annotations

import logging
import re
import secrets
import unicodedata
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from planner.errors import NotFound, PlannerError

log = logging.getLogger("planner.api.hub")

MAX_HEADER: Final = 1_000
_SPELT: Final = str.maketrans(
    {"≤": "<=", "≥": ">=", "×": "x", "–": "-", "—": "-", "’": "'", "“": '"', "”": '"'}
)
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f]+")


class Code(StrEnum):
    """Values of X-Error-Code that clients know and that can occur here."""

    REPOSITORY = "RepoNotFound"
    REVISION = "RevisionNotFound"
    ENTRY = "EntryNotFound"


class Refusal(Exception):
    """An answer other than the one asked for; `commit` lets clients remember that a file does not exist."""

    def __init__(
        self, status: int, message: str, *, code: Code | None = None, commit: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.commit = commit


def no_repository(name: str, hint: str = "") -> Refusal:
    """Return the refusal of a repository that does not exist."""
    return Refusal(404, f"no repository `{name[:200]}`{hint}", code=Code.REPOSITORY)


def no_revision(repository: str, revision: str, hint: str = "") -> Refusal:
    """Return the refusal of a revision that does not exist."""
    return Refusal(404, f"`{repository}` has no revision `{revision[:200]}`{hint}", code=Code.REVISION)


def no_entry(path: str, commit: str) -> Refusal:
    """Return the refusal of a file or folder that does not exist at `commit`."""
    return Refusal(404, f"no `{path[:200]}` at {commit}", code=Code.ENTRY, commit=commit)


def header_text(text: str) -> str:
    """Return `text` as a header can carry it: one line of ASCII."""
    spelt = unicodedata.normalize("NFKD", text.translate(_SPELT))
    return _UNPRINTABLE.sub(" ", spelt.encode("ascii", "replace").decode())[:MAX_HEADER].strip()


def respond(refusal: Refusal) -> Response[bytes]:
    """Return a refusal as clients print it: message and request id, once each."""
    message, request_id = header_text(refusal.message), secrets.token_hex(8)
    headers = {"X-Error-Message": message, "X-Request-Id": request_id, "Cache-Control": "no-store"}
    if refusal.code is not None:
        headers["X-Error-Code"] = refusal.code.value
    if refusal.commit is not None:
        headers["X-Repo-Commit"] = refusal.commit
    log.info("request %s refused with %d: %s", request_id, refusal.status, refusal.message)
    return Response(
        msgspec.json.encode({"error": message}),
        status_code=refusal.status,
        media_type="application/json",
        headers=headers,
    )


def _refusal(_: Request[Any, Any, Any], error: Refusal) -> Response[bytes]:
    return respond(error)


def _planner_error(_: Request[Any, Any, Any], error: PlannerError) -> Response[bytes]:
    # What is missing here is not the repository, and a client would remember it as missing.
    status = 503 if isinstance(error, NotFound) else error.status
    return respond(Refusal(status, error.message))


def _http(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    return respond(Refusal(error.status_code, error.detail))


HANDLERS: dict[int | type[Exception], Callable[[Request[Any, Any, Any], Any], Response[bytes]]] = {
    Refusal: _refusal,
    PlannerError: _planner_error,
    HTTPException: _http,
}
