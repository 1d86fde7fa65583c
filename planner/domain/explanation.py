"""Explanations of one variant in one question: every constraint with its evidence, and what would have to change."""

from __future__ import annotations

import msgspec

from planner.domain.figure import Basis, Figure
from planner.domain.outcome import Verdict
from planner.domain.scenario import Origin


class EvidenceLink(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a figure's evidence is: its id, what it is, and where it can be read."""

    id: str
    kind: str
    """profile, evaluation, or source for a citation."""
    basis: Basis | None = None
    citation: str | None = None
    route: str | None = None
    """Path in the API that lists it."""


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One constraint on one variant, in full."""

    key: str
    asked: str
    origin: Origin
    effective: str
    """What was really held against the figure: usable bytes, a certified upper bound, seconds."""
    verdict: Verdict
    figure: Figure | None = None
    margin: float | None = None
    """How far past the bound as a share of it, below zero when within; None for categories and unknowns."""
    detail: str | None = None
    evidence: tuple[EvidenceLink, ...] = ()

    @property
    def fails(self) -> bool:
        """Whether it keeps the variant from being recommended."""
        return not self.verdict.is_acceptable


class Outranked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which variant is ranked before this one, at which place, and what decided."""

    variant_id: str
    name: str
    key: str
    """The first key of the ranking on which the two differ."""
    own: str
    theirs: str
    place: int
    """Place of this variant among those that satisfy every constraint, from 1."""
    of: int


class Needed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The least change of one constraint with which this variant passes it."""

    key: str
    before: str
    after: str
    change: float | None
    """Relative change of the bound; None when a category is dropped."""
