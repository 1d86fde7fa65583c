"""The definitions of loss, the statistics against SciPy, the verdicts, and which evaluation answers a question."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.domain.evaluation import Document, Evaluation, PairedCounts
from planner.domain.figure import Basis, Figure, Interval
from planner.domain.loss import (
    LossKind,
    LossVerdict,
    absolute_loss,
    bounds,
    counts_loss,
    items_to_settle,
    perplexity,
    perplexity_loss,
    relative_loss,
    scores_loss,
    student_t,
    verdict,
)
from planner.domain.loss_basis import assess
from planner.domain.statistics import mcnemar_p, minimum_detectable_effect
from planner.domain.units import Unit
from planner.errors import InvalidInput

RELATIVE, ABSOLUTE = LossKind.RELATIVE, LossKind.ABSOLUTE


def figure(
    value: float, half: float | None = None, *, basis: Basis = Basis.MEASURED, unit: Unit = Unit.RATIO
) -> Figure:
    interval = None if half is None else Interval(lo=value - half, hi=value + half, confidence=0.9)
    return Figure(value=value, unit=unit, basis=basis, interval=interval)


def evaluation(
    task: str, relative: float, absolute: float | None = None, half: float | None = 0.01, **fields: object
) -> Evaluation:
    known: dict[str, object] = {
        "id": f"e-{task}-{relative}",
        "variant_id": "v",
        "task": task,
        "metric": "accuracy",
        "higher_is_better": True,
        "basis": Basis.MEASURED,
        "baseline_score": 0.5,
        "variant_score": 0.5 * (1 - relative),
        "items": 100,
    }
    known |= fields
    basis = known["basis"]
    assert isinstance(basis, Basis)
    return Evaluation(
        **known,  # type: ignore[arg-type]  # fields by name
        relative_loss=figure(relative, half, basis=basis),
        absolute_loss=None
        if absolute is None
        else figure(absolute, half and 100 * half, basis=basis, unit=Unit.POINTS),
    )


# -- definitions


@pytest.mark.parametrize(
    ("baseline", "variant", "higher", "loss"),
    [
        (0.8, 0.792, True, 0.01),
        (0.8, 0.808, True, -0.01),
        (5.0, 5.05, False, 0.01),
        (5.0, 4.95, False, -0.01),
    ],
)
def test_relative_loss_is_positive_when_the_variant_is_worse(
    baseline: float, variant: float, higher: bool, loss: float
):
    assert relative_loss(baseline, variant, higher_is_better=higher) == pytest.approx(loss)


def test_absolute_loss_is_in_points():
    assert absolute_loss(0.80, 0.78) == pytest.approx(2.0)


@pytest.mark.parametrize(("baseline", "variant"), [(0, 0.5), (-1, 0.5), (math.nan, 0.5), (0.5, math.inf)])
def test_a_baseline_that_cannot_be_compared_with_is_refused(baseline: float, variant: float):
    with pytest.raises(InvalidInput, match="baseline_score"):
        relative_loss(baseline, variant, higher_is_better=True)


def test_perplexity_is_weighted_by_tokens_and_its_loss_is_the_ratio():
    documents = [
        Document(id="a", tokens=10, baseline_nll=20.0, variant_nll=20.5),
        Document(id="b", tokens=30, baseline_nll=45.0, variant_nll=46.5),
    ]
    baseline, variant = perplexity(documents)
    assert baseline == pytest.approx(math.exp(65 / 40))
    loss = perplexity_loss(documents, basis=Basis.MEASURED)
    assert loss.value == pytest.approx(variant / baseline - 1)
    assert loss.interval is None


@pytest.mark.parametrize(
    "documents",
    [
        [],
        [Document(id="a", tokens=0, baseline_nll=0, variant_nll=0)],
        [Document(id="a", tokens=1, baseline_nll=math.nan, variant_nll=1)],
        [Document(id="a", tokens=1, baseline_nll=1, variant_nll=math.inf)],
        [Document(id="a", tokens=1, baseline_nll=1, variant_nll=1e6)],
        [
            Document(id="a", tokens=1, baseline_nll=1, variant_nll=1),
            Document(id="b", tokens=1, baseline_nll=1, variant_nll=math.nan),
        ],
    ],
)
def test_documents_of_a_broken_model_are_refused(documents: list[Document]):
    with pytest.raises(InvalidInput, match="documents"):
        perplexity_loss(documents, basis=Basis.MEASURED)
    with pytest.raises(InvalidInput, match="documents"):
        perplexity(documents)


@given(
    st.lists(
        st.builds(
            Document,
            id=st.just("d"),
            tokens=st.integers(1, 5),
            baseline_nll=st.floats(-300, 300),
            variant_nll=st.floats(-300, 300),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_extreme_documents_still_give_a_finite_loss(documents: list[Document]):
    loss = perplexity_loss(documents, basis=Basis.MEASURED)
    assert math.isfinite(loss.value)
    assert (loss.interval is None) is (len(documents) < 4)
    assert all(math.isfinite(value) for value in perplexity(documents))


def test_counts_give_both_kinds_of_loss():
    counts = PairedCounts(both_right=70, only_baseline=10, only_variant=4, both_wrong=16)
    assert counts_loss(counts, kind=RELATIVE, basis=Basis.MEASURED).value == pytest.approx(6 / 80)
    absolute = counts_loss(counts, kind=ABSOLUTE, basis=Basis.MEASURED)
    assert absolute.value == pytest.approx(6.0)
    assert absolute.unit is Unit.POINTS
    assert (counts.baseline_score, counts.variant_score, counts.flips) == (0.8, 0.74, 0.14)


def test_counts_without_a_right_answer_or_without_items_are_refused():
    with pytest.raises(InvalidInput, match="counts"):
        counts_loss(
            PairedCounts(both_right=0, only_baseline=0, only_variant=3, both_wrong=7),
            kind=RELATIVE,
            basis=Basis.MEASURED,
        )
    with pytest.raises(InvalidInput, match="hold no items"):
        PairedCounts(both_right=0, only_baseline=0, only_variant=0, both_wrong=0)
    with pytest.raises(InvalidInput, match="only_variant"):
        PairedCounts(both_right=1, only_baseline=0, only_variant=-1, both_wrong=0)


@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60).filter(
        lambda pairs: any(base for base, _ in pairs)
    )
)
def test_zero_one_scores_are_counted(pairs: list[tuple[bool, bool]]):
    base, variant = [float(one) for one, _ in pairs], [float(other) for _, other in pairs]
    counts = PairedCounts(
        both_right=sum(one and other for one, other in pairs),
        only_baseline=sum(one and not other for one, other in pairs),
        only_variant=sum(other and not one for one, other in pairs),
        both_wrong=sum(not one and not other for one, other in pairs),
    )
    for kind in LossKind:
        assert scores_loss(base, variant, kind=kind, basis=Basis.MEASURED) == counts_loss(
            counts, kind=kind, basis=Basis.MEASURED
        )


def test_identical_answers_do_not_prove_identity():
    """The rule of three: an unseen change may still happen to 3 of n items."""
    counts = PairedCounts(both_right=500, only_baseline=0, only_variant=0, both_wrong=500)
    loss = counts_loss(counts, kind=ABSOLUTE, basis=Basis.MEASURED)
    assert loss.value == 0
    assert loss.interval is not None
    assert 0.1 <= loss.interval.hi <= 0.5
    graded = scores_loss([0.25, 0.75] * 50, [0.25, 0.75] * 50, kind=RELATIVE, basis=Basis.MEASURED)
    assert graded.interval is not None
    assert graded.interval.hi == pytest.approx(3 / 100 / 0.5, rel=0.01)


@pytest.mark.parametrize(
    ("baseline", "variant"),
    [([], []), ([1.0], [1.0, 0.0]), ([0.0, 0.0], [1.0, 0.0]), ([math.nan], [1.0]), ([1.0], [math.inf])],
)
def test_scores_that_cannot_be_paired_are_refused(baseline: list[float], variant: list[float]):
    with pytest.raises(InvalidInput, match="scores"):
        scores_loss(baseline, variant, kind=RELATIVE, basis=Basis.MEASURED)


def test_the_same_seed_gives_the_same_interval():
    counts = PairedCounts(both_right=70, only_baseline=10, only_variant=4, both_wrong=16)
    one = counts_loss(counts, kind=RELATIVE, basis=Basis.MEASURED)
    assert one == counts_loss(counts, kind=RELATIVE, basis=Basis.MEASURED)
    assert one != counts_loss(counts, kind=RELATIVE, basis=Basis.MEASURED, seed=1)


# -- statistics


@pytest.mark.parametrize("degrees", [3, 4, 5, 10, 30, 200, 10_000])
def test_student_t_agrees_with_scipy(degrees: int):
    stats = pytest.importorskip("scipy.stats")
    assert student_t(0.95, degrees) == pytest.approx(
        float(stats.t.ppf(0.95, degrees)), abs=1.1e-3 if degrees == 3 else 2.5e-4
    )


def test_student_t_needs_four_items():
    with pytest.raises(InvalidInput, match="degrees"):
        student_t(0.95, 2)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_agrees_with_scipys_exact_binomial_test(b: int, c: int):
    stats = pytest.importorskip("scipy.stats")
    p = mcnemar_p(PairedCounts(both_right=1, only_baseline=b, only_variant=c, both_wrong=0))
    expected = 1.0 if b + c == 0 else float(stats.binomtest(b, b + c, 0.5).pvalue)
    assert p == pytest.approx(expected, rel=1e-9)


def test_mcnemar_stays_a_probability_at_large_counts():
    assert (
        0
        <= mcnemar_p(PairedCounts(both_right=1, only_baseline=40_000, only_variant=41_000, both_wrong=0))
        < 0.001
    )
    assert (
        mcnemar_p(PairedCounts(both_right=1, only_baseline=40_000, only_variant=40_000, both_wrong=0)) == 1.0
    )


def test_minimum_detectable_effect_has_its_power():
    """Simulated: at the effect it names, the two-sided 5 % test finds a difference about 8 times in 10."""
    stats = pytest.importorskip("scipy.stats")
    items, disagreement = 2000, 0.1
    effect = minimum_detectable_effect(disagreement, items)
    rng = np.random.default_rng(3)
    shares = [(disagreement + effect) / 2, (disagreement - effect) / 2, 1 - disagreement]
    found = [
        stats.binomtest(int(b), int(b + c), 0.5).pvalue < 0.05
        for b, c, _ in rng.multinomial(items, shares, size=600)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.06)
    with pytest.raises(InvalidInput, match="items"):
        minimum_detectable_effect(0.1, 0)


# -- verdicts


@pytest.mark.parametrize(
    ("loss", "limit", "expected"),
    [
        (figure(0.005, 0.004), 0.01, LossVerdict.CERTIFIED),
        (figure(0.006, 0.004), 0.01, LossVerdict.CERTIFIED),
        (figure(0.008, 0.004), 0.01, LossVerdict.LIKELY),
        (figure(0.012, 0.004), 0.01, LossVerdict.UNLIKELY),
        (figure(0.02, 0.004), 0.01, LossVerdict.VIOLATED),
        (figure(0.005), 0.01, LossVerdict.LIKELY),
        (figure(0.02), 0.01, LossVerdict.UNLIKELY),
        (figure(-0.01, 0.005), 0.0, LossVerdict.CERTIFIED),
        (None, 0.01, LossVerdict.UNKNOWN),
    ],
)
def test_verdict_on_a_limit(loss: Figure | None, limit: float, expected: LossVerdict):
    assert verdict(loss, limit) is expected


def test_a_higher_confidence_asks_for_more():
    loss = figure(0.005, 0.004)
    assert verdict(loss, 0.0095, confidence=0.95) is LossVerdict.CERTIFIED
    assert verdict(loss, 0.0095, confidence=0.99) is LossVerdict.LIKELY
    assert verdict(loss, 0.0005, confidence=0.95) is LossVerdict.VIOLATED
    assert verdict(loss, 0.0005, confidence=0.99) is LossVerdict.UNLIKELY


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(-1, 1), st.floats(0.51, 0.999))
def test_verdicts_agree_with_the_bounds(value: float, half: float, limit: float, confidence: float):
    loss = figure(value, half)
    ends = bounds(loss, confidence=confidence)
    assert ends is not None
    assert ends[0] <= value <= ends[1]
    found = verdict(loss, limit, confidence=confidence)
    assert (found is LossVerdict.CERTIFIED) is (ends[1] <= limit)
    assert (found is LossVerdict.VIOLATED) is (ends[0] > limit)
    if found in {LossVerdict.LIKELY, LossVerdict.UNLIKELY}:
        assert (found is LossVerdict.LIKELY) is (value <= limit)


@given(st.floats(-0.1, 0.1), st.floats(0.001, 0.1), st.floats(-0.1, 0.1), st.floats(-0.1, 0.1))
def test_a_looser_limit_never_gets_a_worse_verdict(value: float, half: float, one: float, other: float):
    order = list(LossVerdict)
    tight, loose = sorted((one, other))
    loss = figure(value, half)
    assert order.index(verdict(loss, loose)) <= order.index(verdict(loss, tight))


def test_bounds_of_an_unknown_interval_are_unknown():
    assert bounds(figure(0.01)) is None
    assert items_to_settle(figure(0.01), 0.02, 100) is None


def test_items_to_settle_grows_as_the_limit_comes_near():
    loss = figure(0.008, 0.004)
    near, far = items_to_settle(loss, 0.009, 1000), items_to_settle(loss, 0.011, 1000)
    assert near is not None
    assert far is not None
    assert near == pytest.approx(15_000, abs=1)
    assert far < near
    assert items_to_settle(loss, 0.008, 1000) is None
    assert items_to_settle(figure(0.001, 0.0001), 0.01, 1000) == 0


# -- which evaluation answers


def test_no_task_named_is_the_mean_over_task_scores():
    found = assess(
        [evaluation("mmlu", 0.01), evaluation("gsm8k", 0.03), evaluation("wikitext", 0.5, metric="perplexity", higher_is_better=False)],
        kind=RELATIVE,
        task=None,
    )  # fmt: skip
    assert found is not None
    assert found.figure.value == pytest.approx(0.02)
    assert (found.tasks, found.metric, found.items, found.kind) == (
        ("gsm8k", "mmlu"),
        "accuracy",
        200,
        RELATIVE,
    )
    assert found.figure.interval is not None
    assert found.figure.interval.hi - found.figure.value == pytest.approx(math.sqrt(2 * 0.01**2) / 2)


def test_perplexity_answers_only_where_there_is_no_task_score():
    only = [evaluation("wikitext", 0.04, metric="perplexity", higher_is_better=False)]
    found = assess(only, kind=RELATIVE, task=None)
    assert found is not None
    assert (found.metric, found.tasks) == ("perplexity", ("wikitext",))
    assert assess(only, kind=ABSOLUTE, task=None) is None


def test_a_weaker_basis_never_overrides_a_stronger_one():
    evaluations = [evaluation("mmlu", 0.01), evaluation("gsm8k", 0.2, basis=Basis.PUBLISHED, half=None)]
    found = assess(evaluations, kind=RELATIVE, task=None)
    assert found is not None
    assert (found.figure.value, found.figure.basis, found.tasks) == (0.01, Basis.MEASURED, ("mmlu",))
    published = assess(evaluations, kind=RELATIVE, task="gsm8k")
    assert published is not None
    assert (published.figure.basis, published.figure.interval) == (Basis.PUBLISHED, None)


def test_an_unknown_interval_makes_the_mean_unknown():
    found = assess([evaluation("mmlu", 0.01), evaluation("gsm8k", 0.03, half=None)], kind=RELATIVE, task=None)
    assert found is not None
    assert found.figure.interval is None


def test_doubtful_evidence_does_not_count():
    doubtful = evaluation("mmlu", 0.5, doubt="another prompt on each side")
    assert assess([doubtful], kind=RELATIVE, task=None) is None
    assert assess([doubtful], kind=RELATIVE, task="mmlu") is None


def test_a_task_is_found_by_its_exact_name_before_any_that_contains_it():
    evaluations = [
        evaluation("MMLU", 0.01),
        evaluation("MMLU-Pro", 0.05),
        evaluation("wikitext", 0.1, metric="perplexity"),
    ]
    for task, value in (
        ("mmlu", 0.01),
        ("mmlu-pro", 0.05),
        ("pro", 0.05),
        ("perplexity", 0.1),
        ("wiki", 0.1),
    ):
        found = assess(evaluations, kind=RELATIVE, task=task)
        assert found is not None
        assert found.figure.value == value, task
    assert assess(evaluations, kind=RELATIVE, task="hellaswag") is None


def test_absolute_loss_needs_scores():
    found = assess([evaluation("mmlu", 0.02, 1.0), evaluation("gsm8k", 0.5)], kind=ABSOLUTE, task=None)
    assert found is not None
    assert (found.figure.value, found.figure.unit, found.tasks) == (1.0, Unit.POINTS, ("mmlu",))


def test_mixed_metrics_are_named_so_and_items_only_when_all_are_known():
    found = assess(
        [evaluation("mmlu", 0.01), evaluation("ifeval", 0.03, metric="strict", items=None)],
        kind=RELATIVE,
        task=None,
    )
    assert found is not None
    assert (found.metric, found.items) == ("mixed scores", None)


@given(st.lists(st.floats(-0.2, 0.5), min_size=1, max_size=8))
def test_the_mean_lies_between_its_tasks(losses: list[float]):
    found = assess([evaluation(f"task{i}", loss) for i, loss in enumerate(losses)], kind=RELATIVE, task=None)
    assert found is not None
    assert min(losses) - 1e-12 <= found.figure.value <= max(losses) + 1e-12
    assert found.figure.evidence == tuple(f"e-task{i}-{loss}" for i, loss in enumerate(losses))
