"""Explaining: answers compared, swept, and followed by what would change them; part of `planner.wire.service.Service`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from planner.domain.advice import BuildAdvice, MeasurementAdvice
from planner.domain.comparison import Comparison
from planner.domain.job import Job
from planner.domain.sweep import Sweep

MAX_QUEUED = 20
"""Most suggested jobs queued in one request."""


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    """Suggested jobs that were queued, and why better ones were not."""

    jobs: tuple[Job, ...]
    passed_over: tuple[str, ...]
    """What stands in the way of suggestions that came before or would have come next."""


class QueueRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How many of the suggested jobs to queue, the best first."""

    count: int = 1


class CompareRequest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Variants to compare: in a question in words, in that of a stored plan, or, with neither, by themselves."""

    variants: tuple[str, ...]
    query: str | None = None
    plan_id: str | None = None


class ComparePlansRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stored plans to compare."""

    plans: tuple[str, ...]


class Explaining(Protocol):
    """What a question's answer is worth, and what would change it. Each takes exactly one stored plan or query."""

    def compare(
        self, variants: Sequence[str], *, plan_id: str | None = None, query: str | None = None
    ) -> Comparison:
        """Return variants side by side; with neither plan nor query, by themselves. Raises NotFound, InvalidInput."""
        ...

    def compare_plans(self, plan_ids: Sequence[str]) -> Comparison:
        """Return the answers of stored plans side by side. Raises NotFound, InvalidInput."""
        ...

    def sweep(self, over: str, *, plan_id: str | None = None, query: str | None = None) -> Sweep:
        """Return what is chosen while one bound moves over a range such as "memory=8GiB..80GiB/50".

        Raises NotFound, InvalidQuery, InvalidInput naming the part of the range that is wrong.
        """
        ...

    def measurements(self, *, plan_id: str | None = None, query: str | None = None) -> MeasurementAdvice:
        """Return the measurements that could change the answer, likeliest first. Raises NotFound, InvalidQuery."""
        ...

    def builds(self, *, plan_id: str | None = None, query: str | None = None) -> BuildAdvice:
        """Return builds that could satisfy the question, best odds first. Raises NotFound, InvalidQuery."""
        ...

    def queue_measurements(self, plan_id: str, *, count: int = 1) -> Queued:
        """Queue the jobs of the first measurements that can be done. Raises NotFound, InvalidInput."""
        ...

    def queue_builds(self, plan_id: str, *, count: int = 1) -> Queued:
        """Queue the jobs of the first builds that can be done. Raises NotFound, InvalidInput."""
        ...
