"""Accuracy loss: its one definition, its paired intervals, and the verdict on a limit.

Loss is positive when the variant is worse than its own baseline on the same items. Intervals are two-sided at 90 %, so
that each end is a one-sided 95 % bound. References: Student's t quantile by the expansion of Abramowitz & Stegun
26.7.5; ratio estimator of Cochran, Sampling Techniques (1977), section 6.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from planner.domain.evaluation import Document, PairedCounts
from planner.domain.figure import Basis, Figure, Interval
from planner.domain.units import Unit
from planner.errors import InvalidInput

CONFIDENCE: Final = 0.95
"""One-sided confidence of a bound unless a question asks otherwise."""
BOOTSTRAP_RESAMPLES: Final = 10_000
FEWEST_ITEMS: Final = 31
"""Items from which an interval can decide about a limit. A relative loss is a ratio of means, whose large-sample interval
Cochran (1977, section 6.3) allows as a working rule when the sample exceeds 30; below, skew alone can make it miss."""

_MAX_NLL: Final = 300.0
"""Negative log-likelihood per token above which nothing is a language model (uniform over 1e6 words is 13.8 nats)."""
_MAX_EXPONENT: Final = 700.0
"""Largest exponent whose power is a float."""
_NORMAL: Final = NormalDist()


class LossKind(StrEnum):
    """A share of the baseline, or percentage points of the score."""

    RELATIVE = "relative"
    ABSOLUTE = "absolute"


class LossVerdict(StrEnum):
    """What the evidence says about "loss <= limit", best first."""

    CERTIFIED = "certified"
    LIKELY = "likely"
    UNLIKELY = "unlikely"
    VIOLATED = "violated"
    UNKNOWN = "unknown"


def relative_loss(baseline: float, variant: float, *, higher_is_better: bool) -> float:
    """Return (baseline - variant)/baseline, or variant/baseline - 1 where lower is better. Raises InvalidInput."""
    if not (math.isfinite(baseline) and math.isfinite(variant) and baseline > 0):
        raise InvalidInput(
            "baseline_score",
            f"{baseline} cannot be compared with {variant}",
            allowed="a finite baseline above 0",
        )
    return (baseline - variant) / baseline if higher_is_better else variant / baseline - 1


def absolute_loss(baseline: float, variant: float) -> float:
    """Return the loss in percentage points of a score given as a share (0 to 1) where higher is better."""
    return 100 * (baseline - variant)


def student_t(probability: float, degrees: int) -> float:
    """Return Student's t quantile for `degrees` >= 3.

    At 0.95 the error is 1e-3 for 3 degrees and below 1e-4 from 5 on; further out in the tail it is larger.
    """
    if degrees < 3:
        raise InvalidInput("degrees", f"{degrees} are too few for an interval", allowed="at least 4 items")
    z = _NORMAL.inv_cdf(probability)
    v = float(degrees)
    terms = (
        z,
        (z**3 + z) / 4 / v,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96 / v**2,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384 / v**3,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160 / v**4,
    )
    return math.fsum(terms)


def _check_documents(documents: Sequence[Document]) -> None:
    if not documents or any(document.tokens < 1 for document in documents):
        raise InvalidInput(
            "documents", "hold no scored tokens", allowed="documents with at least one token each"
        )
    for document in documents:
        for nll in (document.baseline_nll, document.variant_nll):
            if not abs(nll) / document.tokens <= _MAX_NLL:  # also when it is not a number
                raise InvalidInput(
                    "documents",
                    f"`{document.id[:80]}` costs {nll / document.tokens:.3g} nats per token",
                    allowed=f"at most {_MAX_NLL:g}; more is a broken model",
                )


def perplexity(documents: Sequence[Document]) -> tuple[float, float]:
    """Return the token-weighted perplexities (baseline, variant) over `documents`. Raises InvalidInput."""
    _check_documents(documents)
    tokens = sum(document.tokens for document in documents)
    baseline = math.fsum(document.baseline_nll for document in documents) / tokens
    variant = math.fsum(document.variant_nll for document in documents) / tokens
    return math.exp(baseline), math.exp(variant)


def perplexity_loss(documents: Sequence[Document], *, basis: Basis, evidence: tuple[str, ...] = ()) -> Figure:
    """Return relative perplexity loss, exp(sum of nll differences / tokens) - 1, with its paired 90 % interval.

    The document is the sampling unit: the variance of the ratio "difference per token" is the ratio estimator's, over
    documents, and the interval is transformed through exp. Fewer than 4 documents give no interval.
    """
    _check_documents(documents)
    tokens = np.array([document.tokens for document in documents], dtype=np.float64)
    difference = np.array(
        [document.variant_nll - document.baseline_nll for document in documents], dtype=np.float64
    )
    n = len(documents)
    ratio = float(difference.sum() / tokens.sum())
    interval: Interval | None = None
    if n >= 4:
        residual = difference - ratio * tokens
        standard_error = math.sqrt(float((residual**2).sum()) / (n - 1) / n) / float(tokens.mean())
        half = student_t(CONFIDENCE, n - 1) * standard_error
        interval = Interval(
            lo=math.expm1(ratio - half),
            hi=math.expm1(min(ratio + half, _MAX_EXPONENT)),
            confidence=2 * CONFIDENCE - 1,
        )
    return Figure(value=math.expm1(ratio), unit=Unit.RATIO, basis=basis, interval=interval, evidence=evidence)


def counts_loss(
    counts: PairedCounts, *, kind: LossKind, basis: Basis, evidence: tuple[str, ...] = (), seed: int = 0
) -> Figure:
    """Return the loss of a 0/1 score from its four paired counts, with a paired-bootstrap 90 % interval.

    Resampling items is a multinomial draw over the four cells, with one pseudo-item added to each of the two cells of
    changed answers (the adjustment of Bonett and Price, J. Educ. Behav. Stat. 37, 2012). Without it, a handful of
    changes in one direction only would pass for proof: the one-sided bound then fails 1 time in 7, not in 20.
    Raises InvalidInput when the baseline got nothing right.
    """
    cells = np.array(
        [counts.both_right, counts.only_baseline, counts.only_variant, counts.both_wrong], dtype=np.int64
    )
    n = int(cells.sum())
    if n == 0 or counts.both_right + counts.only_baseline == 0:
        raise InvalidInput("counts", "the baseline got no item right", allowed="at least one item right")
    adjusted = cells + np.array([0, 1, 1, 0])
    draws = np.random.default_rng(seed).multinomial(n, adjusted / (n + 2), size=BOOTSTRAP_RESAMPLES)
    right_base = draws[:, 0] + draws[:, 1]
    difference = draws[:, 1] - draws[:, 2]
    if kind is LossKind.RELATIVE:
        value = (counts.only_baseline - counts.only_variant) / (counts.both_right + counts.only_baseline)
        samples = difference / np.maximum(right_base, 1)
    else:
        value = 100 * (counts.only_baseline - counts.only_variant) / n
        samples = 100 * difference / n
    return _loss_figure(value, _ends(samples), kind=kind, basis=basis, evidence=evidence)


def _ends(samples: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the percentile interval of bootstrap samples."""
    lo, hi = np.quantile(samples, [1 - CONFIDENCE, CONFIDENCE])
    return float(lo), float(hi)


