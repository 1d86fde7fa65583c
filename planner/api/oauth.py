"""Token exchange (RFC 8693): a pipeline's identity token for a short-lived token of this server.

As a form, which the RFC asks for, or as the JSON that Hugging Face clients send. Errors are those of OAuth 2.0 (RFC 6749,
section 5.2), with the header that Hugging Face clients print.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
from litestar import Request, Response, Router, post
from litestar.di import NamedDependency
from litestar.params import RawBody, SkipValidation

from planner.api.authentication import headers_of
from planner.api.failure_limit import FailureLimit
from planner.api.hub_errors import header_text
from planner.api.safety import RAW_BODY
from planner.errors import InvalidInput, NotAllowed, NotAuthenticated, PlannerError
from planner.wire.identity import Authenticating, Exchange

GRANT: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name, no token
SUBJECT_TYPES: Final = ("urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:jwt")
MAX_BODY: Final = 64 * 1024
_FIELDS: Final = 20


class _OAuthError(Exception):
    def __init__(self, error: str, description: str, *, status: int = 400) -> None:
        super().__init__(description)
        self.error, self.description, self.status = error, description, status


@post("/token", status_code=200, opt={RAW_BODY: True}, request_max_body_size=MAX_BODY, sync_to_thread=True)
def exchange_token(
    service: NamedDependency[SkipValidation[Authenticating]],
    failure_limit: NamedDependency[FailureLimit],
    request: Request[Any, Any, Any],
    body: RawBody,
) -> Response[dict[str, Any]]:
    """Return a short-lived token."""
    address = request.client.host if request.client else "unknown"
    try:
        failure_limit.check(address)
        wanted = _wanted(_fields(body, request.headers.get("content-type", "")))
        made = service.exchange(wanted)
    except _OAuthError as error:
        return _refusal(error.error, error.description, error.status)
    except (NotAuthenticated, NotAllowed) as error:
        failure_limit.note(address)
        kind = "invalid_grant" if isinstance(error, NotAuthenticated) else "invalid_target"
        return _refusal(kind, error.message, 400)
    except InvalidInput as error:
        return _refusal(
            "invalid_scope" if error.details["field"] == "scopes" else "invalid_target", error.message, 400
        )
    except PlannerError as error:
        busy = "temporarily_unavailable" if error.status in {429, 503} else "server_error"
        return _refusal(busy, error.message, error.status, headers_of(error))
    token = made.token
    seconds = int((token.expires_at - token.created_at).total_seconds()) if token.expires_at else 0
    return Response(
        {
            "access_token": made.secret,
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "bearer",
            "expires_in": seconds,
            "scope": " ".join(token.scopes),
        },
        headers={"Cache-Control": "no-store", "Pragma": "no-cache"},
    )


def _fields(body: bytes, media_type: str) -> dict[str, str]:
    """Return the parameters of a form or a JSON object, each at most once. Raises _OAuthError."""
    kind = media_type.partition(";")[0].strip().lower()
    try:
        if kind == "application/json":
            document = msgspec.json.decode(body, type=dict[str, str | list[str] | int | None])
            return {name: value for name, value in document.items() if isinstance(value, str)}
        if kind != "application/x-www-form-urlencoded":
            raise _OAuthError(
                "invalid_request", "the body must be application/x-www-form-urlencoded or application/json"
            )
        form = parse_qs(body.decode(), keep_blank_values=False, max_num_fields=_FIELDS)
    except (ValueError, msgspec.MsgspecError) as error:
        raise _OAuthError("invalid_request", f"the body cannot be read: {error}") from error
    repeated = [name for name, values in form.items() if len(values) > 1]
    if repeated:
        raise _OAuthError("invalid_request", f"`{repeated[0][:40]}` is given more than once")
    return {name: values[0] for name, values in form.items()}


def _wanted(fields: dict[str, str]) -> Exchange:
    """Return what is asked for. Raises _OAuthError."""
    if fields.get("grant_type") != GRANT:
        raise _OAuthError("unsupported_grant_type", f"grant_type must be {GRANT}")
    if fields.get("subject_token_type") not in SUBJECT_TYPES:
        raise _OAuthError("invalid_request", f"subject_token_type must be {' or '.join(SUBJECT_TYPES)}")
    if fields.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
        raise _OAuthError("invalid_request", f"requested_token_type must be {ACCESS_TOKEN}")
    if "actor_token" in fields:
        raise _OAuthError("invalid_request", "actor tokens are not taken")
    if not fields.get("subject_token"):
        raise _OAuthError("invalid_request", "subject_token is missing")
    return Exchange(
        subject_token=fields["subject_token"],
        resource=fields.get("resource") or None,
        scopes=tuple(fields.get("scope", "").split()),
    )


def _refusal(
    error: str, description: str, status: int, headers: dict[str, str] | None = None
) -> Response[dict[str, Any]]:
    return Response(
        {"error": error, "error_description": description},
        status_code=status,
        headers={
            "Cache-Control": "no-store",
            "X-Error-Code": error,
            "X-Error-Message": header_text(description),
            **(headers or {}),
        },
    )


router = Router("/oauth", route_handlers=[exchange_token], include_in_schema=False)
