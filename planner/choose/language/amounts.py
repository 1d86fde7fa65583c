"""Numbers of a query held against what a scenario allows, with errors that point at them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from planner.choose.language.clauses import Clause, Quantity
from planner.choose.language.text import Source
from planner.domain.constraint import Direction
from planner.errors import InvalidInput, InvalidQuery


@contextmanager
def pointing_at(source: Source, clause: Clause) -> Generator[None]:
    """Turn an InvalidInput raised inside into an InvalidQuery that points at `clause`."""
    try:
        yield
    except InvalidQuery:
        raise
    except InvalidInput as error:
        allowed = error.details.get("allowed")
        raise source.error(
            f"{error.details['field']}: {error.details['problem']}",
            clause.start,
            clause.end,
            expected=(allowed,) if allowed else (),
        ) from error


def whole(source: Source, quantity: Quantity, field: str, *, top: int) -> int:
    """Return a quantity that must be a whole number from 1 to `top`. Raises InvalidQuery naming `field`."""
    if quantity.number != quantity.number.to_integral_value() or not 1 <= quantity.number <= top:
        raise source.error(
            f"{field}: {_shown(quantity)} is out of range",
            quantity.start,
            quantity.end,
            expected=(f"a whole number from 1 to {top}",),
        )
    return int(quantity.number)


def _shown(quantity: Quantity) -> str:
    text = f"{quantity.number:f}"
    return text if len(text) <= 24 else f"{quantity.number:.3e}"


def refuse_bound(source: Source, quantity: Quantity, direction: Direction, why: str, instead: str) -> None:
    """Raise InvalidQuery when the comparator points the way that makes no sense for the quantity."""
    if quantity.bound is direction:
        asked = "at least" if direction is Direction.UP else "at most"
        raise source.error(
            f"{why}, so `{asked}` contradicts it", quantity.start, quantity.end, suggestion=instead
        )


def contradiction(source: Source, what: str, first: Clause, second: Clause) -> InvalidQuery:
    """Return the error for a thing said twice, pointing at the second place."""
    one, other = (
        source.original_slice(first.start, first.end),
        source.original_slice(second.start, second.end),
    )
    return source.error(
        f"{what} is given twice: `{one}` and `{other}`", second.start, second.end, expected=("one of them",)
    )
