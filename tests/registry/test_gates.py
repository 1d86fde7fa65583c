"""Reports of gates on both databases: kept whole but for the items that changed, listed, and told of."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from planner.domain.webhook import EventKind
from planner.errors import NotFound
from planner.gate.judging import judge
from planner.gate.report import Flips, GateReport, GateVerdict
from planner.registry import events, gates
from tests.gate.records import NOW, evaluation, evidence, outcomes, policy, variant

MATHS = policy("name: chat\ntasks: [{task: maths, margin: 2%}]")


def report(number: int = 0, *, lost: int = 40, variant_id: str = variant().id) -> GateReport:
    found = judge(MATHS, evidence(evaluation(outcomes(lost, 40, 5000))), now=NOW, flips=True)
    return GateReport(
        id=f"gate-{number}",
        variant_id=variant_id,
        name="int4",
        model_id="small",
        against="base",
        verdict=found.verdict,
        sentence=found.sentence,
        checks=found.checks,
        policy=MATHS,
        judged_at=NOW + timedelta(minutes=number),
        jobs=found.jobs,
        flips=found.flips,
    )


def test_a_report_is_kept_and_told_of(registry):
    made = report()
    assert made.flips
    assert isinstance(made.flips[0], Flips)
    with registry.write() as tx:
        gates.add(tx, made)
    with registry.read() as tx:
        assert gates.get(tx, "gate-0") == msgspec.structs.replace(made, flips=())
        (event,) = events.since(tx, NOW - timedelta(days=3650), limit=10)
    assert event.kind is EventKind.GATE_PASSED
    assert (event.data["gate"], event.data["verdict"], event.data["policy"]) == ("gate-0", "pass", "chat")


@pytest.mark.parametrize(("lost", "kind"), [(400, EventKind.GATE_FAILED), (105, EventKind.GATE_INCONCLUSIVE)])
def test_each_verdict_has_its_event(registry, lost, kind):
    with registry.write() as tx:
        gates.add(tx, report(lost=lost))
        (event,) = events.since(tx, NOW - timedelta(days=3650), limit=10)
    assert event.kind is kind


def test_reports_are_listed_newest_first_by_variant_and_verdict(registry, all_pages):
    other = "sha256:" + "2" * 64
    made = [
        report(n, variant_id=other if n % 2 else variant().id, lost=400 if n == 4 else 40) for n in range(5)
    ]
    kept = [msgspec.structs.replace(each, flips=()) for each in made]
    with registry.write() as tx:
        for each in made:
            gates.add(tx, each)
        assert all_pages(lambda **kw: gates.page(tx, limit=2, **kw)) == kept[::-1]
        assert all_pages(lambda **kw: gates.page(tx, variant_id=other, limit=1, **kw)) == [kept[3], kept[1]]
        assert all_pages(lambda **kw: gates.page(tx, verdict=GateVerdict.FAIL, **kw)) == [kept[4]]


def test_an_unknown_gate_is_not_found(registry):
    with registry.read() as tx, pytest.raises(NotFound, match="no gate"):
        gates.get(tx, "gate-9")
