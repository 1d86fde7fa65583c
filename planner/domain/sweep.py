"""Sweeps: one bound of a question moved over a range, and what is chosen at each point and from which value on."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from planner.domain.figure import Figure
from planner.domain.units import Unit


class Scale(StrEnum):
    """How the points of a range are spread."""

    LOG = "log"
    LINEAR = "linear"


class SweepPoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer at one value."""

    value: float
    shown: str
    outcome: str
    """recommended or infeasible."""
    accepted: int
    """How many variants satisfy the question there."""
    variant_id: str | None = None
    name: str | None = None
    memory: Figure | None = None
    loss: Figure | None = None
    tpot: Figure | None = None
    throughput: Figure | None = None


class Breakpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the choice changes: `below` is the last value with the choice before, `value` the first with the one after."""

    below: float
    value: float
    shown: str
    before_id: str | None = None
    before: str | None = None
    """None when nothing satisfies the question there."""
    after_id: str | None = None
    after: str | None = None


class Sweep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A curve: points in ascending order of the value, and every change of the choice found between them."""

    over: str
    title: str
    unit: Unit
    scale: Scale
    points: tuple[SweepPoint, ...]
    breakpoints: tuple[Breakpoint, ...]
    revision: int
    exact: bool = True
    """False when there were more changes than are searched for one by one; those listed are right all the same."""
