"""Checks of what goes into the registry: everything from outside is hostile until it has passed here.

PostgreSQL refuses NUL characters and both databases refuse lone surrogates and integers past 64 bits; JSON has no NaN.
Refusing them here gives the same clear error on both, naming the field.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, cast

import msgspec

from planner.errors import InvalidInput

MAX_NAME: Final = 200
MAX_ID: Final = 450
"""Long enough for "published:<model>/<name>" of two names."""
MAX_TEXT: Final = 65_536
"""Characters of any single text inside a document, such as the end of a log."""
MAX_DOCUMENT_BYTES: Final = 16 * 1024**2
MAX_DEPTH: Final = 40
MAX_INTEGER: Final = 2**63 - 1
MAX_LIMIT: Final = 200
DEFAULT_LIMIT: Final = 50

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def check_limit(limit: int) -> int:
    """Return the page size `limit`. Raises InvalidInput."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidInput("limit", f"{limit} is out of range", allowed=f"1 to {MAX_LIMIT}")
    return limit


def check_name(field: str, text: str, *, longest: int = MAX_NAME) -> str:
    """Return `text` when it is a printable, non-blank name. Raises InvalidInput."""
    if not text.strip():
        raise InvalidInput(field, "is empty", allowed=f"1 to {longest} characters")
    if len(text) > longest:
        raise InvalidInput(field, f"is {len(text)} characters long", allowed=f"1 to {longest} characters")
    if _CONTROL.search(text):
        raise InvalidInput(field, "holds a control character", allowed="printable characters")
    _check_text(field, text)
    return text


def check_names(field: str, names: Iterable[str]) -> None:
    """Check each of `names`. Raises InvalidInput."""
    for name in names:
        check_name(field, name)


def check_search(text: str) -> tuple[str, ...]:
    """Return the words of a search, casefolded. Raises InvalidInput."""
    if not text.strip():
        return ()
    return tuple(check_name("search", text).casefold().split())


def check_id(field: str, text: str) -> str:
    """Return `text` when it can be an id. Raises InvalidInput."""
    return check_name(field, text, longest=MAX_ID)


def check_integer(field: str, value: float, *, top: int = MAX_INTEGER) -> int:
    """Return `value` as an integer from 0 to `top`. Raises InvalidInput."""
    if not (math.isfinite(value) and 0 <= value <= top):
        raise InvalidInput(field, f"{value} is out of range", allowed=f"0 to {top}")
    return round(value)


def check_time(field: str, value: datetime) -> datetime:
    """Return `value` when it has a time zone. Raises InvalidInput."""
    if value.tzinfo is None:
        raise InvalidInput(field, f"`{value.isoformat()}` has no time zone", allowed="a time with a zone")
    return value


def check_document(field: str, value: Any) -> None:
    """Check that `value`, a struct or mapping, can be stored as JSON and read back. Raises InvalidInput.

    The problem is located, for example "profile.points[0].ttft_seconds.mean".
    """
    try:
        _walk(field, msgspec.to_builtins(value, str_keys=True), depth=0)
        encoded = msgspec.json.encode(value)
        if isinstance(value, msgspec.Struct):
            msgspec.json.decode(encoded, type=type(value))
    except (TypeError, ValueError, RecursionError, msgspec.ValidationError) as error:
        raise InvalidInput(field, f"cannot be stored: {error}") from error
    if len(encoded) > MAX_DOCUMENT_BYTES:
        raise InvalidInput(
            field, f"takes {len(encoded)} bytes", allowed=f"at most {MAX_DOCUMENT_BYTES} bytes"
        )


def _check_text(field: str, text: str) -> None:
    if len(text) > MAX_TEXT:
        raise InvalidInput(field, f"is {len(text)} characters long", allowed=f"at most {MAX_TEXT} characters")
    if "\x00" in text:
        raise InvalidInput(field, "holds a NUL character", allowed="text without NUL")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidInput(field, "holds half a surrogate pair", allowed="valid Unicode") from None


def _walk(path: str, value: Any, *, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InvalidInput(path[:MAX_NAME], "is nested too deeply", allowed=f"at most {MAX_DEPTH} levels")
    if isinstance(value, str):
        _check_text(path, value)
    elif isinstance(value, int | float):
        _check_number(path, value)
    elif isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            _check_text(path, key)
            _walk(f"{path}.{key}", item, depth=depth + 1)
    elif isinstance(value, list | tuple):
        for position, item in enumerate(cast("list[Any]", value)):
            _walk(f"{path}[{position}]", item, depth=depth + 1)


def _check_number(field: str, value: float) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidInput(field, f"{value} is not finite", allowed="a finite number")
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise InvalidInput(field, "is out of range", allowed="64-bit integers")
