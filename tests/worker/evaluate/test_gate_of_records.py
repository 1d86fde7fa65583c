"""Records that the worker really makes, judged by the gate: a damaged model fails, an undamaged one is not passed too early."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.gate.records import evidence, policy

torch = pytest.importorskip("torch")

from planner.gate.judging import judge  # noqa: E402
from planner.gate.report import CheckState, GateVerdict  # noqa: E402
from tests.worker.evaluate.test_task import _tasks, damaged  # noqa: E402
from worker.evaluate.task_file import read_task  # noqa: E402
from worker.reference import model_path  # noqa: E402
from worker.reference.tasks import task_path  # noqa: E402

__all__ = ["damaged"]

pytestmark = pytest.mark.worker


@pytest.fixture(scope="module")
def next_line():
    return read_task(task_path("next-line"), limit=20)


def gate(evaluations, rules: str, *, sequential: bool = False):
    now = max(each.measured_at for each in evaluations)
    known = replace(evidence(), evaluations=tuple(evaluations))
    return judge(policy(rules), known, now=now, sequential=sequential, flips=True)


def test_a_damaged_model_fails(damaged, next_line):
    found, refused = _tasks(next_line, variant=damaged, baseline=model_path(), noise_items=4)
    assert not refused
    judged = gate(found, "tasks: [{task: next-line, metric: acc_norm, margin: 5%}]\nevidence: {max_age: 1h}")
    (check,) = judged.checks
    assert judged.verdict is GateVerdict.FAIL, check
    assert check.size == 20
    (flips,) = judged.flips
    assert flips.worse > flips.better
    assert judged.jobs == ()


def test_an_undamaged_model_on_few_items_is_not_passed_too_early(next_line):
    found, _ = _tasks(next_line, variant=model_path(), baseline=model_path(), noise_items=4)
    judged = gate(found, "tasks: [{task: next-line, margin: 2pp}]")
    (check,) = judged.checks
    assert check.state is CheckState.INCONCLUSIVE
    assert check.figure is not None
    assert check.figure.value == 0
    assert (check.more or 0) > 20
    (job,) = judged.jobs
    assert job.job.spec["tasks"] == [{"from": "reference", "task": "next-line"}]
    assert job.job.spec["limit"] == 20 + (check.more or 0)
    wide = gate(found, "tasks: [{task: next-line, margin: 40pp}]")
    assert wide.verdict is GateVerdict.PASS
