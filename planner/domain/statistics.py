"""Paired statistics of an evaluation: what its records can show at all, and what they do show.

Everything derives from four integers, from per-item scores or from per-document log-likelihoods, so that a stored result can be
judged again under another question. Sources: exact McNemar test, McNemar, Psychometrika 12 (1947), with the binomial
null; minimum detectable effect of a paired test, Connor, Biometrics 43 (1987), and with standard errors of paired
differences, Miller, arXiv 2411.00640 (2024).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

import numpy as np

from planner.domain.evaluation import Document, Evaluation, ItemOutcome, PairedCounts
from planner.domain.figure import Basis, Figure, Interval
from planner.domain.loss import CONFIDENCE, perplexity_loss, student_t
from planner.domain.units import Unit
from planner.errors import InvalidInput

POWER: Final = 0.8
_NORMAL: Final = NormalDist()


def paired_counts(outcomes: Sequence[ItemOutcome]) -> PairedCounts | None:
    """Return who got how many items right; None when an item is graded, neither right nor wrong."""
    pairs = [(outcome.baseline, outcome.variant) for outcome in outcomes]
    if not all(score in {0.0, 1.0} for pair in pairs for score in pair):
        return None
    return PairedCounts(
        both_right=pairs.count((1.0, 1.0)),
        only_baseline=pairs.count((1.0, 0.0)),
        only_variant=pairs.count((0.0, 1.0)),
        both_wrong=pairs.count((0.0, 0.0)),
    )


def binomial_tail(right: int, items: int, probability: float) -> float:
    """Return the chance of at least `right` successes in `items` tries. Exact. Raises InvalidInput."""
    if not (0 <= right <= items and 0 <= probability <= 1):
        raise InvalidInput(
            "right", f"{right} of {items} at {probability} is impossible", allowed="0 to items"
        )
    if right == 0 or probability == 1:
        return 1.0
    if probability == 0:
        return 0.0
    return min(
        1.0,
        math.fsum(
            math.exp(
                math.lgamma(items + 1)
                - math.lgamma(k + 1)
                - math.lgamma(items - k + 1)
                + k * math.log(probability)
                + (items - k) * math.log1p(-probability)
            )
            for k in range(right, items + 1)
        ),
    )


def mcnemar_p(counts: PairedCounts) -> float:
    """Return the two-sided exact McNemar p-value: the binomial(b + c, 1/2) probability of a split this uneven."""
    changed = counts.only_baseline + counts.only_variant
    if changed == 0:
        return 1.0
    return min(1.0, 2 * binomial_tail(max(counts.only_baseline, counts.only_variant), changed, 0.5))


def minimum_detectable_effect(disagreement: float, items: int, *, power: float = POWER) -> float:
    """Return the smallest score difference (as a share) a two-sided 5 % paired test finds with `power`.

    (z_0.975 + z_power) x sqrt(disagreement / items), where disagreement is the share of items that flip. Raises
    InvalidInput.
    """
    if items < 1:
        raise InvalidInput("items", f"{items} is out of range", allowed="1 or more")
    return _deviates(power) * math.sqrt(max(disagreement, 0.0) / items)


def minimum_detectable_score_loss(outcomes: Sequence[ItemOutcome]) -> float | None:
    """Return the smallest relative loss these items can show; None when the baseline scored nothing.

    The disagreement of 0/1 scores gets one pseudo-item in each direction, as `counts_loss` does: no flip among 100
    items does not mean that any loss would have been seen.
    """
    base = math.fsum(outcome.baseline for outcome in outcomes) / len(outcomes)
    if base <= 0:
        return None
    squares = math.fsum((outcome.baseline - outcome.variant) ** 2 for outcome in outcomes)
    disagreement = (squares + 2) / (len(outcomes) + 2)
    return minimum_detectable_effect(disagreement, len(outcomes)) / base


def minimum_detectable_perplexity_loss(documents: Sequence[Document]) -> float | None:
    """Return the smallest relative perplexity loss these documents can show; None for fewer than 4.

    (z_0.975 + z_power) standard errors of the log ratio, which the interval of the loss holds.
    """
    interval = perplexity_loss(documents, basis=Basis.MEASURED).interval
    if interval is None:
        return None
    half = (math.log1p(interval.hi) - math.log1p(interval.lo)) / 2
    return math.expm1(_deviates(POWER) * half / student_t(CONFIDENCE, len(documents) - 1))


def length_ratio(
    outcomes: Sequence[ItemOutcome], *, basis: Basis, evidence: tuple[str, ...] = ()
) -> Figure | None:
    """Return generated tokens of the variant for each one of the baseline's, with a 90 % interval; None without any.

    The ratio estimator over items, as for perplexity (Cochran, Sampling Techniques (1977), section 6.3).
    """
    pairs = [
        (outcome.baseline_tokens, outcome.variant_tokens)
        for outcome in outcomes
        if outcome.baseline_tokens is not None and outcome.variant_tokens is not None
    ]
    if not pairs or sum(base for base, _ in pairs) == 0:
        return None
    base, other = np.array(pairs, dtype=np.float64).T
    ratio = float(other.sum() / base.sum())
    n = len(pairs)
    interval: Interval | None = None
    if n >= 4:
        error = math.sqrt(float(((other - ratio * base) ** 2).sum()) / (n - 1) / n) / float(base.mean())
        half = student_t(CONFIDENCE, n - 1) * error
        interval = Interval(lo=max(0.0, ratio - half), hi=ratio + half, confidence=2 * CONFIDENCE - 1)
    return Figure(value=ratio, unit=Unit.RATIO, basis=basis, interval=interval, evidence=evidence)


def above_chance(score: float, items: int, chance: float) -> bool:
    """Return whether a score is above guessing: one-sided exact binomial test at 5 %; graded scores count as rounded."""
    return binomial_tail(min(items, math.floor(score * items + 1e-9)), items, chance) <= 1 - CONFIDENCE


def within_noise(evaluation: Evaluation) -> bool | None:
    """Return whether the loss is no larger than that of the baseline against itself; None where that was not measured."""
    floor = evaluation.noise_floor
    return None if floor is None else abs(evaluation.relative_loss.value) <= noise_size(floor)


def noise_size(floor: Figure) -> float:
    """Return the largest relative loss that is no more than noise, where the baseline against itself gave `floor`."""
    ends = (floor.interval.lo, floor.interval.hi) if floor.interval else (floor.value,)
    return max(abs(floor.value), *(abs(end) for end in ends))


def _deviates(power: float) -> float:
    return _NORMAL.inv_cdf(0.975) + _NORMAL.inv_cdf(power)
