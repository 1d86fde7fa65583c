"""Latency and memory: repeats, fingerprints, regressions, exact weights."""

from __future__ import annotations

import pytest

from planner.domain.figure import Basis, Figure
from planner.domain.profile import Stability
from planner.domain.units import Unit
from planner.gate.judging import judge
from planner.gate.report import CheckState, GateVerdict
from tests.gate.records import NOW, evidence, policy, profile, variant

BASE = variant("base", base=None)
AT = "at: {input_tokens: 128, output_tokens: 32}"
REGRESSION = f"latency: [{{metric: tpot, percentile: p95, {AT}, regression: 5%}}]"
AT_MOST = f"latency: [{{metric: tpot, percentile: p95, {AT}, at_most: 30ms}}]"
NOISE = (0.99, 1.0, 1.01, 1.005, 0.995)


def runs(tpot, count=5, **changes):
    return [profile(tpot * NOISE[n], number=n, **changes) for n in range(count)]


def check(rules, mine, theirs=(), **changes):
    found = judge(
        policy(rules), evidence(profiles=mine, reference_profiles=tuple(theirs), **changes), now=NOW
    )
    (only,) = found.checks
    return only


@pytest.mark.parametrize(
    ("tpot", "state"),
    [
        (0.020, CheckState.PASS),
        (0.018, CheckState.PASS),
        (0.0211, CheckState.INCONCLUSIVE),
        (0.024, CheckState.FAIL),
    ],
)
def test_a_regression_is_judged_over_runs(tpot, state):
    found = check(REGRESSION, runs(tpot), runs(0.020, of=BASE))
    assert found.state is state
    assert found.size == 5
    assert found.figure is not None
    assert found.figure.value == pytest.approx(tpot / 0.02 - 1)
    assert found.figure.unit is Unit.RATIO


@pytest.mark.parametrize(("tpot", "state"), [(0.020, CheckState.PASS), (0.030, CheckState.FAIL)])
def test_a_limit_needs_no_reference(tpot, state):
    assert check(AT_MOST, runs(tpot)).state is state


def test_one_run_decides_nothing_and_says_how_many_are_missing():
    found = check(AT_MOST, runs(0.5, 1))
    assert (found.state, found.more) == (CheckState.INCONCLUSIVE, 2)
    assert "one run only" in found.reason
    found = check(REGRESSION, runs(0.02, 1), runs(0.02, of=BASE))
    assert (found.state, found.more) == (CheckState.INCONCLUSIVE, 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"driver": "570.0"}, "driver 580.1 against 570.0"),
        ({"version": "5.1.0"}, "engine transformers 5.0.0 against transformers 5.1.0"),
        ({"device_id": "h100-sxm"}, "device h200-sxm against h100-sxm"),
        ({"protocol": "theirs"}, "protocol ours against theirs"),
        ({"devices": 2}, "devices 1 against 2"),
    ],
)
def test_unlike_runs_are_refused_with_the_reason(changes, words):
    found = check(REGRESSION, runs(0.02), runs(0.02, of=BASE, **changes))
    assert found.state is CheckState.MISSING
    assert "unlike runs are not compared" in found.reason
    assert words in found.reason


def test_of_several_classes_the_one_both_have_is_compared():
    mine = [*runs(0.02, 3), *runs(0.05, 4, driver="570.0")]
    found = check(REGRESSION, mine, runs(0.02, 3, of=BASE))
    assert found.state is CheckState.PASS
    assert "driver 580.1" in found.notes[0]


def test_a_missing_reference_is_said():
    assert "not registered" in check(REGRESSION, runs(0.02), reference=None).reason
    assert "base is at this point" in check(REGRESSION, runs(0.02), ()).reason


def test_unsteady_and_doubtful_runs_are_left_out_with_the_reason():
    point = runs(0.02, 1)[0].points[0]
    import msgspec

    shaky = msgspec.structs.replace(point, stability=Stability(verdict="unstable", reason="clocks fell"))
    found = check(AT_MOST, [profile(0.02, number=1, points=(shaky,))])
    assert "clocks fell" in found.reason
    found = check(AT_MOST, [profile(0.02, number=1, doubt="another process ran")])
    assert "another process ran" in found.reason


def test_stale_runs_are_stale():
    rules = AT_MOST + "\nevidence: {versions: {transformers: 9.9.9}}"
    assert check(rules, runs(0.02)).state is CheckState.STALE


def test_a_percentile_nobody_measured_is_missing():
    rules = f"latency: [{{metric: tpot, percentile: p99, {AT}, at_most: 30ms}}]"
    assert "measured the point without" in check(rules, runs(0.02)).reason


def test_memory_that_agrees_over_runs_is_exact():
    rules = f"memory: [{{measure: peak_device, {AT}, at_most: 10KiB}}]"
    assert check(rules, runs(0.02, 2, peak=10_000)).state is CheckState.PASS
    assert check(rules, runs(0.02, 2, peak=11_000)).state is CheckState.FAIL
    regression = f"memory: [{{measure: peak_device, {AT}, regression: 2%}}]"
    assert check(regression, runs(0.02, 2, peak=10_500), runs(0.02, 2, of=BASE)).state is CheckState.FAIL
    assert check(regression, runs(0.02, 2, peak=10_100), runs(0.02, 2, of=BASE)).state is CheckState.PASS


def test_weights_are_counted_not_sampled():
    assert check("memory: [{measure: weights, at_most: 1KiB}]", ()).state is CheckState.PASS
    found = judge(
        policy("memory: [{measure: weights, at_most: 1KiB}]"), evidence(variant=variant(size=2000)), now=NOW
    )
    assert found.verdict is GateVerdict.FAIL
    assert found.checks[0].more is None
    half = variant(size=500)
    relative = judge(policy("memory: [{measure: weights, regression: 0%}]"), evidence(variant=half), now=NOW)
    assert relative.verdict is GateVerdict.PASS
    assert relative.checks[0].figure is not None
    assert relative.checks[0].figure.value == pytest.approx(-0.5)


def test_estimated_weights_are_no_evidence():
    import msgspec

    guessed = msgspec.structs.replace(
        variant(), artifacts=(), weight_bytes=Figure(value=10.0, unit=Unit.BYTES, basis=Basis.MODELLED)
    )
    found = judge(policy("memory: [{measure: weights, at_most: 1KiB}]"), evidence(variant=guessed), now=NOW)
    assert found.checks[0].state is CheckState.MISSING
