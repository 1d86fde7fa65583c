"""Losses: what every variant loses, as columns per kind and task, each judged by the domain's own rules.

A baseline, the model at its own reference precision, loses exactly nothing: loss is defined against it. Nothing needs to
be measured for that, so its verdict is certified, and the answer says that it holds by definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from planner.domain.evaluation import Evaluation
from planner.domain.figure import Basis, Figure, Interval
from planner.domain.loss import LossKind
from planner.domain.loss_basis import LossBasis, assess
from planner.domain.model import Model
from planner.domain.outcome import Verdict
from planner.domain.scheme import NumberFormat
from planner.domain.units import Unit
from planner.domain.variant import Variant
from planner.estimate.columns import Booleans, Floats, Integers

Codes32 = npt.NDArray[np.int32]

_NORMAL: Final = NormalDist()
_WIDE: Final = frozenset({NumberFormat.FP32, NumberFormat.BF16, NumberFormat.FP16})

VERDICTS: Final = tuple(Verdict)
"""Order of the verdict codes in every column of verdicts."""
CODE: Final = {verdict: code for code, verdict in enumerate(VERDICTS)}
MAX_BOUNDED: Final = 4
"""Confidences of which bounds are kept."""
BY_DEFINITION: Final = "definition"
"""Metric of a baseline's loss."""


def is_baseline(variant: Variant, model: Model) -> bool:
    """Return whether `variant` is its model at the reference precision, which every loss is against.

    A model released in a quantized format (FP8, MXFP4) is its own baseline only as released, not requantized.
    """
    if variant.scheme.weight.format is not model.reference_format:
        return False
    if model.reference_format in _WIDE:
        return variant.scheme.is_reference
    return variant.scheme.method is None and variant.provenance.recipe is None


def zero_loss(kind: LossKind) -> LossBasis:
    """Return the loss of a baseline: exactly zero by definition."""
    return LossBasis(
        figure=Figure(
            value=0.0,
            unit=Unit.RATIO if kind is LossKind.RELATIVE else Unit.POINTS,
            basis=Basis.MODELLED,
            interval=Interval(lo=0.0, hi=0.0, confidence=0.999999),
            note="zero by definition: this is the baseline itself",
        ),
        kind=kind,
        tasks=(),
        metric=BY_DEFINITION,
        items=None,
    )


@dataclass(frozen=True, slots=True)
class Bounds:
    """Losses with their one-sided bounds at one confidence, in some order; NaN where not known."""

    value: Floats
    lower: Floats
    upper: Floats
    nested: bool
    """Whether every known value lies within its bounds."""

    def accepted(self, limit: float, where: slice | Integers, *, certified_only: bool) -> Booleans:
        """Return whether the losses at `where` are certified or, unless only that counts, likely to be within a limit."""
        if certified_only:
            return self.certified(limit, where)
        within: Booleans = self.value[where] <= limit
        return within if self.nested else within & ~(self.lower[where] > limit) | self.certified(limit, where)

    def certified(self, limit: float, where: slice | Integers) -> Booleans:
        """Return whether the losses at `where` are certified to be within a limit."""
        found: Booleans = self.upper[where] <= limit
        return found


@dataclass(frozen=True, slots=True)
class Losses:
    """Loss of n variants for one kind and task; NaN and None where there is no evidence."""

    answers: tuple[LossBasis | None, ...]
    value: Floats
    lo: Floats
    hi: Floats
    deviations: Floats
    """Standard deviations from the value to an end of its interval, by the interval's own confidence."""
    unknown: Booleans
    order: Codes32
    """Place of each loss among all distinct ones, those below zero counting as zero and unknown ones last."""
    distinct: int
    """How many distinct losses there are."""
    bounded: dict[float, tuple[Floats, Floats]] = field(default_factory=dict[float, "tuple[Floats, Floats]"])
    """Bounds of all rows by confidence, of the confidences asked for last."""
    laid_out: dict[float, Bounds] = field(default_factory=dict[float, Bounds])
    """The same in the order of the index's layout."""

    def bounds(self, confidence: float) -> tuple[Floats, Floats]:
        """Return one-sided lower and upper bounds at `confidence`, as `planner.domain.loss.bounds` does."""
        found = self.bounded.get(confidence)
        if found is None:
            factor = _NORMAL.inv_cdf(confidence) / self.deviations
            found = (
                self.value - (self.value - self.lo) * factor,
                self.value + (self.hi - self.value) * factor,
            )
            if len(self.bounded) >= MAX_BOUNDED:
                self.bounded.clear()
            self.bounded[confidence] = found
        return found

    def verdicts(self, limit: float, *, confidence: float, rows: Integers) -> Integers:
        """Return verdict codes of `rows` on "loss <= limit", as `planner.domain.loss.verdict` does."""
        value, (lower, upper) = self.value[rows], self.bounds(confidence)
        verdict = np.full(len(rows), CODE[Verdict.UNLIKELY], dtype=np.int64)
        verdict[value <= limit] = CODE[Verdict.LIKELY]
        verdict[lower[rows] > limit] = CODE[Verdict.VIOLATED]
        verdict[upper[rows] <= limit] = CODE[Verdict.CERTIFIED]
        verdict[self.unknown[rows]] = CODE[Verdict.UNKNOWN]
        return verdict

    def in_order(self, row: Integers, confidence: float) -> Bounds:
        """Return the losses of all rows with their bounds, in the order of the layout, which is `row`."""
        found = self.laid_out.get(confidence)
        if found is None:
            value, lower, upper = (part[row] for part in (self.value, *self.bounds(confidence)))
            found = Bounds(value, lower, upper, not bool(((lower > value) | (upper < value)).any()))
            if len(self.laid_out) >= MAX_BOUNDED:
                self.laid_out.clear()
            self.laid_out[confidence] = found
        return found


def loss_columns(
    variants: Sequence[Variant],
    models: Sequence[Model],
    evaluations: Sequence[Sequence[Evaluation]],
    *,
    kind: LossKind,
    task: str | None,
) -> Losses:
    """Return the losses of variants given with their models and evaluations, row by row."""
    zero = zero_loss(kind)
    answers = tuple(
        zero if is_baseline(variant, model) else assess(own, kind=kind, task=task) if own else None
        for variant, model, own in zip(variants, models, evaluations, strict=True)
    )
    n = len(answers)
    value, lo, hi, deviations = (np.full(n, np.nan) for _ in range(4))
    for row, answer in enumerate(answers):
        if answer is None:
            continue
        value[row] = answer.figure.value
        interval = answer.figure.interval
        if interval is not None:
            lo[row], hi[row] = interval.lo, interval.hi
            deviations[row] = _NORMAL.inv_cdf((1 + interval.confidence) / 2)
    distinct, order = np.unique(np.nan_to_num(np.maximum(value, 0.0), nan=np.inf), return_inverse=True)
    return Losses(
        answers, value, lo, hi, deviations, np.isnan(value), order.reshape(-1).astype(np.int32), len(distinct)
    )
