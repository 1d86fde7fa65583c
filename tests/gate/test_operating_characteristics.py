"""How often the gate errs and decides, simulated with fixed seeds; `tests/bench/bench_gate.py` has the table beside other gates.

Guarantees: over all tasks together, a build whose losses are within their margins fails with chance at most 5 %, and one with a loss
beyond its margin passes with chance at most 5 %; with the items it asks for, a build without loss passes 9 times in 10.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from planner.domain.loss import LossKind
from planner.domain.non_inferiority import CountsTest
from tests.bench.bench_gate import SETTINGS, Setting, _together, draw, paired, planned

RUNS = 400
SLACK = 3 * math.sqrt(0.05 * 0.95 / RUNS)


def shares(setting: Setting, items: int, loss: float) -> dict[str, float]:
    rng = np.random.default_rng(items)
    found = {"pass": 0.0, "fail": 0.0, "inconclusive": 0.0}
    for _ in range(RUNS):
        found[paired(draw(rng, setting, items, loss), setting.margin)] += 1 / RUNS
    return found


@pytest.mark.parametrize("setting", SETTINGS[:3], ids=lambda setting: setting.name)
def test_errors_and_power(setting):
    asked = planned(setting)
    none, at, twice = (shares(setting, asked, loss) for loss in (0.0, setting.margin, 2 * setting.margin))
    assert none["fail"] <= 0.05
    assert at["fail"] <= 0.05 + SLACK
    assert at["pass"] <= 0.05 + SLACK
    assert twice["pass"] <= 0.05
    assert none["pass"] >= 0.88
    assert min(none["pass"], twice["fail"]) >= 0.86


@pytest.mark.parametrize("items", [50, 200])
def test_few_items_do_not_err_more(items):
    at = shares(SETTINGS[0], items, SETTINGS[0].margin)
    assert at["fail"] <= 0.05 + SLACK
    assert at["pass"] <= 0.05 + SLACK


def test_a_gain_never_fails():
    assert shares(SETTINGS[0], 400, -0.05)["fail"] == 0


def test_five_tasks_at_their_margins_fail_one_time_in_twenty_together():
    setting, rng = SETTINGS[0], np.random.default_rng(1)
    failed = sum(
        "fail" in _together([draw(rng, setting, 400, setting.margin) for _ in range(5)], setting.margin)
        for _ in range(RUNS // 2)
    )
    assert failed / (RUNS // 2) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / (RUNS // 2))


def test_what_one_run_asks_for_is_about_what_is_needed():
    """The advice of an open gate is an estimate from few flips; it must have the right size."""
    setting, rng = SETTINGS[0], np.random.default_rng(3)
    advice = []
    for _ in range(100):
        test = CountsTest(draw(rng, setting, 150, 0.0), LossKind.RELATIVE)
        needed = test.needed(setting.margin, 0.05)
        if needed is not None and test.p_below(setting.margin) > 0.05:
            advice.append(needed)
    assert planned(setting) / 3 <= float(np.median(advice)) <= 6 * planned(setting)
