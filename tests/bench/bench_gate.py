"""How often gates are wrong, by simulation: `pytest -m bench tests/bench/bench_gate.py -s`.

An item has a difficulty drawn from a beta distribution, and the baseline's outcome follows it; the build answers most items
as the baseline does and changes a share of the others, so that outcomes are correlated item by item as those of two builds
of one model are. What is varied: the score (0.45 to 0.89), the share of changed answers (3 to 12 %), the number of items
(200 to a planned one), the true loss. All gates judge the same data:

- recovery >= 0.95, rounded to two decimals (quantization test suites);
- relative tolerance 0.05, two-sided, against the baseline's score (serving engines' accuracy suites);
- absolute tolerance 0.08 (the same engines' quick checks);
- unpaired z at 5 %, one-sided: fails when significantly worse than the baseline (model comparators);
- this gate: paired non-inferiority with the same margin, and the number of items it asks for.

A false fail is a fail of a build whose loss is within the margin; a miss is a pass of one whose loss is beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pytest

from planner.domain.evaluation import PairedCounts
from planner.domain.loss import LossKind
from planner.domain.multiple_tests import holm
from planner.domain.non_inferiority import CountsTest

RUNS = 2000
ALPHA = 0.05


@dataclass(frozen=True)
class Setting:
    """A task: the baseline's score, the share of answers that change without any loss, and a margin (relative)."""

    name: str
    score: float
    flips: float
    margin: float


SETTINGS = (
    Setting("maths, 0.75, 6 % flips", 0.75, 0.06, 0.05),
    Setting("strong model, 0.89, 3 % flips", 0.89, 0.03, 0.05),
    Setting("hard task, 0.45, 12 % flips", 0.45, 0.12, 0.05),
    Setting("maths, margin 1 %", 0.75, 0.06, 0.01),
)


def draw(rng: np.random.Generator, setting: Setting, items: int, loss: float) -> PairedCounts:
    """Return the paired counts of one run of `items` items with a true relative loss."""
    spread = 1.5
    difficulty = rng.beta(spread * setting.score, spread * (1 - setting.score), size=items)
    base = rng.random(items) < difficulty
    # net loss of right answers = loss x score; the rest of the flips goes both ways
    both_ways = max(setting.flips - loss * setting.score, 0.0) / 2
    lost = (both_ways + loss * setting.score) / setting.score
    gained = both_ways / (1 - setting.score)
    change = rng.random(items)
    variant = np.where(base, change >= lost, change < gained)
    right, still = int((base & variant).sum()), int((~base & variant).sum())
    total = int(base.sum())
    return PairedCounts(
        both_right=right, only_baseline=total - right, only_variant=still, both_wrong=items - total - still
    )


def planned(setting: Setting, *, tasks: int = 1) -> int:
    """Return the items that the gate asks for to decide, when the true loss is 0 or twice the margin."""
    needed = []
    for loss in (0.0, 2 * setting.margin):
        n = 1_000_000
        lost = max(setting.flips - loss * setting.score, 0.0) / 2 + loss * setting.score
        gained = lost - loss * setting.score
        counts = PairedCounts(
            both_right=round(n * (setting.score - lost)),
            only_baseline=round(n * lost),
            only_variant=round(n * gained),
            both_wrong=round(n * (1 - setting.score - gained)),
        )
        found = CountsTest(counts, LossKind.RELATIVE).needed(setting.margin, ALPHA / tasks)
        assert found is not None
        needed.append(found)
    return math.ceil(max(needed))


def recovery(counts: PairedCounts, _: float) -> str:
    return "pass" if round(counts.variant_score / counts.baseline_score, 2) >= 0.95 else "fail"


def relative_tolerance(counts: PairedCounts, _: float) -> str:
    return "pass" if abs(counts.variant_score / counts.baseline_score - 1) <= 0.05 else "fail"


def absolute_tolerance(counts: PairedCounts, _: float) -> str:
    return "pass" if counts.variant_score >= counts.baseline_score - 0.08 else "fail"


def unpaired_z(counts: PairedCounts, _: float) -> str:
    a, b, n = counts.baseline_score, counts.variant_score, counts.items
    error = math.sqrt(max(a * (1 - a) + b * (1 - b), 1e-12) / n)
    return "fail" if (a - b) / error > NormalDist().inv_cdf(1 - ALPHA) else "pass"


def paired(counts: PairedCounts, margin: float) -> str:
    test = CountsTest(counts, LossKind.RELATIVE)
    if test.p_above(margin) <= ALPHA:
        return "fail"
    return "pass" if test.p_below(margin) <= ALPHA else "inconclusive"


