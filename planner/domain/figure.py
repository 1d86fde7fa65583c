"""Figure: the only carrier of a number a user sees, with its interval, its basis and the evidence behind it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from planner.domain.units import Unit, format_value
from planner.errors import InvalidInput


class Basis(StrEnum):
    """Where a figure comes from. A weaker basis never overrides a stronger one, and is never upgraded."""

    MEASURED = "measured"
    """One of our workers measured it, with the full environment captured."""
    IMPORTED = "imported"
    """Read from another tool's result file, which is kept verbatim."""
    PUBLISHED = "published"
    """Printed in a citable source."""
    INTERPOLATED = "interpolated"
    """Between measured points of the same variant, device and runtime."""
    MODELLED = "modelled"
    """From physics and calibration."""

    @property
    def rank(self) -> int:
        """0 for the strongest basis, growing as it weakens."""
        return _RANK[self]


_RANK: Final = {basis: rank for rank, basis in enumerate(Basis)}


def weakest(bases: Iterable[Basis]) -> Basis:
    """Return the weakest of `bases`: the basis of anything computed from all of them."""
    return max(bases, key=lambda basis: basis.rank)


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A two-sided interval [lo, hi] that holds the true value with probability `confidence`."""

    lo: float
    hi: float
    confidence: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lo) and math.isfinite(self.hi) and self.lo <= self.hi):
            raise InvalidInput(
                "interval", f"[{self.lo}, {self.hi}] is not an interval", allowed="finite lo <= hi"
            )
        if not 0 < self.confidence < 1:
            raise InvalidInput(
                "interval.confidence", f"{self.confidence} is out of range", allowed="between 0 and 1"
            )


class Figure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A value with unit, interval (None when unknown, never taken as zero width), basis and evidence ids."""

    value: float
    unit: Unit
    basis: Basis
    interval: Interval | None = None
    evidence: tuple[str, ...] = ()
    note: str | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise InvalidInput(
                "figure.value",
                f"{self.value} is not finite",
                allowed="a finite number; leave unknown figures out",
            )

    def __str__(self) -> str:
        return format_value(self.value, self.unit)

    def scaled(self, factor: float, *, unit: Unit | None = None) -> Figure:
        """Return this figure multiplied by an exact, positive `factor`."""
        interval = self.interval and Interval(
            lo=self.interval.lo * factor, hi=self.interval.hi * factor, confidence=self.interval.confidence
        )
        return msgspec.structs.replace(
            self, value=self.value * factor, unit=unit or self.unit, interval=interval
        )


def total(figures: Iterable[Figure], *, unit: Unit) -> Figure:
    """Return the sum of `figures`, with the weakest basis and all evidence.

    Half-widths of known intervals are added linearly, which is safe under any dependence between the terms. The sum
    has an interval only when every inexact term has one; an exact term is one with a zero-width interval. Raises
    InvalidInput without terms.
    """
    terms = tuple(figures)
    if not terms:
        raise InvalidInput("figures", "are empty", allowed="at least one term")
    value = math.fsum(term.value for term in terms)
    intervals = [term.interval for term in terms]
    interval: Interval | None = None
    known = [i for i in intervals if i is not None]
    if known and len(known) == len(intervals):
        interval = Interval(
            lo=math.fsum(i.lo for i in known),
            hi=math.fsum(i.hi for i in known),
            confidence=min(i.confidence for i in known),
        )
    return Figure(
        value=value,
        unit=unit,
        basis=weakest(term.basis for term in terms),
        interval=interval,
        evidence=tuple(dict.fromkeys(e for term in terms for e in term.evidence)),
    )


def exact(value: float, unit: Unit, *, basis: Basis, evidence: tuple[str, ...] = ()) -> Figure:
    """Return a figure that is known exactly, such as bytes counted in a file header."""
    return Figure(
        value=value,
        unit=unit,
        basis=basis,
        evidence=evidence,
        interval=Interval(lo=value, hi=value, confidence=0.999999),
    )
