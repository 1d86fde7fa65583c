"""Scheme losses: what builds of one scheme lost on the other models of the index, as an empirical distribution.

A recipe's loss on a model is not known before it is built. What is known is how the same scheme fared elsewhere; each
model counts once, with the median of its builds. The narrowest group with enough models is used, and named: the same
method and group size on models of a like size first, the bare number formats last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist, median
from typing import Final

import numpy as np

from planner.choose.index import Index
from planner.domain.advice import LossOdds
from planner.domain.figure import Interval
from planner.domain.loss import LossKind
from planner.domain.model import Model
from planner.domain.scheme import NumberFormat, Precision, Scheme
from planner.estimate.columns import Floats

ENOUGH: Final = 3
"""Models a group must have; the widest group that has any is used where none has as many."""
LIKE_SIZE: Final = 4.0
"""Largest ratio of parameters between models of a like size: small models lose more to the same scheme."""
CONFIDENCE: Final = 0.9
MAX_SOURCES: Final = 50
_Z: Final = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemeLosses:
    """One loss of each model, ascending, the group they are of in words, and the evaluations behind them."""

    values: tuple[float, ...]
    match: str
    sources: tuple[str, ...]

    def odds(self, limit: float) -> LossOdds:
        """Return the odds of keeping within `limit`."""
        n = len(self.values)
        within = sum(value <= limit for value in self.values)
        return LossOdds(
            limit=limit,
            within=within,
            models=n,
            probability=(within + 0.5) / (n + 1) if n else None,
            share=_wilson(within, n) if n else None,
            match=self.match,
            median=median(self.values) if n else None,
            lowest=self.values[0] if n else None,
            highest=self.values[-1] if n else None,
            sources=self.sources[:MAX_SOURCES],
        )

    def quantiles(self, shares: Floats) -> Floats:
        """Return the losses at these shares: as steps between those recorded, the last half step being infinite.

        What no model showed is not ruled out: as many as `odds` allows for lie above the highest loss.
        """
        n = len(self.values)
        steps = (np.arange(1, n + 1) + 0.5) / (n + 1)
        return np.array([*self.values, np.inf])[np.searchsorted(steps, shares)]


def _wilson(within: int, n: int) -> Interval:
    """Return Wilson's score interval of a share (J. Am. Stat. Assoc. 22, 1927)."""
    share, z2 = within / n, _Z**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return Interval(lo=max(0.0, middle - half), hi=min(1.0, middle + half), confidence=CONFIDENCE)


Record = tuple[int, Model, float, tuple[str, ...]]
"""How close the scheme is (0 closest), the model, its loss, and the evaluations behind it."""


class SchemeRecords:
    """Every recorded loss of builds like one scheme, gathered once and asked for several models."""

    def __init__(self, index: Index, scheme: Scheme, *, kind: LossKind, task: str | None) -> None:
        losses = index.losses(kind, task)
        levels = np.array([_level(own, scheme) for own in index.schemes], dtype=np.int64)[index.scheme]
        self.scheme = scheme
        self._records: list[Record] = []
        for row in np.flatnonzero((levels >= 0) & ~np.isnan(losses.value)).tolist():
            answer = losses.answers[row]
            if (
                answer is not None and answer.tasks
            ):  # a baseline loses nothing by definition, which is no evidence
                own = (int(levels[row]), index.row_models[row], answer.figure.value, answer.figure.evidence)
                self._records.append(own)

    def beside(self, model: Model) -> SchemeLosses:
        """Return the losses on models other than `model`, of the narrowest group that has enough of them."""
        others = [record for record in self._records if record[1].id != model.id]
        best = SchemeLosses(
            values=(), match=f"no build like {self.scheme.name} was evaluated on another model", sources=()
        )
        for level, words in enumerate(_words(self.scheme)):
            near = [record for record in others if record[0] <= level]
            alike = [record for record in near if _is_like(record[1], model)]
            for members, size in ((alike, ", models of a like size"), (near, "")):
                group = _group(members, words + size)
                if len(group.values) >= ENOUGH:
                    return group
                if len(group.values) > len(best.values):
                    best = group
        return best


def _is_like(other: Model, model: Model) -> bool:
    return 1 / LIKE_SIZE <= other.parameters / model.parameters <= LIKE_SIZE


def _group(members: list[Record], words: str) -> SchemeLosses:
    by_model: dict[str, list[float]] = {}
    for _, model, value, _ in members:
        by_model.setdefault(model.id, []).append(value)
    return SchemeLosses(
        values=tuple(sorted(median(values) for values in by_model.values())),
        match=words,
        sources=tuple(dict.fromkeys(source for *_, sources in members for source in sources)),
    )


def _words(scheme: Scheme) -> tuple[str, str, str]:
    by = f" by {scheme.method}" if scheme.method else ""
    activation = f" with {scheme.activation.format.value} activations" if scheme.activation else ""
    cache = f" and a {scheme.kv.format.value} cache" if scheme.kv else ""
    formats = f"{scheme.weight.format.value} weights{activation}{cache}"
    return f"{scheme.name}{by}", f"{scheme.name} by any method", f"{formats}, any grouping and method"


def _level(own: Scheme, wanted: Scheme) -> int:
    """Return how close a scheme is: 0 the same with the same method, 1 the same, 2 the same number formats, -1 another."""
    if own.attention != wanted.attention or own.mixed != wanted.mixed:
        return -1
    if own.name == wanted.name:
        return 0 if own.method == wanted.method else 1
    same = (
        own.weight.format is wanted.weight.format
        and _format(own.activation) == _format(wanted.activation)
        and _format(own.kv) == _format(wanted.kv)
        and (own.label is None) == (wanted.label is None)
    )
    return 2 if same else -1


def _format(precision: Precision | None) -> NumberFormat | None:
    return precision.format if precision else None
