"""Verdicts on evidence: tasks, text, screen, noise, staleness, and what is held against what."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from planner.domain.evaluation import Fidelity
from planner.domain.figure import Basis, Figure, Interval
from planner.domain.units import Unit
from planner.gate.judging import Judgement, judge
from planner.gate.report import CheckState, GateCheck, GateVerdict
from tests.gate.records import (
    BASE,
    NOW,
    certified,
    evaluation,
    evidence,
    outcomes,
    policy,
    text,
    variant,
)

MATHS = "tasks: [{task: maths, margin: 2%}]\n"


def judged(rules: str, *evaluations, sequential: bool = False, flips: bool = False, **changes) -> Judgement:
    return judge(
        policy(rules), evidence(*evaluations, **changes), now=NOW, sequential=sequential, flips=flips
    )


def only(judgement: Judgement) -> GateCheck:
    (check,) = judgement.checks
    return check


@pytest.mark.parametrize(
    ("lost", "gained", "items", "verdict"),
    [
        (40, 40, 5000, GateVerdict.PASS),
        (20, 60, 5000, GateVerdict.PASS),
        (250, 40, 5000, GateVerdict.FAIL),
        (12, 10, 500, GateVerdict.INCONCLUSIVE),
        (88, 20, 5000, GateVerdict.INCONCLUSIVE),
    ],
)
def test_the_three_verdicts(lost, gained, items, verdict):
    found = judged(MATHS, evaluation(outcomes(lost, gained, items)))
    check = only(found)
    assert found.verdict is verdict
    assert check.figure is not None
    assert check.figure.interval is not None
    upper, lower = check.figure.interval.hi, check.figure.interval.lo
    assert (upper < 0.02) == (verdict is GateVerdict.PASS)
    assert (lower > 0.02) == (verdict is GateVerdict.FAIL)
    assert (check.more is not None) == (verdict is GateVerdict.INCONCLUSIVE)
    assert check.minimum_detectable is not None


def test_points_and_percent_are_told_apart():
    records = outcomes(90, 20, 5000)  # 1.4 points, 1.87 % of 0.75
    points = only(judged("tasks: [{task: maths, margin: 1.2pp}]", evaluation(records)))
    assert points.figure is not None
    assert points.figure.unit is Unit.POINTS
    assert points.figure.value == pytest.approx(1.4)
    percent = only(judged(MATHS, evaluation(records)))
    assert percent.figure is not None
    assert percent.figure.value == pytest.approx(0.07 / 3.75)


def test_better_never_fails():
    for gained in (5, 50, 400):
        assert judged(MATHS, evaluation(outcomes(0, gained, 2000))).verdict is not GateVerdict.FAIL


def test_several_tasks_share_the_error():
    """A p-value that fails alone does not fail among ten."""
    records = outcomes(105, 20, 2000)  # 5.7 % against 4 %: clear enough alone
    rules = "tasks: [" + ", ".join(f"{{task: t{n}, margin: 4%}}" for n in range(10)) + "]"
    alone = judged("tasks: [{task: t0, margin: 4%}]", evaluation(records, task="t0"))
    fine = outcomes(10, 10, 2000)
    others = [evaluation(fine, task=f"t{n}") for n in range(1, 10)]
    together = judged(rules, evaluation(records, task="t0"), *others)
    first = together.checks[0]
    assert only(alone).state is CheckState.FAIL
    assert first.state is CheckState.INCONCLUSIVE
    assert first.p_above == pytest.approx(10 * (only(alone).p_above or 0))
    assert together.checks[1].state is CheckState.PASS


def test_a_task_never_evaluated_is_missing_and_names_what_there_is():
    found = judged("tasks: [{task: law, margin: 1%}]", evaluation(outcomes(1, 1, 100)))
    assert found.verdict is GateVerdict.INCONCLUSIVE
    assert only(found).state is CheckState.MISSING
    assert "maths (acc)" in only(found).reason


def test_a_score_without_records_is_no_evidence():
    bare = msgspec.structs.replace(evaluation(outcomes(1, 1, 100)), outcomes=(), counts=None)
    check = only(judged(MATHS, bare))
    assert check.state is CheckState.MISSING
    assert "no records by item" in check.reason


def test_four_counts_are_enough():
    counted = msgspec.structs.replace(evaluation(outcomes(40, 40, 5000)), outcomes=())
    assert judged(MATHS, counted).verdict is GateVerdict.PASS


def test_first_items_of_a_task_are_that_task():
    part = evaluation(outcomes(40, 40, 5000), task="Maths[:5000]")
    assert judged(MATHS, part).verdict is GateVerdict.PASS


def test_most_items_count_and_weak_evidence_does_not():
    large, small = evaluation(outcomes(40, 40, 5000)), evaluation(outcomes(60, 0, 300), age_days=0.5)
    assert only(judged(MATHS, large, small)).size == 5000
    published = msgspec.structs.replace(large, basis=Basis.PUBLISHED)
    check = only(judged(MATHS, published))
    assert (check.state, "published" in check.reason) == (CheckState.MISSING, True)
    imported = msgspec.structs.replace(large, basis=Basis.IMPORTED)
    assert judged(MATHS, imported).verdict is GateVerdict.PASS
    assert judged(MATHS + "evidence: {bases: [measured]}", imported).verdict is GateVerdict.INCONCLUSIVE


def test_doubt_keeps_an_evaluation_out():
    check = only(judged(MATHS, evaluation(outcomes(40, 40, 5000), doubt="no better than guessing")))
    assert check.state is CheckState.MISSING
    assert "guessing" in check.reason


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("evidence: {max_age: 30d}", "40.0 days old"),
        ("evidence: {versions: {transformers: 5.1.0}}", "5.0.0, 5.1.0 is asked for"),
        ("evidence: {versions: {vllm: 0.33.0}}", "names none of the versions"),
    ],
)
def test_stale_evidence_decides_nothing(rule, words):
    check = only(judged(MATHS + rule, evaluation(outcomes(40, 40, 5000), age_days=40)))
    assert check.state is CheckState.STALE
    assert words in check.reason
    assert (
        judged(MATHS + rule, evaluation(outcomes(40, 40, 5000), age_days=40)).verdict
        is GateVerdict.INCONCLUSIVE
    )


def test_the_right_version_and_age_are_fresh():
    rule = 'evidence: {max_age: 6w, versions: {transformers: "5.0.0"}}'
    assert judged(MATHS + rule, evaluation(outcomes(40, 40, 5000), age_days=40)).verdict is GateVerdict.PASS


def test_too_few_items_pass_nothing():
    rules = "min_items: 6000\n" + MATHS
    check = only(judged(rules, evaluation(outcomes(40, 40, 5000))))
    assert (check.state, check.more) == (CheckState.INCONCLUSIVE, 1000)
    assert judged(rules, evaluation(outcomes(900, 0, 5000))).verdict is GateVerdict.FAIL


def test_a_margin_under_the_noise_is_not_decidable():
    good = evaluation(outcomes(40, 40, 5000), noise=0.03)
    check = only(judged(MATHS, good))
    assert check.state is CheckState.INCONCLUSIVE
    assert "noise floor 3 %" in check.reason
    assert check.more is None
    assert judged(MATHS, good).jobs == ()
    within = evaluation(outcomes(150, 40, 5000), noise=0.03)  # 2.9 %: above the margin, and within the noise
    assert judged(MATHS, within).verdict is GateVerdict.INCONCLUSIVE
    beyond = evaluation(outcomes(400, 40, 5000), noise=0.03)
    assert judged(MATHS, beyond).verdict is GateVerdict.FAIL


def test_the_base_against_itself_is_a_noise_floor():
    flipped = evaluation(outcomes(100, 100, 5000), of=variant("base"))  # 4 % of answers, 5.3 % of the score
    check = only(judged(MATHS, evaluation(outcomes(40, 40, 5000)), noise=(flipped,)))
    assert check.noise_floor == pytest.approx(0.04 / 0.75)
    assert "noise" in check.reason


def test_unknown_noise_is_said():
    check = only(judged(MATHS, evaluation(outcomes(40, 40, 5000))))
    assert any("noise floor is not known" in note for note in check.notes)


@pytest.mark.parametrize(
    ("loss", "verdict"), [(0.0, GateVerdict.PASS), (0.05, GateVerdict.FAIL), (0.02, GateVerdict.INCONCLUSIVE)]
)
def test_text_is_judged_by_documents(loss, verdict):
    assert judged("tasks: [{task: prose, margin: 2%}]", text(loss)).verdict is verdict


def test_few_documents_decide_nothing():
    check = only(judged("tasks: [{task: prose, margin: 2%}]", text(0.2, 20)))
    assert check.state is CheckState.INCONCLUSIVE
    assert "fewer than 31" in check.reason


def test_perplexity_has_no_points():
    check = only(judged("tasks: [{task: prose, margin: 2pp}]", text(0.0)))
    assert (check.state, "no points" in check.reason) == (CheckState.MISSING, True)


def test_what_stopped_by_itself_is_judged_by_a_test_for_that():
    stopped = evaluation(outcomes(40, 40, 5000), certification=certified(0.02, 5000))
    check = only(judged(MATHS, stopped))
    assert check.method is not None
    assert "every look" in check.method
    assert any("stopped by itself" in note for note in check.notes)


def test_sequential_mode_adds_evidence_up():
    first = evaluation(outcomes(20, 20, 2500), age_days=2)
    second = evaluation(outcomes(20, 20, 2500, start=2500), age_days=1, task="maths[:2500]")
    again = evaluation(outcomes(20, 20, 2500, start=2500), age_days=0.5)
    check = only(judged(MATHS, first, second, again, sequential=True))
    assert check.size == 5000
    assert check.state is CheckState.PASS
    assert len(check.evidence) == 3
    other_protocol = evaluation(outcomes(20, 20, 2500, start=9000), protocol="p2", age_days=0.1)
    assert only(judged(MATHS, first, second, other_protocol, sequential=True)).size in {2500, 5000}


def test_sequential_mode_decides_later_than_one_look():
    records = evaluation(outcomes(8, 8, 600))
    assert judged(MATHS, records).verdict is GateVerdict.PASS
    found = judged(MATHS, records, sequential=True)
    assert found.verdict is GateVerdict.INCONCLUSIVE
    assert (only(found).more or 0) > 0


def test_against_another_variant_items_are_paired():
    """Both lose 4 % against the base, on the same items: against each other they lose nothing."""
    rules = "against: variant:other\n" + MATHS
    mine, theirs = outcomes(150, 0, 5000), outcomes(150, 0, 5000)
    other = variant("int8")
    found = judged(
        rules,
        evaluation(mine),
        reference=other,
        reference_evaluations=(evaluation(theirs, of=other),),
    )
    assert found.verdict is GateVerdict.PASS
    assert judged(MATHS, evaluation(mine)).verdict is GateVerdict.FAIL
    unlike = evaluation(theirs, of=other, protocol="p2")
    check = only(judged(rules, evaluation(mine), reference=other, reference_evaluations=(unlike,)))
    assert check.state is CheckState.MISSING
    assert "share no items" in check.reason
    nothing = only(judged(rules, evaluation(mine), reference=other, reference_evaluations=()))
    assert "held against, has no usable evaluation" in nothing.reason


def with_fidelity(kl: float, top1: float, *, half: float = 0.001):
    def figure(value: float, unit: Unit) -> Figure:
        ends = Interval(lo=value - half, hi=value + half, confidence=0.9)
        return Figure(value=value, unit=unit, basis=Basis.MEASURED, interval=ends)

    return text(
        0.0, fidelity=Fidelity(kl_mean=figure(kl, Unit.NATS), top1_agreement=figure(top1, Unit.RATIO))
    )


SCREEN = "screen: {kl_mean: 0.05, top1_agreement: 0.9}\n" + MATHS


def test_the_screen_stops_what_is_broken():
    found = judged(SCREEN, with_fidelity(0.2, 0.7), evaluation(outcomes(40, 40, 5000)))
    assert found.verdict is GateVerdict.FAIL
    states = [check.state for check in found.checks]
    assert states == [CheckState.FAIL, CheckState.FAIL, CheckState.SKIPPED]
    assert found.jobs == ()


def test_the_screen_passes_nothing_by_itself():
    found = judged(SCREEN, with_fidelity(0.0505, 0.95))  # not shown to exceed it
    assert [check.state for check in found.checks] == [CheckState.PASS, CheckState.PASS, CheckState.MISSING]
    assert found.verdict is GateVerdict.INCONCLUSIVE


def test_a_screen_without_fidelity_is_missing():
    found = judged(SCREEN, evaluation(outcomes(40, 40, 5000)))
    assert found.checks[0].state is CheckState.MISSING
    assert found.verdict is GateVerdict.INCONCLUSIVE
    (job,) = found.jobs
    assert job.job.spec["dataset"] == {"from": "reference"}


def test_flips_come_worst_first():
    found = judged(MATHS, evaluation(outcomes(30, 10, 1000)), flips=True)
    (flips,) = found.flips
    assert (flips.worse, flips.better) == (30, 10)
    assert len(flips.items) == 20
    assert all(flip.change == 1 for flip in flips.items)
    (documents,) = judged("tasks: [{task: prose, margin: 2%}]", text(0.01), flips=True).flips
    changes = [flip.change for flip in documents.items]
    assert changes == sorted(changes, reverse=True)


def test_judging_is_a_function_of_its_arguments():
    one = judged(MATHS, evaluation(outcomes(12, 10, 500)))
    assert one == judged(MATHS, evaluation(outcomes(12, 10, 500)))
    assert one != judge(
        policy(MATHS),
        replace(evidence(), evaluations=()),
        now=NOW,
    )
    reference = evidence().reference
    assert reference is not None
    assert reference.id == BASE
