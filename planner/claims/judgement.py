"""How a claim is judged: each of its parts by one statistic of the figures that bear on it, the claim by its parts.

A part is *supported* when the statistic lies in the range the claim gives, *contradicted* when it does not, *untested*
when no figure bears on it. A claim is supported or contradicted when all its tested parts are, *partly* supported when
some are and others are not, and untested when none is tested; parts that only stand beside it do not count. Figures are judged by their value; intervals are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from statistics import median
from typing import Final

import msgspec

from planner.claims.evidence import Evidence, Held, Row
from planner.claims.queries import Query


class Verdict(StrEnum):
    """What the evidence says of a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    PARTLY = "partly"
    UNTESTED = "untested"


class Statistic(StrEnum):
    """Which number stands for many figures."""

    MEDIAN = "median"
    LEAST = "least"
    MOST = "most"


_OF: Final[dict[Statistic, Callable[[Sequence[float]], float]]] = {
    Statistic.MEDIAN: median,
    Statistic.LEAST: min,
    Statistic.MOST: max,
}


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a claim says: the range it gives, in `unit`, and the figures that are to lie in it."""

    says: str
    unit: str
    query: Query | None
    """None where no figure that the system could hold would test it."""
    least: float | None = None
    most: float | None = None
    statistic: Statistic = Statistic.MEDIAN
    remark: str | None = None
    """How it was read, or why it cannot be tested."""
    beside: bool = False
    """Shown beside the claim, which does not say it: it does not count."""

    @property
    def expected(self) -> str:
        """The range as text."""
        match self.least, self.most:
            case (None, None):
                return "any figure"
            case (least, None):
                return f"at least {least:g}{self._suffix}"
            case (None, most):
                return f"at most {most:g}{self._suffix}"
            case (least, most):
                return f"{least:g} to {most:g}{self._suffix}"

    @property
    def _suffix(self) -> str:
        return "×" if self.unit == "×" else f" {self.unit}"

    def holds(self, value: float) -> bool:
        """Return whether a value lies in the range."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim in the project's own words."""

    number: int
    title: str
    says: str
    parts: tuple[Part, ...]


class JudgedPart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part with what was found, rows in the order of their values."""

    says: str
    expected: str
    unit: str
    verdict: Verdict
    statistic: Statistic
    found: float | None
    rows: tuple[Row, ...]
    remark: str | None = None
    beside: bool = False


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A claim with its verdict and the evidence for it."""

    number: int
    title: str
    says: str
    verdict: Verdict
    parts: tuple[JudgedPart, ...]


def judge_all(claims: Sequence[Claim], held: Held) -> tuple[Judged, ...]:
    """Return every claim judged by what is held; the same contents give the same answer."""
    evidence = Evidence(held)
    return tuple(_judge(claim, evidence) for claim in claims)


def _judge(claim: Claim, evidence: Evidence) -> Judged:
    parts = tuple(_judge_part(part, evidence) for part in claim.parts)
    return Judged(
        number=claim.number,
        title=claim.title,
        says=claim.says,
        verdict=combined(part.verdict for part in parts if not part.beside),
        parts=parts,
    )


def _judge_part(part: Part, evidence: Evidence) -> JudgedPart:
    found = () if part.query is None else tuple(part.query.rows(evidence))
    rows = tuple(sorted(found, key=lambda row: (row.value, row.subject, row.evidence)))
    value = _OF[part.statistic]([row.value for row in rows]) if rows else None
    verdict = Verdict.UNTESTED
    if value is not None:
        verdict = Verdict.SUPPORTED if part.holds(value) else Verdict.CONTRADICTED
    return JudgedPart(
        says=part.says,
        expected=part.expected,
        unit=part.unit,
        verdict=verdict,
        statistic=part.statistic,
        found=value,
        rows=rows,
        remark=part.remark,
        beside=part.beside,
    )


def combined(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict on a claim from those on its parts."""
    tested = {verdict for verdict in verdicts if verdict is not Verdict.UNTESTED}
    if not tested:
        return Verdict.UNTESTED
    return tested.pop() if len(tested) == 1 else Verdict.PARTLY
