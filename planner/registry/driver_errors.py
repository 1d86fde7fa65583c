"""Driver errors become the project's own: nobody above the registry sees an exception of SQLAlchemy."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import exc

from planner.errors import Conflict, InvalidInput, OutOfSpace, PlannerError, Unavailable

_CONTENDED: Final = {"40001", "40P01"}
"""SQLSTATE of a serialization failure and of a deadlock (PostgreSQL manual, appendix A)."""


def translate(error: exc.SQLAlchemyError) -> PlannerError:
    """Return the PlannerError that tells a user what `error` means."""
    original = getattr(error, "orig", None)
    reason = (str(original or error).strip().splitlines() or ["no reason given"])[0]
    if isinstance(original, PlannerError):
        return original  # raised while a value was prepared for the driver
    match error:
        case exc.IntegrityError():
            return Conflict(f"contradicts what the registry holds: {reason}")
        case exc.DataError():
            return InvalidInput("value", f"is refused by the database: {reason}")
        case exc.TimeoutError():
            return Unavailable("the registry is busy: no database connection came free in time")
        case exc.OperationalError() if getattr(original, "sqlstate", None) in _CONTENDED:
            return Conflict("another change came in between; try again")
        case exc.OperationalError() if _is_full(original, reason):
            return OutOfSpace(f"the registry database has no room: {reason}")
        case _:
            return Unavailable(f"the registry database failed: {reason}")


def _is_full(original: object, reason: str) -> bool:
    """Return whether the database's disk is full: SQLSTATE disk_full, or SQLite's SQLITE_FULL."""
    return getattr(original, "sqlstate", None) == "53100" or "disk is full" in reason


@contextmanager
def translated() -> Generator[None, None, None]:
    """Raise the PlannerError for every error of SQLAlchemy or the driver that leaves the block."""
    try:
        yield
    except exc.SQLAlchemyError as error:
        raise translate(error) from error
