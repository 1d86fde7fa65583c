"""Every error a user can meet, with the code, HTTP status and exit code each one carries.

PlannerError
├── InvalidInput          invalid-input        422  exit 2   a value that is not allowed, with the field it came in
│   ├── InvalidQuery      invalid-query        422  exit 2   words the query language does not understand
│   └── InvalidFile       invalid-file         422  exit 2   a truncated, lying or hostile file, with path and field
│       └── UnsafeFile    unsafe-file          422  exit 2   a format that can run code
├── NotFound              not-found            404  exit 2   no such thing, with the nearest names
├── Conflict              conflict             409  exit 1   the state changed underneath, or contradicts the request
│   ├── LeaseLost         lease-lost           409  exit 1   another worker holds the job now
│   └── Draining          draining             409  exit 1   a worker that was told to take no more jobs asks for one
├── NotAuthenticated      not-authenticated    401  exit 1   no token where one is needed, or one that does not work
├── NotAllowed            not-allowed          403  exit 1   a token that works, but not for this
├── TooManyRequests       too-many-requests    429  exit 1   too many failed attempts; waiting helps
├── SignatureFailure      signature-failure    422  exit 1   a manifest that is unsigned, or not signed by the key asked for
├── Withheld              withheld             403  exit 1   a variant whose files are not handed out, with the reason
├── EvidenceMissing       evidence-missing     422  exit 4   the question is fine, the evidence for an answer is not there
├── IntegrityFailure      integrity-failure    502  exit 1   bytes whose hash is not the promised one
└── Unavailable           unavailable          503  exit 1   a server, database or disk that cannot be reached
    └── OutOfSpace        out-of-space         507  exit 1   a disk without room for what was to be written

`code` is stable: it is the last part of the `type` URI of the RFC 9457 answer and a heading in `docs/errors.md`.
"""

from __future__ import annotations

from typing import Any, ClassVar


class PlannerError(Exception):
    """An error meant to be read by a user: a message, and facts for machines in `details`."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = {key: value for key, value in details.items() if value is not None}


class InvalidInput(PlannerError):
    """A value that is not allowed: names the field, what was wrong and what is allowed."""

    code = "invalid-input"
    title = "Invalid input"
    status = 422
    exit_code = 2

    def __init__(self, field: str, problem: str, *, allowed: str | None = None, **details: Any) -> None:
        message = f"{field}: {problem}" + (f"; allowed: {allowed}" if allowed else "")
        super().__init__(message, field=field, problem=problem, allowed=allowed, **details)


class InvalidQuery(InvalidInput):
    """Text the query language does not understand, pointing at the word."""

    code = "invalid-query"
    title = "Query not understood"

    def __init__(
        self,
        problem: str,
        *,
        query: str,
        position: int,
        length: int = 1,
        expected: tuple[str, ...] = (),
        suggestion: str | None = None,
    ) -> None:
        hint = f"; did you mean `{suggestion}`?" if suggestion else ""
        super().__init__(
            "query",
            problem + hint,
            allowed=", ".join(expected) or None,
            query=query,
            position=position,
            length=length,
            expected=list(expected),
            suggestion=suggestion,
        )


class InvalidFile(InvalidInput):
    """A truncated, lying or hostile file: names the file and the field inside it."""

    code = "invalid-file"
    title = "Invalid file"

    def __init__(self, path: str, field: str, problem: str, *, allowed: str | None = None) -> None:
        super().__init__(f"{path}: {field}" if field else path, problem, allowed=allowed, path=path)


class UnsafeFile(InvalidFile):
    """A file in a format that can run code when it is loaded."""

    code = "unsafe-file"
    title = "Unsafe file"


class NotFound(PlannerError):
    """Nothing by that name; carries the nearest names there are."""

    code = "not-found"
    title = "Not found"
    status = 404
    exit_code = 2

    def __init__(self, kind: str, name: str, *, nearest: tuple[str, ...] = ()) -> None:
        hint = f"; nearest: {', '.join(f'`{n}`' for n in nearest)}" if nearest else ""
        super().__init__(f"no {kind} `{name}`{hint}", kind=kind, name=name, nearest=list(nearest) or None)


class Conflict(PlannerError):
    """The request contradicts what is stored, or what is stored changed underneath it."""

    code = "conflict"
    title = "Conflict"
    status = 409


class LeaseLost(Conflict):
    """The lease token is not the current one: the job was given to another worker, ended or cancelled."""

    code = "lease-lost"
    title = "Lease lost"


class Draining(Conflict):
    """The worker was told to take no more jobs, and is given none until it is resumed."""

    code = "draining"
    title = "Worker is draining"


class NotAuthenticated(PlannerError):
    """The server asks for a token: there was none, or it is unknown, expired or revoked."""

    code = "not-authenticated"
    title = "Not authenticated"
    status = 401


class NotAllowed(PlannerError):
    """The token works, but lacks the scope or is confined to other repositories."""

    code = "not-allowed"
    title = "Not allowed"
    status = 403


class TooManyRequests(PlannerError):
    """Too many failed attempts; `retry_after` says how many seconds to wait."""

    code = "too-many-requests"
    title = "Too many requests"
    status = 429


class SignatureFailure(PlannerError):
    """A manifest is unsigned, signed by another key, or is not the one that was signed."""

    code = "signature-failure"
    title = "Signature failure"
    status = 422


class Withheld(PlannerError):
    """The variant is quarantined, or its files were given up: the message says why and what to use instead."""

    code = "withheld"
    title = "Variant is withheld"
    status = 403


class EvidenceMissing(PlannerError):
    """The question is valid but the evidence it needs does not exist."""

    code = "evidence-missing"
    title = "Evidence missing"
    status = 422
    exit_code = 4


class IntegrityFailure(PlannerError):
    """Received bytes do not have the promised size or sha256."""

    code = "integrity-failure"
    title = "Integrity failure"
    status = 502


class Unavailable(PlannerError):
    """A server, database or disk that cannot be reached; trying again may help."""

    code = "unavailable"
    title = "Unavailable"
    status = 503


class OutOfSpace(Unavailable):
    """A disk without room for what was to be written; it helps to free some."""

    code = "out-of-space"
    title = "Out of space"
    status = 507
