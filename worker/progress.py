"""Progress of long work: a share from 0 to 1 and a short message, passed down as a function."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[float, str], None]
"""Called with the share done (0 to 1) and what is being done."""


def ignore(share: float, message: str) -> None:
    """Report to nobody."""
    del share, message


def part(report: Report, start: float, end: float) -> Report:
    """Return a report whose 0 to 1 is the stretch from `start` to `end` of `report`."""

    def inner(share: float, message: str) -> None:
        report(start + (end - start) * min(max(share, 0.0), 1.0), message)

    return inner