def _loss_figure(
    value: float, ends: tuple[float, float], *, kind: LossKind, basis: Basis, evidence: tuple[str, ...]
) -> Figure:
    interval = Interval(lo=min(ends[0], value), hi=max(ends[1], value), confidence=2 * CONFIDENCE - 1)
    unit = Unit.RATIO if kind is LossKind.RELATIVE else Unit.POINTS
    return Figure(value=value, unit=unit, basis=basis, interval=interval, evidence=evidence)


def scores_loss(
    baseline: Sequence[float],
    variant: Sequence[float],
    *,
    kind: LossKind,
    basis: Basis,
    evidence: tuple[str, ...] = (),
    seed: int = 0,
) -> Figure:
    """Return the loss of per-item scores (0 to 1, same items in the same order) with a paired-bootstrap 90 % interval.

    Scores that are all 0 or 1 are counted (`counts_loss`). Where no graded score differs, the interval is that of an
    unseen change: identical answers on n items do not prove identity, and the rule of three bounds it by 3/n.
    """
    base, other = np.asarray(baseline, dtype=np.float64), np.asarray(variant, dtype=np.float64)
    if base.shape != other.shape or base.ndim != 1 or base.size == 0:
        raise InvalidInput(
            "scores", f"{base.size} against {other.size} items", allowed="two equally long, non-empty lists"
        )
    if not (np.isfinite(base).all() and np.isfinite(other).all()) or base.sum() <= 0:
        raise InvalidInput(
            "scores",
            "are not finite or the baseline scores nothing",
            allowed="finite scores, baseline above 0",
        )
    if np.isin(base, (0, 1)).all() and np.isin(other, (0, 1)).all():
        return counts_loss(_counts(base, other), kind=kind, basis=basis, evidence=evidence, seed=seed)
    n = base.size
    rng = np.random.default_rng(seed)
    samples = np.empty(BOOTSTRAP_RESAMPLES)
    for start in range(0, BOOTSTRAP_RESAMPLES, 500):
        rows = rng.integers(0, n, size=(500, n))
        base_mean, other_mean = base[rows].mean(axis=1), other[rows].mean(axis=1)
        if kind is LossKind.RELATIVE:
            samples[start : start + 500] = (base_mean - other_mean) / np.maximum(
                base_mean, np.finfo(float).tiny
            )
        else:
            samples[start : start + 500] = 100 * (base_mean - other_mean)
    value = (
        relative_loss(float(base.mean()), float(other.mean()), higher_is_better=True)
        if kind is LossKind.RELATIVE
        else absolute_loss(float(base.mean()), float(other.mean()))
    )
    ends = _ends(samples)
    if (base == other).all():
        unseen = -math.log(1 - CONFIDENCE) / n
        bound = unseen / float(base.mean()) if kind is LossKind.RELATIVE else 100 * unseen
        ends = (-bound, bound)
    return _loss_figure(value, ends, kind=kind, basis=basis, evidence=evidence)