GATES: dict[str, Callable[[PairedCounts, float], str]] = {
    "recovery >= 0.95 rounded": recovery,
    "relative 0.05 two-sided": relative_tolerance,
    "absolute 0.08": absolute_tolerance,
    "unpaired z": unpaired_z,
    "this gate": paired,
}


def rates(setting: Setting, items: int, loss: float, *, runs: int, seed: int) -> dict[str, dict[str, float]]:
    """Return, by gate, the share of each verdict."""
    rng = np.random.default_rng(seed)
    found = {name: {"pass": 0.0, "fail": 0.0, "inconclusive": 0.0} for name in GATES}
    for _ in range(runs):
        counts = draw(rng, setting, items, loss)
        for name, gate in GATES.items():
            found[name][gate(counts, setting.margin)] += 1 / runs
    return found


@pytest.mark.bench
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_error_rates(setting: Setting) -> None:
    asked = planned(setting)
    print(
        f"\n{setting.name}; margin {setting.margin:.0%} relative; {RUNS} runs a cell; asked for: {asked} items"
    )
    print(
        f"{'items':>6} {'gate':<26} {'no loss':^23} {'loss = margin':^15} {'loss = 2 x margin':^23}\n"
        f"{'':>6} {'':<26} {'pass':>7} {'FALSE FAIL':>10}       {'fail':>6} {'MISS':>6}   {'fail':>7} {'MISS':>7}"
    )
    for items in sorted({200, 1319, asked}):
        cells = [
            rates(setting, items, loss, runs=RUNS, seed=round(1e6 * loss) + items)
            for loss in (0.0, setting.margin, 2 * setting.margin)
        ]
        for name in GATES:
            none, at, twice = (cell[name] for cell in cells)
            print(
                f"{items:>6} {name:<26} {none['pass']:>7.1%} {none['fail']:>10.1%}      {at['fail']:>6.1%} "
                f"{at['pass']:>6.1%}   {twice['fail']:>7.1%} {twice['pass']:>7.1%}"
            )
        ours = [cell["this gate"] for cell in cells]
        slack = 3 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)
        assert ours[0]["fail"] <= ALPHA + slack
        assert ours[1]["fail"] <= ALPHA + slack
        assert ours[1]["pass"] <= ALPHA + slack
        assert ours[2]["pass"] <= ALPHA + slack
        if items == asked:
            assert ours[0]["pass"] >= 0.9 - 0.02
            assert ours[2]["fail"] >= 0.9 - 0.02


@pytest.mark.bench
@pytest.mark.parametrize("tasks", [5, 10])
def test_error_rates_over_tasks(tasks: int) -> None:
    """Any of several tasks fails a build: thresholds add their false fails up, Holm's procedure does not."""
    setting = SETTINGS[0]
    asked = planned(setting, tasks=tasks)
    print(f"\n{tasks} tasks like {setting.name}; asked for: {asked} items of each")
    for items in (200, 1319, asked):
        for loss, word in ((0.0, "no loss"), (setting.margin, "loss = margin")):
            rng = np.random.default_rng(items + tasks)
            failed = dict.fromkeys(GATES, 0.0)
            passed = dict.fromkeys(GATES, 0.0)
            for _ in range(RUNS // 4):
                drawn = [draw(rng, setting, items, loss) for _ in range(tasks)]
                for name, gate in GATES.items():
                    verdicts = [gate(counts, setting.margin) for counts in drawn]
                    if name == "this gate":
                        verdicts = _together(drawn, setting.margin)
                    failed[name] += ("fail" in verdicts) / (RUNS // 4)
                    passed[name] += (set(verdicts) == {"pass"}) / (RUNS // 4)
            print(
                f"{items:>6} items, {word}: "
                + "; ".join(f"{name} fails {failed[name]:.1%}, passes {passed[name]:.1%}" for name in GATES)
            )
            assert failed["this gate"] <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / (RUNS // 4))
            if items == asked and loss == 0:
                print(f"       power over all {tasks} tasks at once: {passed['this gate']:.1%}")


def _together(drawn: list[PairedCounts], margin: float) -> list[str]:
    tests = [CountsTest(counts, LossKind.RELATIVE) for counts in drawn]
    above = holm([test.p_above(margin) for test in tests], alpha=ALPHA)
    below = holm([test.p_below(margin) for test in tests], alpha=ALPHA)
    return [
        "fail" if bad.p_value <= ALPHA else "pass" if good.p_value <= ALPHA else "inconclusive"
        for bad, good in zip(above, below, strict=True)
    ]
