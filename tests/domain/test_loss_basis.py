"""A handful of items decides nothing and hides nothing; see `test_loss.py` for the rule over tasks and bases."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.domain.evaluation import Certification, Decision
from planner.domain.figure import Basis
from planner.domain.loss import FEWEST_ITEMS, LossKind, LossVerdict, verdict
from planner.domain.loss_basis import assess, has_few_items
from tests.domain.test_loss import evaluation

RELATIVE, ABSOLUTE = LossKind.RELATIVE, LossKind.ABSOLUTE
TEXT: dict[str, Any] = {"metric": "perplexity", "higher_is_better": False}


@given(items=st.integers(1, FEWEST_ITEMS - 1), limit=st.floats(-1, 1), loss=st.floats(-0.5, 0.5))
def test_a_handful_of_items_neither_certifies_nor_refutes(items: int, limit: float, loss: float):
    found = assess([evaluation("mmlu", loss, half=1e-9, items=items)], kind=RELATIVE, task=None)
    assert found is not None
    assert found.figure.value == loss
    assert verdict(found.figure, limit) in {LossVerdict.LIKELY, LossVerdict.UNLIKELY}
    assert found.figure.note == f"too few items to bound the loss: {items}, {FEWEST_ITEMS} are the fewest"


@pytest.mark.parametrize("task", [None, "mmlu"])
def test_the_fewest_items_that_decide_do(task: str | None):
    found = assess([evaluation("mmlu", 0.001, half=1e-4, items=FEWEST_ITEMS)], kind=RELATIVE, task=task)
    assert found is not None
    assert verdict(found.figure, 0.01) is LossVerdict.CERTIFIED
    assert found.figure.note is None


def test_a_handful_of_task_items_does_not_hide_what_much_text_shows():
    quick, text = evaluation("quick", 0.5, items=4), evaluation("wikitext", 0.003, half=0.001, **TEXT)
    found = assess([quick, text], kind=RELATIVE, task=None)
    assert found is not None
    assert (found.metric, found.tasks, found.figure.evidence) == ("perplexity", ("wikitext",), (text.id,))
    assert verdict(found.figure, 0.01) is LossVerdict.CERTIFIED
    assert found.figure.note == f"left out, with fewer than {FEWEST_ITEMS} items: quick (4)"


def test_enough_task_items_come_before_text_however_tight():
    evaluations = [
        evaluation("mmlu", 0.02, half=0.05, items=FEWEST_ITEMS),
        evaluation("wikitext", 0.003, **TEXT),
    ]
    found = assess(evaluations, kind=RELATIVE, task=None)
    assert found is not None
    assert found.tasks == ("mmlu",)


def test_a_named_task_is_answered_by_that_task_alone():
    evaluations = [evaluation("quick", 0.5, items=4), evaluation("wikitext", 0.003, **TEXT)]
    found = assess(evaluations, kind=RELATIVE, task="quick")
    assert found is not None
    assert (found.tasks, found.figure.value, found.figure.interval) == (("quick",), 0.5, None)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"basis": Basis.PUBLISHED}, "a weaker basis never overrides a stronger one"),
        ({"items": 5}, "little text says no more than few items"),
        ({"half": None}, "text without an interval bounds nothing either"),
    ],
)
def test_text_that_says_no_more_does_not_take_the_place_of_task_scores(other: dict[str, Any], why: str):
    text = evaluation("wikitext", 0.003, **{**TEXT, **other})
    found = assess([evaluation("quick", 0.1, items=4), text], kind=RELATIVE, task=None)
    assert found is not None
    assert found.tasks == ("quick",), why


def test_beside_larger_tasks_a_handful_stands_back_and_is_named():
    evaluations = [evaluation("quick", 0.5, 20.0, items=4), evaluation("mmlu", 0.01, 0.5)]
    for kind, value in ((RELATIVE, 0.01), (ABSOLUTE, 0.5)):
        found = assess(evaluations, kind=kind, task=None)
        assert found is not None
        assert (found.figure.value, found.tasks, found.items) == (value, ("mmlu",), 100)
        assert found.figure.note == f"left out, with fewer than {FEWEST_ITEMS} items: quick (4)"


def test_a_published_score_without_a_number_of_items_is_taken_as_it_is():
    published = evaluation("mmlu", 0.01, half=None, basis=Basis.PUBLISHED, items=None)
    found = assess(
        [published, evaluation("wikitext", 0.2, **TEXT, basis=Basis.PUBLISHED)], kind=RELATIVE, task=None
    )
    assert found is not None
    assert found.tasks == ("mmlu",)
    assert not has_few_items(published)


def test_an_exact_certification_counts_however_few_items_it_took():
    certification = Certification(
        limit=0.5,
        confidence=0.95,
        decision=Decision.CERTIFIED,
        items=12,
        available=100,
        exact=True,
        method="bets",
    )
    for exact in (True, False):
        found = msgspec.structs.replace(certification, exact=exact)
        record = evaluation("mmlu", 0.01, items=12, certification=found)
        assert has_few_items(record) is not exact
