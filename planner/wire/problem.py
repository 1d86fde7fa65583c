"""Problem details (RFC 9457): how an error is written on the wire, and read back into the same class.

Standard members: `type`, `title`, `status`, `detail`, `instance`. Extensions: `code` (the stable last part of `type`),
`field` and `allowed` where a value was refused, and the error's other facts.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from planner import errors
from planner.errors import PlannerError

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:variant-planner:problem:"
"""Identifies our problem types; `docs/errors.md` has a heading for each one."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as it crosses the wire."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str | None = None
    field: str | None = None
    problem: str | None = None
    """What is wrong with the field's value."""
    allowed: str | None = None
    extra: dict[str, Any] = {}
    """Further facts, such as the nearest names that do exist, or the place of a word in a query."""


_LIFTED: Final = ("field", "problem", "allowed")


def problem_of(error: PlannerError, *, instance: str | None = None, status: int | None = None) -> Problem:
    """Return the problem details of `error`; `status` where the request gives the error another one."""
    return Problem(
        type=TYPE_PREFIX + error.code,
        title=error.title,
        status=error.status if status is None else status,
        detail=error.message,
        code=error.code,
        instance=instance,
        **{key: str(error.details[key]) for key in _LIFTED if key in error.details},
        extra={key: value for key, value in error.details.items() if key not in _LIFTED},
    )


def _classes(root: type[PlannerError]) -> dict[str, type[PlannerError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found.update(_classes(child))
    return found


_BY_CODE: Final = _classes(errors.PlannerError)


def error_of(problem: Problem) -> PlannerError:
    """Return the error that `problem` describes, as the class that was raised; an unknown code gives PlannerError."""
    cls = _BY_CODE.get(problem.code, PlannerError)
    error = cls.__new__(cls)
    lifted = {key: getattr(problem, key) for key in _LIFTED}
    PlannerError.__init__(error, problem.detail, **lifted, **problem.extra)
    return error
