"""A floor makes every policy at least as strict as itself, and says what it raised."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import InvalidInput
from planner.gate.floor import apply_floor
from planner.gate.judging import judge
from planner.gate.policy import EvidenceRule, LatencyRule, Point, Policy, TaskRule, problems_of, regression_of
from planner.gate.policy_text import parse_policy
from planner.gate.report import GateVerdict
from tests.gate.records import NOW, evaluation, evidence, outcomes, policy

AT = "at: {input_tokens: 128, output_tokens: 32}"


def floor(rules: str) -> Policy:
    return parse_policy("version: 1\n" + rules, floor=True)


def test_without_a_floor_nothing_changes():
    asked = policy("tasks: [{task: a, margin: 1%}]")
    assert apply_floor(asked, None) == (asked, ())


@pytest.mark.parametrize(
    ("asked", "least", "field", "holds"),
    [
        ("tasks: [{task: a, margin: 5%}]", "tasks: [{task: A, margin: 1%}]", "tasks.a.margin", "1%"),
        ("tasks: [{task: a, margin: 5%}]", "tasks: [{task: '*', margin: 2%}]", "tasks.a.margin", "2%"),
        ("tasks: [{task: a, margin: 5%}]", "tasks: [{task: b, margin: 2%}]", "tasks.b", "margin 2%"),
        ("tasks: [{task: a, margin: 5%}]", "tasks: [{task: a, margin: 1pp}]", "tasks.a", "margin 1pp"),
        ("tasks: [{task: a, margin: 1%}]", "min_items: 500", "min_items", "500"),
        ("tasks: [{task: a, margin: 1%}]", "confidence: 0.99", "confidence", "0.99"),
        ("tasks: [{task: a, margin: 1%}]", "against: alias:prod", "against", "alias:prod"),
        ("tasks: [{task: a, margin: 1%}]", "on_fail: quarantine", "on_fail", "quarantine"),
        ("tasks: [{task: a, margin: 1%}]", "evidence: {max_age: 7d}", "evidence.max_age", "7d"),
        ("tasks: [{task: a, margin: 1%}]", "evidence: {bases: [measured]}", "evidence.bases", "measured"),
        ("tasks: [{task: a, margin: 1%}]", "evidence: {versions: {vllm: '1'}}", "evidence.versions.vllm", "1"),
        ("screen: {kl_mean: 0.5}", "screen: {kl_mean: 0.1}", "screen.kl_mean", "0.1"),
        ("screen: {top1_agreement: 0.5}", "screen: {top1_agreement: 0.9}", "screen.top1_agreement", "0.9"),
        ("memory: [{measure: weights, at_most: 2GiB}]", "memory: [{measure: weights, at_most: 1GiB}]", "memory.weights memory", "1GiB"),
        ("tasks: [{task: a, margin: 1%}]", "memory: [{measure: weights, at_most: 1GiB}]", "memory.weights memory", "1GiB"),
    ],
)  # fmt: skip
def test_what_is_laxer_is_raised_and_named(asked, least, field, holds):
    merged, raised = apply_floor(policy(asked), floor(least))
    assert [(each.field, each.floor) for each in raised] == [(field, holds)]
    assert problems_of(merged) == ()
    again, nothing = apply_floor(merged, floor(least))
    assert (again, nothing) == (merged, ())


def test_what_is_stricter_stays():
    asked = policy(
        "confidence: 0.99\nmin_items: 900\ntasks: [{task: a, margin: 0.5%, min_items: 700}]\non_fail: quarantine\n"
        "evidence: {max_age: 1d, bases: [measured]}"
    )
    least = floor(
        "confidence: 0.9\nmin_items: 10\ntasks: [{task: '*', margin: 1%, min_items: 5}]\nevidence: {max_age: 7d}"
    )
    assert apply_floor(asked, least) == (asked, ())


def test_a_repository_cannot_get_round_it():
    """Another metric, another task, or a margin of the other kind leave the floor's rule in force."""
    least = floor("tasks: [{task: maths, metric: acc, margin: 2%}]")
    bad = evaluation(outcomes(300, 0, 5000))
    for rules in (
        "tasks: [{task: maths, metric: acc, margin: 90%}]",
        "tasks: [{task: maths, metric: easy, margin: 90%}]",
        "tasks: [{task: other, margin: 90%}]",
        "tasks: [{task: maths, metric: acc, margin: 90pp}]",
    ):
        merged, _ = apply_floor(policy(rules), least)
        assert judge(merged, evidence(bad), now=NOW).verdict is GateVerdict.FAIL, rules


def test_a_floor_may_ask_for_little_but_moves_no_alias():
    assert floor("min_items: 5").min_items == 5
    with pytest.raises(InvalidInput, match="moves no alias"):
        floor("on_pass: {move_alias: prod}")


percent = st.integers(1, 99).map(lambda n: f"{n}%")
task = st.builds(
    TaskRule, task=st.sampled_from("abc"), margin=percent, min_items=st.none() | st.integers(1, 99)
)
latency = st.builds(
    LatencyRule,
    metric=st.sampled_from(["ttft", "tpot"]),
    percentile=st.just("p50"),
    at=st.just(Point(input_tokens=1, output_tokens=1)),
    regression=percent,
    repeats=st.integers(2, 9),
)
made = st.builds(
    Policy,
    version=st.just(1),
    confidence=st.sampled_from([0.9, 0.95, 0.99]),
    min_items=st.none() | st.integers(1, 99),
    tasks=st.lists(task, max_size=3, unique_by=lambda rule: rule.task).map(tuple),
    latency=st.lists(latency, max_size=2, unique_by=lambda rule: rule.metric).map(tuple),
    evidence=st.builds(EvidenceRule, max_age=st.none() | st.sampled_from(["1d", "2d", "1w"])),
    on_fail=st.sampled_from(["warn", "quarantine"]),
)


@settings(max_examples=150, deadline=None)
@given(made, made)
def test_merged_is_at_least_as_strict_as_both(asked, least):
    merged, raised = apply_floor(asked, least)
    assert merged.confidence >= max(asked.confidence, least.confidence)
    for source in (asked, least):
        for rule in source.tasks:
            kept = [each for each in merged.tasks if each.task == rule.task]
            assert min(each.limit for each in kept) <= rule.limit
            assert max(each.min_items or 0 for each in kept) >= (rule.min_items or 0)
        for limit in source.latency:
            kept_limits = [each for each in merged.latency if each.title == limit.title]
            assert min(regression_of(each) or 0 for each in kept_limits) <= (regression_of(limit) or 0)
            assert max(each.repeats for each in kept_limits) >= limit.repeats
        age = source.evidence.max_age_seconds
        assert age is None or (merged.evidence.max_age_seconds or 0) <= age
    assert (merged != asked) == bool(raised)
