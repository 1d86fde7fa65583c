"""Explanations agree with the planner: verdicts, places, and changes that really let a variant pass."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from planner.choose.explanation import explain
from planner.choose.planner import plan, why
from planner.domain.constraint import LossLimit
from planner.domain.outcome import Recommended
from planner.domain.scenario import Hardware, ModelSelector, Origin, Scenario, SelectorKind
from planner.domain.units import GIB
from tests.choose.records import generate
from tests.choose.test_oracle import scenarios

INDEX = generate(40, seed=3).index()


@settings(max_examples=25, deadline=None)
@given(scenario=scenarios, row=st.integers(0, 39))
def test_an_explanation_is_the_planners_own(scenario: Scenario, row: int) -> None:
    record = INDEX.records[row]
    explained = explain(scenario, INDEX, record.id)
    candidate, elimination = why(scenario, INDEX, record.id)
    assert explained.candidate == candidate
    assert explained.chosen is (elimination is None)
    assert [(each.key, each.verdict) for each in explained.findings] == [
        (check.key, check.verdict) for check in candidate.checks
    ]
    failing = [each.key for each in explained.findings if each.fails]
    if elimination is None:
        assert failing == []
        assert explained.outranked is None
    elif elimination.key == "objective":
        assert failing == []
        assert explained.outranked is not None
        outcome = plan(scenario, INDEX)
        assert isinstance(outcome, Recommended)
        assert explained.outranked.variant_id == outcome.chosen.variant_id
        assert 2 <= explained.outranked.place <= explained.outranked.of
        assert explained.outranked.own != explained.outranked.theirs or "memory" in explained.outranked.key
    else:
        assert failing[0] == elimination.key
        known = (*failing, "workload.input_tokens")
        assert all(each.key.startswith(known) for each in explained.needed)


def test_what_is_needed_lets_the_variant_pass() -> None:
    for record in INDEX.records:
        scenario = Scenario(
            model=ModelSelector(kind=SelectorKind.MODEL, value=record.model_id),
            hardware=Hardware(memory_bytes=4 * GIB),
        )
        explained = explain(scenario, INDEX, record.id)
        for needed in explained.needed:
            assert needed.key == "memory"
            size = int(needed.after.split()[0]) * GIB
            passes = Scenario(model=scenario.model, hardware=Hardware(memory_bytes=size))
            assert not any(each.fails for each in explain(passes, INDEX, record.id).findings)
            assert needed.change is not None
            assert needed.change > 0


def test_each_finding_says_what_was_asked_what_held_and_where_the_evidence_is() -> None:
    scenario = Scenario(
        hardware=Hardware(memory_bytes=24 * GIB),
        constraints=(LossLimit(limit=0.01),),
        origins={"loss": Origin.ASKED, "hardware": Origin.PRESET},
    )
    record = next(each for row, each in enumerate(INDEX.records) if INDEX.evaluations_of(row))
    findings = {each.key: each for each in explain(scenario, INDEX, record.id).findings}
    assert findings["loss"].origin is Origin.ASKED
    assert findings["memory"].origin is Origin.PRESET
    assert "usable" in findings["memory"].effective
    assert "95 %" in findings["loss"].effective
    links = findings["loss"].evidence
    if findings["loss"].figure is not None and findings["loss"].figure.evidence:
        assert links
        assert links[0].kind == "evaluation"
        assert links[0].route == f"/api/v1/evaluations?variant={record.id}"
