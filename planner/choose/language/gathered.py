"""The constraints a query asks for, gathered by key, each with the clause that states it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from planner.choose.language.amounts import contradiction
from planner.choose.language.clauses import CertifiedOnly, Clause
from planner.choose.language.text import Source
from planner.domain.constraint import Constraint
from planner.domain.scenario import Origin

ORDER: Final = (
    "loss", "ttft", "tpot", "itl", "e2e", "throughput", "cost", "cost-per-hour", "disk", "scheme", "scheme-excluded", "runtime", "format", "license",
)  # fmt: skip
"""Order of constraints in a scenario, by the part of the key before the colon."""


def constraint_order(key: str) -> tuple[int, str]:
    """Return the sort key of a constraint key, so that equal questions are equal scenarios."""
    head, _, rest = key.partition(":")
    return (ORDER.index(head) if head in ORDER else len(ORDER), rest)


@dataclass(slots=True)
class Limits:
    """Constraints asked for, by key, with the clause of each, and what the query says about a preset's."""

    source: Source
    asked: dict[str, Constraint] = field(default_factory=dict[str, Constraint])
    places: dict[str, Clause] = field(default_factory=dict[str, Clause])
    origins: dict[str, Origin] = field(default_factory=dict[str, Origin])
    """Origins of details inside a constraint, such as "ttft.quantile"."""
    unlimited: dict[str, Clause] = field(default_factory=dict[str, Clause])
    certified: CertifiedOnly | None = None
    """Set when every loss limit must be certified."""
    confidence: tuple[Clause, float] | None = None
    """Set when every loss bound is meant at another confidence than the default."""

    def add(self, clause: Clause, constraint: Constraint) -> None:
        """Add a constraint. Raises InvalidQuery when one of its key is there, or was said not to apply."""
        key = constraint.key
        if key in self.places:
            raise contradiction(self.source, _title(key), self.places[key], clause)
        if key in self.unlimited:
            raise contradiction(self.source, _title(key), self.unlimited[key], clause)
        self.asked[key] = constraint
        self.places[key] = clause


def _title(key: str) -> str:
    return key.replace("loss:", "loss on ").replace("scheme-excluded", "excluded scheme")
