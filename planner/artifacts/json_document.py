"""Strict JSON: what two readers could understand differently is refused.

Duplicate keys, invalid UTF-8, numbers that do not fit and endless nesting are errors that name the file.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn, TypeGuard

from planner.artifacts.durable import open_regular
from planner.errors import InvalidFile


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a decoded value is a JSON object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Return whether a decoded value is a JSON array."""
    return isinstance(value, list)


def decode_json(data: bytes, *, path: str, field: str = "", finite: bool = True) -> Any:
    """Return the JSON document in `data`. Raises InvalidFile naming `path` and `field`.

    `finite` refuses NaN and Infinity, which Python's writer emits in some configurations.
    """

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(items)
        if len(document) != len(items):
            twice = Counter(key for key, _ in items).most_common(1)[0][0]
            raise InvalidFile(path, field, f"the key {twice[:80]!r} appears twice", allowed="unique keys")
        return document

    def constant(text: str) -> NoReturn:
        raise InvalidFile(path, field, f"{text} is not JSON", allowed="finite numbers")

    def number(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise InvalidFile(path, field, f"{text[:20]} is out of range", allowed="finite numbers")
        return value

    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidFile(path, field, f"is not UTF-8 at byte {error.start}", allowed="UTF-8 JSON") from error
    try:
        if finite:
            return json.loads(text, object_pairs_hook=pairs, parse_constant=constant, parse_float=number)
        return json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise InvalidFile(
            path, field, f"is not JSON: {error.msg} at character {error.pos}", allowed="a JSON document"
        ) from error
    except (RecursionError, ValueError) as error:
        problem = (
            "is nested too deeply" if isinstance(error, RecursionError) else "holds a number too long to read"
        )
        raise InvalidFile(path, field, problem, allowed="a JSON document") from error


def read_json_object(path: Path, label: str, *, limit: int, finite: bool = True) -> dict[str, Any]:
    """Return the JSON object in the file at `path`, of at most `limit` bytes. Raises InvalidFile."""
    with open_regular(path, label) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise InvalidFile(label, "", f"is larger than {limit} bytes", allowed=f"at most {limit} bytes")
    document = decode_json(data, path=label, finite=finite)
    if not is_object(document):
        raise InvalidFile(label, "", "is not a JSON object", allowed="an object")
    return document