def _counts(baseline: npt.NDArray[np.float64], variant: npt.NDArray[np.float64]) -> PairedCounts:
    right, still = baseline == 1, variant == 1
    return PairedCounts(
        both_right=int((right & still).sum()),
        only_baseline=int((right & ~still).sum()),
        only_variant=int((~right & still).sum()),
        both_wrong=int((~right & ~still).sum()),
    )


def bounds(loss: Figure, *, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Return the one-sided lower and upper bounds of `loss` at `confidence`, None when its interval is unknown.

    An interval stored at another confidence is rescaled as a normal one, each side on its own.
    """
    if loss.interval is None:
        return None
    stored = _NORMAL.inv_cdf((1 + loss.interval.confidence) / 2)
    factor = _NORMAL.inv_cdf(confidence) / stored
    return loss.value - (loss.value - loss.interval.lo) * factor, loss.value + (
        loss.interval.hi - loss.value
    ) * factor


def verdict(loss: Figure | None, limit: float, *, confidence: float = CONFIDENCE) -> LossVerdict:
    """Return what `loss` says about "loss <= limit"; `limit` is in the unit of the figure.

    Only figures that were measured or imported with items behind them have intervals, so published point values can
    be likely or unlikely, never certified or violated.
    """
    if loss is None:
        return LossVerdict.UNKNOWN
    ends = bounds(loss, confidence=confidence)
    if ends is not None and ends[1] <= limit:
        return LossVerdict.CERTIFIED
    if ends is not None and ends[0] > limit:
        return LossVerdict.VIOLATED
    return LossVerdict.LIKELY if loss.value <= limit else LossVerdict.UNLIKELY


def items_to_settle(loss: Figure, limit: float, items: int, *, confidence: float = CONFIDENCE) -> int | None:
    """Return about how many more items would certify or refute the limit, None when it cannot be said.

    Half-widths shrink with the square root of the items, so n grows with (half-width / distance to the limit) squared.
    """
    ends = bounds(loss, confidence=confidence)
    distance = abs(limit - loss.value)
    if ends is None or distance == 0:
        return None
    half = max(ends[1] - loss.value, loss.value - ends[0])
    return max(0, math.ceil(items * (half / distance) ** 2) - items)
