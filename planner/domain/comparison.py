"""Comparisons: variants, or the answers of plans, side by side, figure by figure, with what can be told apart.

Two figures are told apart only when the interval of their difference leaves zero out. The interval is the paired one where
both were recorded on the same items; otherwise half-widths add up, which is safe under any dependence.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from planner.domain.figure import Figure
from planner.domain.units import Unit


class Relation(StrEnum):
    """How one thing compares to the first one, by one figure."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    """Both are known exactly and are equal."""
    CANNOT_TELL = "cannot tell"


class Difference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing minus the first one, by one figure."""

    relation: Relation
    figure: Figure | None = None
    """The difference; its interval is None where one of the two has none."""
    paired: bool = False
    """Whether the interval is over the same items on both sides."""
    reason: str | None = None
    """Why it cannot be told."""


class ComparedFigure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure of every thing compared. `differences` has one entry less than `figures`: the first is the reference."""

    key: str
    title: str
    unit: Unit
    lower_is_better: bool | None
    """None for what is neither better nor worse."""
    figures: tuple[Figure | None, ...]
    differences: tuple[Difference, ...]


class ComparedFact(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is no figure, in words for every thing compared."""

    key: str
    values: tuple[str, ...]


class Compared(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of the things compared."""

    name: str
    variant_id: str | None = None
    plan_id: str | None = None
    verdict: str | None = None
    """In a question: "chosen", "satisfies it", or the constraint it falls at."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Things side by side; the first one is what the others are held against."""

    things: tuple[Compared, ...]
    facts: tuple[ComparedFact, ...]
    figures: tuple[ComparedFigure, ...]
    question: str | None = None
    notes: tuple[str, ...] = ()
