"""A certification errs as rarely as it says, wherever it stops, and its bounds agree with its decision.

Simulated with fixed seeds, so these tests either always pass or never; tolerances are about three standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from planner.domain.certification import FIRST_BET, Certifier
from planner.domain.evaluation import Decision
from planner.domain.loss import FEWEST_ITEMS
from planner.errors import InvalidInput

LIMIT = 0.05
Floats = np.ndarray
Draw = Callable[[np.random.Generator, int, float], tuple[Floats, Floats]]


def answers(rng: np.random.Generator, items: int, loss: float, flips: float = 0.06) -> tuple[Floats, Floats]:
    """0/1 answers of a baseline that is right 6 times in 10, and of a variant with this relative loss."""
    base = (rng.random(items) < 0.6).astype(float)
    lost, won = (flips + 0.6 * loss) / 2 / 0.6, (flips - 0.6 * loss) / 2 / 0.4
    changed = rng.random(items) < np.where(base == 1, lost, won)
    return np.where(changed, 2 * base - 1, 0.0), base


def documents(
    rng: np.random.Generator, items: int, loss: float, noise: str = "normal"
) -> tuple[Floats, Floats]:
    """Differences of negative log-likelihood, and tokens, of documents with this relative perplexity loss on average."""
    tokens = rng.integers(100, 700, size=items).astype(float)
    shapes: dict[str, Callable[[], Floats]] = {
        "normal": lambda: rng.normal(size=items),
        "heavy": lambda: rng.standard_t(4, size=items) / math.sqrt(2),
        "skewed": lambda: rng.exponential(size=items) - 1,
        "very skewed": lambda: (rng.lognormal(size=items) - math.exp(0.5)) / 2.16,
    }
    return tokens * (math.log1p(loss) + 0.03 * shapes[noise]()), tokens


def decide(
    draw: Draw, loss: float, *, items: int, bounded: bool, seed: int, confidence: float = 0.95
) -> tuple[Decision, int]:
    """Return the first decision and after how many items it came: what adding one by one gives, all at once."""
    certifier = Certifier(LIMIT, confidence=confidence, bounded=bounded)
    difference, base = draw(np.random.default_rng(seed), items, loss)
    first: dict[Decision, int] = {}
    fewest = 1 if bounded else FEWEST_ITEMS
    for side, decision in ((-1, Decision.CERTIFIED), (1, Decision.VIOLATED)):
        rich = certifier._gambler(side, certifier._ratio).bet(difference, base) >= certifier._target
        first[decision] = max(fewest, int(rich.argmax()) + 1) if rich.any() else items + 1
    decision = min(first, key=lambda each: first[each])
    return (decision, first[decision]) if first[decision] <= items else (Decision.UNDECIDED, items)


def ever(draw: Draw, loss: float, wrong: Decision, *, runs: int, items: int, bounded: bool) -> float:
    """Return the share of runs that are wrong at any item: somebody who watches and stops when it suits could stop there."""
    rich = 0
    side = 0 if wrong is Decision.CERTIFIED else 1
    for seed in range(runs):
        certifier = Certifier(LIMIT, bounded=bounded)
        difference, base = draw(np.random.default_rng(seed), items, loss)
        gambler = certifier._gambler((-1, 1)[side], certifier._ratio)
        rich += bool(gambler.bet(difference, base).max() >= certifier._target)
    return rich / runs


@pytest.mark.parametrize("flips", [0.03, 0.3])
@pytest.mark.parametrize("wrong", [Decision.CERTIFIED, Decision.VIOLATED])
def test_scores_are_judged_wrongly_at_most_1_time_in_20(wrong, flips):
    """At the limit itself, the hardest loss, over 2000 items."""
    share = ever(
        lambda rng, items, loss: answers(rng, items, loss, flips),
        LIMIT,
        wrong,
        runs=400,
        items=2000,
        bounded=True,
    )
    assert share <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize("wrong", [Decision.CERTIFIED, Decision.VIOLATED])
@pytest.mark.parametrize(
    ("noise", "allowed"), [("normal", 0.05), ("heavy", 0.05), ("skewed", 0.06), ("very skewed", 0.11)]
)
def test_documents_are_judged_wrongly_about_1_time_in_20(noise, allowed, wrong):
    """Asymptotic: what is promised for normal differences holds for heavy tails, and is twice as much for strong skew."""
    share = ever(
        lambda rng, items, loss: documents(rng, items, loss, noise),
        LIMIT,
        wrong,
        runs=400,
        items=1000,
        bounded=False,
    )
    assert share <= allowed + 3 * math.sqrt(allowed * (1 - allowed) / 400)


def test_a_lower_confidence_errs_more_and_decides_sooner():
    decided = [
        decide(answers, LIMIT / 2, items=20_000, bounded=True, seed=1, confidence=confidence)
        for confidence in (0.8, 0.95, 0.99)
    ]
    assert [decision for decision, _ in decided] == [Decision.CERTIFIED] * 3
    needed = [items for _, items in decided]
    assert needed == sorted(needed)
    assert needed[0] < needed[2]


@pytest.mark.parametrize(
    ("loss", "decision"),
    [
        (0.0, Decision.CERTIFIED),
        (LIMIT / 2, Decision.CERTIFIED),
        (2 * LIMIT, Decision.VIOLATED),
        (10 * LIMIT, Decision.VIOLATED),
    ],
)
@pytest.mark.parametrize(("draw", "bounded", "items"), [(answers, True, 20_000), (documents, False, 1500)])
def test_what_is_clear_is_decided(draw, bounded, items, loss, decision):
    decided = [decide(draw, loss, items=items, bounded=bounded, seed=seed) for seed in range(20)]
    assert [each[0] for each in decided].count(decision) >= 19
    assert np.mean([each[1] for each in decided]) < items / 2


@pytest.mark.parametrize(("draw", "bounded"), [(answers, True), (documents, False)])
@pytest.mark.parametrize("loss", [0.0, LIMIT, 3 * LIMIT])
def test_bounds_hold_the_loss_and_agree_with_the_decision(draw, bounded, loss):
    inside = 0
    for seed in range(20):
        certifier = Certifier(LIMIT, bounded=bounded)
        for difference, base in zip(*draw(np.random.default_rng(seed), 250, loss), strict=True):
            if certifier.add(float(difference), float(base)) is not Decision.UNDECIDED:
                break
        lower, upper = certifier.bounds()
        if lower is None or upper is None:
            inside += 1
            continue
        assert lower <= upper
        assert (certifier.decision is Decision.CERTIFIED) == (upper <= LIMIT)
        assert (certifier.decision is Decision.VIOLATED) == (lower > LIMIT - 1e-9)
        inside += lower <= loss <= upper
    assert inside >= 17


@pytest.mark.parametrize(("draw", "bounded"), [(answers, True), (documents, False)])
def test_one_item_at_a_time_is_as_all_at_once(draw, bounded):
    for seed, loss in ((3, LIMIT), (4, 0.0), (5, 3 * LIMIT)):
        decision, items = decide(draw, loss, items=600, bounded=bounded, seed=seed)
        certifier = Certifier(LIMIT, bounded=bounded)
        for d, b in zip(*draw(np.random.default_rng(seed), 600, loss), strict=True):
            if certifier.add(float(d), float(b)) is not Decision.UNDECIDED:
                break
        assert (certifier.decision, certifier.items) == (decision, items)


@pytest.mark.parametrize("bounded", [True, False])
def test_identical_models_are_certified(bounded):
    certifier = Certifier(0.01, bounded=bounded)
    items = 0
    while certifier.add(0.0, 1.0 if bounded else 300.0) is Decision.UNDECIDED:
        items += 1
        assert items < (700 if bounded else 60)
    assert certifier.decision is Decision.CERTIFIED
    assert certifier.more_items() is None


def test_more_items_are_about_as_many_as_it_takes():
    """Told after 200 items of data that decide somewhere later."""
    ratios = []
    for seed in range(16):
        _, needed = decide(answers, LIMIT / 2, items=20_000, bounded=True, seed=seed)
        difference, base = answers(np.random.default_rng(seed), 20_000, LIMIT / 2)
        certifier = Certifier(LIMIT, bounded=True)
        for d, b in zip(difference[:200], base[:200], strict=True):
            certifier.add(float(d), float(b))
        told = certifier.more_items()
        if told is not None:
            ratios.append((200 + told) / needed)
    assert len(ratios) >= 8
    assert 0.3 < float(np.median(ratios)) < 3


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=60),
    st.floats(0.001, 0.5),
)
@example([(2.225073858507203e-309, 1.0)], 0.5)
@example([(0.0, 1.0)] * 60, 0.05)
@settings(max_examples=25, deadline=None)
def test_any_scores_give_a_finite_record(scores, limit):
    certifier = Certifier(limit, bounded=True)
    for base, variant in scores:
        certifier.add(base - variant, base)
    result = certifier.result(100)
    assert result.items == len(scores)
    assert all(end is None or math.isfinite(end) for end in (result.lower, result.upper))
    assert (result.decision is Decision.CERTIFIED) <= (result.upper is not None and result.upper <= limit)


@pytest.mark.parametrize(
    ("limit", "confidence", "field"),
    [(0.0, 0.95, "certify"), (1.0, 0.95, "certify"), (math.nan, 0.95, "certify"), (0.01, 0.5, "confidence")],
)
def test_impossible_questions_are_refused(limit, confidence, field):
    with pytest.raises(InvalidInput, match=field):
        Certifier(limit, confidence=confidence, bounded=True)


@pytest.mark.parametrize("item", [(1.5, 1.0), (0.0, 2.0), (math.nan, 1.0)])
def test_what_is_no_score_is_refused(item):
    with pytest.raises(InvalidInput, match="item"):
        Certifier(0.01, bounded=True).add(*item)


def test_a_handful_of_documents_decides_nothing():
    """Four identical documents would be proof to the last digit: the error of unbounded items is asymptotic."""
    certifier = Certifier(LIMIT, bounded=False)
    for number in range(FEWEST_ITEMS):
        assert certifier.decision is Decision.UNDECIDED, number
        assert certifier.bounds() == (None, None)
        assert not certifier.is_finished()
        more = certifier.more_items()
        assert more is None or more >= FEWEST_ITEMS - number
        assert more is not None or number < FIRST_BET
        certifier.add(0.0, 500.0)
    assert certifier.decision is Decision.CERTIFIED
    upper = certifier.bounds()[1]
    assert upper is not None
    assert upper <= LIMIT


def test_what_was_clear_early_is_decided_at_the_first_item_that_may():
    """The error bound is over all items together, so a gambler that was rich once stays proof."""
    certifier = Certifier(LIMIT, bounded=False)
    for _ in range(FEWEST_ITEMS - 1):
        certifier.add(0.0, 500.0)
    assert certifier.add(500.0, 500.0) is Decision.CERTIFIED


def test_scores_have_no_fewest_number_since_their_error_is_exact():
    certifier = Certifier(0.9, bounded=True)
    for _ in range(FEWEST_ITEMS - 1):
        certifier.add(0.0, 1.0)
    assert certifier.decision is Decision.CERTIFIED
