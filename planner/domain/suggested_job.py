"""Suggested jobs: work that an answer says is worth doing, in the shape in which it can be queued as it stands."""

from __future__ import annotations

from typing import Any

import msgspec

from planner.domain.job import JobKind


class SuggestedJob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job that nobody has queued yet. `spec` passes `planner.domain.job_spec.check_spec` for its kind."""

    kind: JobKind
    spec: dict[str, Any]
    requires: tuple[str, ...] = ()
    """What it asks of a worker, in the words of `planner.domain.job_requirement`."""
    blocked: str | None = None
    """Why it cannot be done as things are, such as files that nobody registered; None when it can."""
    note: str | None = None
    """What else should be known before it is queued."""
