"""Census: how many of the rows asked about fell at each constraint, and how many are left, by how sure they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from planner.estimate.columns import Integers

TIERS: Final = 4
"""Tiers of certainty, as `planner.choose.feasible.Assessment.tier` codes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Counts of all rows asked about."""

    rows: int
    fell: Integers
    """By judgement, the rows that failed it first."""
    tiers: Integers
    """Accepted rows by tier: of those that are current, then of those that are deprecated."""
    models: int
    """Models of the accepted rows."""
    known: Mapping[str, bool] = field(default_factory=dict[str, bool])
    """By metric that the objective depends on, whether its time is known of any accepted row."""
