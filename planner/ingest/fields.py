"""Fields: a JSON object read field by field, every error naming the place in the file.

None means absent or null; a value of the wrong type, not finite or out of range is an InvalidFile.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, Self, cast

from planner.errors import InvalidFile

MAX_NUMBER: Final = 1e15
"""Bound of any number read: a month in nanoseconds is 2.6e15, no single figure here comes near it."""
MAX_TEXT: Final = 200
MAX_NUMBERS: Final = 5_000_000


def clean(text: str) -> str:
    """Return `text` as one printable line of at most 200 characters."""
    kept = "".join(c if c.isprintable() else " " for c in text[: 4 * MAX_TEXT])
    return " ".join(kept.split())[:MAX_TEXT]


def object_of(value: object) -> dict[str, Any]:
    """Return a JSON object, an empty one for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def list_of(value: object) -> list[Any]:
    """Return a JSON list, an empty one for anything else."""
    return list(cast("Iterable[Any]", value)) if isinstance(value, list) else []


class Fields:
    """A JSON object in the file `path`, at `place`."""

    def __init__(self, path: str, values: object, place: str = "") -> None:
        self.path, self.place = path, place
        if not isinstance(values, dict):
            raise self.wrong("", "is not an object", "a JSON object")
        self.values = object_of(cast("object", values))

    def wrong(self, name: str, problem: str, allowed: str | None = None) -> InvalidFile:
        """Return the error for a field of this object."""
        field = ".".join(part for part in (self.place, name) if part)
        return InvalidFile(self.path, clean(field), problem, allowed=allowed)

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def names(self) -> tuple[str, ...]:
        """Return the names of the fields."""
        return tuple(self.values)

    def inner(self, name: str) -> Self | None:
        """Return the object in a field."""
        value = self.values.get(name)
        place = f"{self.place}.{name}" if self.place else name
        return None if value is None else type(self)(self.path, value, place)

    def at(self, *names: str) -> Self:
        """Return the object down a path, an empty one where the path ends early or leads to something else."""
        here: object = self.values
        for name in names:
            here = object_of(here).get(name)
        place = ".".join((self.place, *names) if self.place else names)
        return type(self)(self.path, object_of(here), place)

    def each(self, name: str) -> Iterator[Self]:
        """Yield the objects of a list, none where it is absent."""
        value = self.values.get(name)
        if value is None:
            return
        if not isinstance(value, list):
            raise self.wrong(name, "is not a list", "a list of objects")
        for position, item in enumerate(cast("list[object]", value)):
            yield type(self)(self.path, item, f"{self.place}.{name}[{position}]".removeprefix("."))

    def number(self, name: str, *, low: float = 0.0, high: float = MAX_NUMBER) -> float | None:
        """Return a number between `low` and `high`."""
        value = self.values.get(name)
        if value is None or value == "N/A":
            return None
        return self._checked(name, value, low, high)

    def needed(self, name: str, *, low: float = 0.0, high: float = MAX_NUMBER) -> float:
        """Return a number that must be there."""
        value = self.number(name, low=low, high=high)
        if value is None:
            raise self.wrong(name, "is missing", "a number")
        return value

    def positive(self, name: str) -> float:
        """Return a number above 0 that must be there."""
        value = self.needed(name)
        if value <= 0:
            raise self.wrong(name, f"{value:g} is out of range", "more than 0")
        return value

    def count(self, name: str, *, low: int = 0) -> int | None:
        """Return a whole number of at least `low`."""
        value = self.number(name, low=low)
        if value is not None and not value.is_integer():
            raise self.wrong(name, f"{value:g} is not whole", "a whole number")
        return None if value is None else int(value)

    def numbers(self, name: str, *, low: float = 0.0) -> list[float] | None:
        """Return a list of numbers."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or len(cast("list[object]", value)) > MAX_NUMBERS:
            raise self.wrong(name, "is not a list of numbers", f"a list of at most {MAX_NUMBERS} numbers")
        return [
            self._checked(f"{name}[{i}]", item, low, MAX_NUMBER)
            for i, item in enumerate(cast("list[object]", value))
        ]

    def text(self, name: str) -> str | None:
        """Return a text as one printable line, numbers as they are written; None when empty or of another type."""
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return None
        try:
            return clean(str(value)) or None
        except ValueError:  # an integer of thousands of digits
            return None

    def flag(self, name: str) -> bool | None:
        """Return a truth value, None for anything else."""
        value = self.values.get(name)
        return value if isinstance(value, bool) else None

    def time(self, name: str) -> datetime | None:
        """Return a time given in seconds since 1970 or as ISO 8601, None when it is neither; without a zone it is UTC."""
        value = self.values.get(name)
        if isinstance(value, bool):
            return None
        found: datetime | None = None
        try:
            if isinstance(value, int | float):
                found = datetime.fromtimestamp(value, tz=UTC)
            elif isinstance(value, str):
                found = datetime.fromisoformat(value)
        except (ValueError, OverflowError, OSError):
            return None
        if found is None or not 2000 <= found.year <= 2200:
            return None
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)

    def _checked(self, name: str, value: object, low: float, high: float) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(name, "is not a number", "a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not (math.isfinite(number) and low <= number <= high):
            raise self.wrong(name, f"{number:g} is out of range", f"{low:g} to {high:g}")
        return number
