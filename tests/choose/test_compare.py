"""Comparisons: what can be told apart is told apart, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.choose.compare import MAX_COMPARED, compare_plans, compare_variants, difference
from planner.choose.planner import make_plan
from planner.domain.comparison import Relation
from planner.domain.evaluation import Document, Evaluation, ItemOutcome
from planner.domain.figure import Basis, Figure, Interval, exact
from planner.domain.loss import LossKind, perplexity_loss, scores_loss
from planner.domain.scenario import Hardware, Scenario
from planner.domain.units import GIB, Unit
from planner.domain.variant import Variant
from planner.errors import InvalidInput, NotFound
from tests.choose.records import MODELS, Records, evaluation, generate, variant

FIRST, SECOND = variant(MODELS[0], "int8", salt=1), variant(MODELS[0], "int4-g128", salt=2)


def figure(value: float, half: float | None) -> Figure:
    interval = None if half is None else Interval(lo=value - half, hi=value + half, confidence=0.9)
    return Figure(value=value, unit=Unit.SECONDS, basis=Basis.MEASURED, interval=interval)


def scored(of: Variant, scores: list[int], **fields: object) -> Evaluation:
    base = evaluation(of, 0.01, task="arc")
    outcomes = tuple(
        ItemOutcome(id=str(number), baseline=1.0, variant=float(score)) for number, score in enumerate(scores)
    )
    return msgspec.structs.replace(base, outcomes=outcomes, dataset_digest="sha256:same", **fields)


numbers = st.floats(0.1, 100)
halves = st.one_of(st.none(), st.floats(0, 50))


@given(a=numbers, b=numbers, ha=halves, hb=halves, lower=st.booleans())
def test_a_verdict_turns_round_with_its_sides(
    a: float, b: float, ha: float | None, hb: float | None, lower: bool
) -> None:
    one, other = figure(a, ha), figure(b, hb)
    there = difference(one, other, lower_is_better=lower)
    back = difference(other, one, lower_is_better=lower)
    turned = {Relation.BETTER: Relation.WORSE, Relation.WORSE: Relation.BETTER}
    assert back.relation is turned.get(there.relation, there.relation)
    if ha is None or hb is None:
        assert there.relation is Relation.CANNOT_TELL
    if there.relation is Relation.BETTER:
        assert (b < a) is lower


def test_equal_bytes_are_the_same_and_unknowns_cannot_be_told() -> None:
    size = exact(5.0, Unit.BYTES, basis=Basis.MEASURED)
    assert difference(size, size, lower_is_better=True).relation is Relation.SAME
    assert difference(size, None, lower_is_better=True).relation is Relation.CANNOT_TELL
    mixed = difference(size, figure(1, 0.1), lower_is_better=True)
    assert mixed.relation is Relation.CANNOT_TELL
    assert mixed.figure is None


def test_the_same_items_pair_two_variants() -> None:
    """Each loses a like share, but on the same items: paired, the difference is far narrower than either."""
    one = [0 if number % 10 == 0 else 1 for number in range(400)]
    two = [0 if number % 10 in {0, 1} else 1 for number in range(400)]
    records = Records(MODELS, (FIRST, SECOND), (scored(FIRST, one), scored(SECOND, two)), ())
    comparison = compare_variants([FIRST.id, SECOND.id], records.index())
    row = next(row for row in comparison.figures if row.key == "paired:arc")
    found = row.differences[0]
    expected = scores_loss(
        [float(each) for each in one],
        [float(each) for each in two],
        kind=LossKind.RELATIVE,
        basis=Basis.MEASURED,
    )
    assert found.paired
    assert found.figure is not None
    assert found.figure.value == pytest.approx(expected.value)
    assert found.figure.interval == expected.interval
    assert found.relation is Relation.WORSE


def test_documents_are_paired_by_their_own_statistics() -> None:
    def documents(shift: float) -> tuple[Document, ...]:
        return tuple(
            Document(
                id=str(n), tokens=100, baseline_nll=200.0 + n, variant_nll=200.0 + n + shift + 0.1 * (n % 3)
            )
            for n in range(30)
        )

    plain = msgspec.structs.replace(evaluation(FIRST, 0.01, task="text"), metric="perplexity")
    one = msgspec.structs.replace(plain, documents=documents(1.0))
    two = msgspec.structs.replace(one, id="other", variant_id=SECOND.id, documents=documents(4.0))
    comparison = compare_variants(
        [FIRST.id, SECOND.id], Records(MODELS, (FIRST, SECOND), (one, two), ()).index()
    )
    row = next(row for row in comparison.figures if row.key == "paired:text")
    expected = perplexity_loss(
        [
            Document(id=b.id, tokens=100, baseline_nll=a.variant_nll, variant_nll=b.variant_nll)
            for a, b in zip(one.documents, two.documents, strict=True)
        ],
        basis=Basis.MEASURED,
    )
    assert row.differences[0].figure is not None
    assert row.differences[0].figure.value == pytest.approx(expected.value)
    assert row.differences[0].relation is Relation.WORSE


def test_other_items_or_a_doubt_pair_nothing() -> None:
    elsewhere = scored(SECOND, [1, 0] * 50)
    for spoilt in (
        msgspec.structs.replace(elsewhere, dataset_digest="sha256:other"),
        msgspec.structs.replace(elsewhere, doubt="disturbed"),
        msgspec.structs.replace(elsewhere, metric="acc_norm"),
    ):
        records = Records(MODELS, (FIRST, SECOND), (scored(FIRST, [1] * 100), spoilt), ())
        comparison = compare_variants([FIRST.id, SECOND.id], records.index())
        assert [row for row in comparison.figures if row.key.startswith("paired")] == []


def test_in_a_question_each_has_its_verdict_and_the_figures_of_the_plan() -> None:
    index = generate(40, seed=1).index()
    scenario = Scenario(hardware=Hardware(memory_bytes=24 * GIB))
    ids = [record.id for record in index.records[:4]]
    comparison = compare_variants(ids, index, scenario=scenario, question="24GB")
    assert [thing.variant_id for thing in comparison.things] == ids
    assert all(thing.verdict for thing in comparison.things)
    assert {"memory", "loss"} <= {row.key for row in comparison.figures}
    assert all(len(row.figures) == 4 and len(row.differences) == 3 for row in comparison.figures)
    turned = compare_variants(ids[::-1], index, scenario=scenario)
    assert turned.figures[-1].figures == comparison.figures[-1].figures[::-1]
    assert msgspec.json.decode(msgspec.json.encode(comparison), type=type(comparison)) == comparison


def test_what_cannot_be_compared_is_refused() -> None:
    index = generate(40, seed=1).index()
    ids = [record.id for record in index.records]
    for wrong in (ids[:1], ids[:1] * 2, ids[: MAX_COMPARED + 1]):
        with pytest.raises(InvalidInput):
            compare_variants(wrong, index)
    with pytest.raises(NotFound):
        compare_variants([ids[0], "nothing"], index)


def test_plans_differ_where_their_questions_do() -> None:
    index = generate(40, seed=1).index()
    made = [
        make_plan(
            Scenario(hardware=Hardware(memory_bytes=size)),
            index,
            plan_id=str(size),
            now=datetime(2026, 1, 1, tzinfo=UTC),
            version="1",
            query=None,
        )
        for size in (GIB // 4, 16 * GIB, 80 * GIB)
    ]
    comparison = compare_plans(made)
    facts = {fact.key: fact.values for fact in comparison.facts}
    assert facts["outcome"] == ("infeasible", "recommended", "recommended")
    assert len(set(facts["hardware"])) == 3
    memory = next(row for row in comparison.figures if row.key == "memory")
    assert memory.figures[0] is None
    assert memory.differences[0].relation is Relation.CANNOT_TELL
    assert "The questions are the same." in compare_plans([made[1], made[1]]).notes
