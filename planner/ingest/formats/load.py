"""How much ran at once, where a tool sets a rate and not a concurrency."""

from __future__ import annotations

from planner.domain.profile import Distribution


def little(request_rate: float | None, end_to_end: Distribution | None) -> int | None:
    """Return the mean number of requests in flight by Little's law (Operations Research 9, 1961): rate x mean time."""
    if not request_rate or end_to_end is None:
        return None
    return min(1_000_000, max(1, round(request_rate * end_to_end.mean)))
