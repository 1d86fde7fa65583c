"""The only translator of errors: everything that goes wrong leaves as problem details (RFC 9457), never as a traceback."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from planner.api.decoding import refused
from planner.errors import IntegrityFailure, InvalidInput, PlannerError
from planner.wire.problem import MEDIA_TYPE, Problem, problem_of

log = logging.getLogger("planner.api")


class MethodNotAllowed(PlannerError):
    """The path exists, but not for this method."""

    code = "method-not-allowed"
    title = "Method not allowed"
    status = 405


class TooLarge(PlannerError):
    """The request body is larger than the server takes."""

    code = "too-large"
    title = "Request too large"
    status = 413


class UnsupportedMediaType(PlannerError):
    """The request body is not of the media type that the route reads."""

    code = "unsupported-media-type"
    title = "Unsupported media type"
    status = 415


class Forbidden(PlannerError):
    """A browser was led here by a page of another origin, or the Host header is not ours."""

    code = "forbidden"
    title = "Forbidden"
    status = 403


class PreconditionFailed(PlannerError):
    """A condition in the request's headers does not hold."""

    code = "precondition-failed"
    title = "Precondition failed"
    status = 412


class WrongBytes(IntegrityFailure):
    """Uploaded bytes are not the promised ones, which is the caller's mistake and not that of a server behind us."""

    status = 422


class NoSuchPage(PlannerError):
    """Nothing is served at this path."""

    code = "not-found"
    title = "Not found"
    status = 404


class BadRequest(PlannerError):
    """The request is not well-formed HTTP or was cut short."""

    code = "bad-request"
    title = "Bad request"
    status = 400


_BY_STATUS: dict[int, type[PlannerError]] = {
    error.status: error for error in (MethodNotAllowed, TooLarge, UnsupportedMediaType, Forbidden, NoSuchPage)
}


def respond(problem: Problem) -> Response[bytes]:
    """Return `problem` as a response."""
    return Response(
        msgspec.json.encode(problem, enc_hook=str),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store"},
    )


def _planner_error(request: Request[Any, Any, Any], error: PlannerError) -> Response[bytes]:
    if error.status >= 500:
        log.error("%s %s: %s", request.method, request.url.path, error.message)
    return respond(problem_of(error, instance=request.url.path))


def _validation(request: Request[Any, Any, Any], error: ValidationException) -> Response[bytes]:
    for entry in error.extra if isinstance(error.extra, list) else []:
        problem = str(entry.get("message", "is not allowed"))
        key = str(entry.get("key", "request"))
        return _planner_error(request, refused(problem, field=_PUBLIC.get(key, key)))
    return _planner_error(request, InvalidInput("request", _first_line(error.detail)))


_PUBLIC = {"question": "q", "file_format": "format", "in_state": "state"}
"""Handler arguments whose name on the wire is another one."""


def _http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    if error.status_code >= 500:
        return _unexpected(request, error)
    cls = _BY_STATUS.get(error.status_code, BadRequest)
    path = request.url.path
    match error.status_code:
        case 404:
            message = f"nothing is served at `{path[:200]}`"
        case 405:
            message = f"`{request.method}` is not allowed for `{path[:200]}`"
        case 413:
            message = "the request body is too large"
        case _:
            message = _first_line(error.detail) or cls.title
    response = _planner_error(request, cls(message))
    for name, value in (error.headers or {}).items():
        response.set_header(name, value)
    return response


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    incident = secrets.token_hex(6)
    log.error("incident %s: %s %s", incident, request.method, request.url.path, exc_info=error)
    problem = PlannerError(
        f"an unexpected error on our side; the server's log has it as incident {incident}", incident=incident
    )
    return respond(problem_of(problem, instance=request.url.path))


def _first_line(text: str) -> str:
    return text.splitlines()[0][:500] if text else ""


HANDLERS: dict[int | type[Exception], Callable[[Request[Any, Any, Any], Any], Response[bytes]]] = {
    PlannerError: _planner_error,
    ValidationException: _validation,
    HTTPException: _http,
    Exception: _unexpected,
}
