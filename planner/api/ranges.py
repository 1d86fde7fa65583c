"""Conditional and range requests (RFC 9110 sections 13 and 14) for content that never changes. Pure."""

from __future__ import annotations

import re
from typing import Final

import msgspec

_RANGE: Final = re.compile(r"bytes[ \t]*=[ \t]*([0-9]*)[ \t]*-[ \t]*([0-9]*)[ \t]*", re.IGNORECASE)
_TAGS: Final = re.compile(r'(?:W/)?("[^"]*")')
_LONGEST: Final = 19
"""Digits of the largest offset that is read as a number; longer ones are past the end of any file."""


class Span(msgspec.Struct, frozen=True):
    """Part of a file: `length` bytes from `start`."""

    start: int
    length: int


class Unsatisfiable(Exception):
    """The range asked for lies outside the file."""


def _number(digits: str) -> int:
    return int(digits) if len(digits) <= _LONGEST else 10**_LONGEST


def parse_range(header: str | None, size: int) -> Span | None:
    """Return the part of a file of `size` bytes that a Range header asks for; None means all of it.

    Several ranges, other units and malformed headers are ignored, as the standard permits. Raises Unsatisfiable.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        length = min(_number(last), size)
        if length == 0:
            raise Unsatisfiable
        return Span(size - length, length)
    start = _number(first)
    if last and _number(last) < start:
        return None
    if start >= size:
        raise Unsatisfiable
    end = min(_number(last), size - 1) if last else size - 1
    return Span(start, end - start + 1)


def matches(header: str | None, etag: str) -> bool:
    """Return whether an If-Match or If-None-Match header names `etag` or anything at all."""
    return header is not None and (header.strip() == "*" or etag in _TAGS.findall(header))


def keeps_range(if_range: str | None, etag: str) -> bool:
    """Return whether Range is to be honoured: If-Range is absent or names `etag` strongly."""
    return if_range is None or if_range.strip() == etag
