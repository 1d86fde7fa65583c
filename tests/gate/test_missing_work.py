"""The jobs that would decide: well-formed, sized, and none where they cannot help."""

from __future__ import annotations

import msgspec
import pytest

from planner.domain.job import JobKind
from planner.domain.job_requirement import parse
from planner.domain.job_spec import check_spec
from planner.gate.judging import judge
from planner.gate.policy import Policy
from tests.gate.records import BASE, NOW, evaluation, evidence, outcomes, policy, profile, text, variant

MATHS = "tasks: [{task: maths, margin: 2%}]\n"
STORED = frozenset({"d" * 64, "e" * 64})
AT = "at: {input_tokens: 128, output_tokens: 32}"


def jobs(rules: str | Policy, *evaluations, sequential: bool = False, **changes):
    asked = policy(rules) if isinstance(rules, str) else rules
    found = judge(
        asked, evidence(*evaluations, **{"stored": STORED, **changes}), now=NOW, sequential=sequential
    )
    for each in found.jobs:
        check_spec(each.job.kind, each.job.spec)
        for requirement in each.job.requires:
            parse(requirement)
    return [each.job for each in found.jobs]


def test_an_open_task_asks_for_as_many_items_as_decide():
    (job,) = jobs(MATHS, evaluation(outcomes(12, 10, 500)))
    assert job.kind is JobKind.EVALUATE
    assert job.blocked is None
    assert job.spec["limit"] > 500
    assert job.spec["tasks"] == [{"from": "blob", "sha256": "d" * 64, "format": "jsonl"}]
    assert job.spec["baseline"] == {"from": "registry", "variant": BASE}


def test_decided_tasks_ask_for_nothing():
    assert jobs(MATHS, evaluation(outcomes(40, 40, 5000))) == []
    assert jobs(MATHS, evaluation(outcomes(900, 40, 5000))) == []


def test_a_sequential_job_is_told_the_margin():
    (job,) = jobs(MATHS, evaluation(outcomes(12, 10, 500)), sequential=True)
    assert job.spec["certify"] == {"limit": 0.02, "confidence": 0.95}
    assert "limit" not in job.spec


def test_text_is_a_data_set():
    (job,) = jobs("tasks: [{task: prose, margin: 2%}]", text(0.02))
    assert job.spec["dataset"]["sha256"] == "e" * 64
    assert "tasks" not in job.spec


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ("tasks: [{task: next-line, margin: 2%}]", "tasks"),
        ("tasks: [{task: prose, metric: perplexity, margin: 2%, source: reference}]", "dataset"),
        (f"tasks: [{{task: maths, margin: 2%, source: 'blob:{'a' * 64}'}}]", "tasks"),
        (
            f"tasks: [{{task: prose, metric: perplexity, margin: 2%, source: 'blob:{'a' * 64}.txt'}}]",
            "dataset",
        ),
    ],
)
def test_where_data_come_from(rule, field):
    (job,) = jobs(rule)
    assert job.blocked is None
    assert field in job.spec


def test_what_stands_in_the_way_is_said():
    (job,) = jobs(MATHS)
    assert job.blocked is not None
    assert "no `source` is named for maths" in job.blocked
    (job,) = jobs("tasks: [{task: next-line, margin: 2%}]", variant=variant(base=None))
    assert "built from" in (job.blocked or "")
    (job,) = jobs(
        "tasks: [{task: next-line, margin: 2%}]", variant=msgspec.structs.replace(variant(), artifacts=())
    )
    assert "holds no files" in (job.blocked or "")


def test_stale_evidence_is_measured_anew_from_the_same_data():
    (job,) = jobs(MATHS + "evidence: {max_age: 1h}", evaluation(outcomes(40, 40, 5000)))
    assert job.blocked is None
    assert job.spec["tasks"] == [{"from": "blob", "sha256": "d" * 64, "format": "jsonl"}]
    assert "limit" not in job.spec


def test_against_another_both_are_evaluated():
    other = variant("int8")
    found = jobs(
        "against: variant:x\n" + MATHS,
        evaluation(outcomes(12, 10, 500)),
        reference=other,
        reference_evaluations=(evaluation(outcomes(10, 12, 500), of=other),),
    )
    assert [job.spec["variant"]["variant"] for job in found] == [variant().id, other.id]
    assert len({job.spec["limit"] for job in found}) == 1


def test_runs_of_both_are_asked_for_in_turn():
    rules = f"latency: [{{metric: tpot, percentile: p50, {AT}, regression: 5%}}]"
    base = variant("base", base=None)
    found = jobs(rules, profiles=[profile(0.02)], reference_profiles=(profile(0.02, of=base),))
    assert [job.spec["variant"]["variant"] for job in found] == [variant().id, base.id] * 2
    assert {job.requires for job in found} == {("device:h200-sxm",)}
    assert found[0].spec["conditions"]["mode"] == "eager"
    assert found[0].spec["conditions"]["workloads"][0]["input_tokens"] == 128


def test_one_run_serves_every_rule_at_its_point():
    rules = (
        f"latency: [{{metric: tpot, percentile: p50, {AT}, at_most: 1s}}]\n"
        f"memory: [{{measure: peak_device, {AT}, at_most: 1GiB, repeats: 3}}]"
    )
    assert len(jobs(rules, profiles=[profile(0.02)])) == 2
    assert len(jobs(rules + "\n" + MATHS, evaluation(outcomes(12, 10, 500)), profiles=[profile(0.02)])) == 3


def test_a_device_must_be_known():
    rules = f"latency: [{{metric: tpot, percentile: p50, {AT}, at_most: 1s}}]"
    assert all("names no device" in (job.blocked or "") for job in jobs(rules))
    named = rules.replace("at_most", "device: h200-sxm, at_most")
    assert [job.blocked for job in jobs(named)] == [None] * 3
    other = rules.replace("at_most", "device: h200-sxm, runtime: vllm, at_most")
    assert all("worker measure --endpoint" in (job.blocked or "") for job in jobs(other))
