"""Strict decoding of JSON bodies: one pass straight into the handler's type, and errors that name the field.

Litestar would decode to plain objects and convert them leniently ("3" for 3); a request class that decodes by the
handler's own annotation is stricter and does the work once.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
from litestar import Request

from planner.errors import InvalidInput

T = TypeVar("T")

_PLACE = re.compile(r" - at `([^`]*)`$")


def decode(body: bytes, kind: type[T]) -> T:
    """Return the JSON `body` as `kind`. Raises InvalidInput naming the field."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise refused(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "body", f"is not valid JSON: {error}", allowed="a JSON document in UTF-8"
        ) from None
    except RecursionError:
        raise InvalidInput(
            "body", "is nested too deeply", allowed="a JSON document of ordinary depth"
        ) from None


def refused(message: str, *, field: str = "body") -> InvalidInput:
    """Return the error for what msgspec says of a value, its place turned into a field name."""
    match = _PLACE.search(message)
    problem = message[: match.start()] if match else message
    place = match.group(1).removeprefix("$").removeprefix(".") if match else ""
    return InvalidInput(place or field, problem[:1].lower() + problem[1:])


class StrictRequest(Request[Any, Any, Any]):
    """A request whose JSON body is decoded by the type that its handler declares."""

    async def json(self) -> Any:
        """Return the body decoded as the handler's `data`, or plainly when it declares none."""
        field = self.route_handler.parsed_data_field
        return decode(await self.body(), field.annotation if field is not None else Any)
