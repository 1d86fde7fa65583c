"""docs/accuracy.md and learned.py are what the built-in catalogue says, and the estimates are no worse than the page.

After a change of evidence or estimators: PLANNER_WRITE_DOCS=1 pytest tests/estimate/test_validation.py, twice, since the
constants that the first run writes are read by the second. A regression against the page fails even then.
"""

from __future__ import annotations

import ast
import os
from pathlib import Path
from statistics import NormalDist

import msgspec
import numpy as np
import pytest

from planner.catalogue import load_catalogue
from planner.errors import InvalidInput
from planner.estimate import learned
from planner.estimate.conformal import CONFIDENCE, Distance
from planner.estimate.priors import Z
from planner.estimate.validation import Records, trials
from planner.estimate.validation_constants import constants_module
from planner.estimate.validation_memory import RISK, MemoryTrial
from planner.estimate.validation_memory_scores import (
    AIMS,
    RISKS,
    MemoryScore,
    memory_regressions,
    memory_score,
)
from planner.estimate.validation_page import baseline, memory_baseline, render
from planner.estimate.validation_report import Validation, validate
from planner.estimate.validation_scores import (
    TOLERANCE,
    Score,
    covered_as_calibrated,
    regressions,
)
from tests.choose.records import GPU, MODELS, profile, variant

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "accuracy.md"
CONSTANTS = ROOT / "planner" / "estimate" / "learned.py"
WRITE = bool(os.environ.get("PLANNER_WRITE_DOCS"))


@pytest.fixture(scope="module")
def found() -> Validation:
    held = load_catalogue()
    return validate(
        Records(models=held.models, variants=held.variants, devices=held.devices, profiles=held.profiles)
    )


def _score(found: Validation, metric: str, protocol: str, distance: str) -> Score:
    return next(s for s in found.report.scores if s.key == (metric, protocol, distance))


def test_nothing_got_worse_than_the_page_says(found: Validation) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert regressions(baseline(page), found.report.scores) == ()
    assert memory_regressions(memory_baseline(page), found.report.memory) == ()


def test_the_page_is_what_validation_finds(found: Validation) -> None:
    if WRITE:
        PAGE.write_text(render(found.report), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == render(found.report), __doc__


def test_the_constants_are_what_validation_teaches(found: Validation) -> None:
    made = constants_module(found.effects, found.widths)
    if WRITE:
        CONSTANTS.write_text(made, encoding="utf-8")
    assert ast.dump(ast.parse(CONSTANTS.read_text(encoding="utf-8"))) == ast.dump(ast.parse(made)), __doc__
    for metric, effects in found.effects.items():
        assert np.allclose(learned.EFFECTS[metric].cells, effects.cells, atol=1e-3)


def test_intervals_cover_as_often_as_they_say(found: Validation) -> None:
    least, most = TOLERANCE.coverage_band
    judged = covered_as_calibrated(found.report.scores)
    assert {score.metric for score in judged} >= {"tpot", "ttft"}
    for score in judged:
        assert score.coverage is not None
        assert least <= score.coverage <= most, score


def test_errors_stay_within_what_is_promised(found: Validation) -> None:
    near = _score(found, "tpot", "point", "inside")
    unseen = _score(found, "tpot", "variant", "variant")
    assert near.median_error is not None
    assert unseen.median_error is not None
    assert near.median_error <= 0.025
    assert unseen.median_error <= 0.11
    source = next(s for s in found.report.scores if s.key == ("ttft", "source", None))
    assert source.median_error is not None
    assert source.median_error <= 0.5


def test_memory_stays_within_what_is_promised(found: Validation) -> None:
    scores = {score.key: score for score in found.report.memory}
    for key, aim in AIMS.items():
        assert scores[key].median_error <= aim, key
    for protocol in ("point", "variant"):
        rate = scores["peak", protocol, "device"].false_fit_rate
        assert rate is not None
        assert rate <= RISK
    # What is not scored is said with its reason.
    assert all(count > 0 and reason for reason, count in found.report.left_out.items())


def test_a_memory_estimate_that_got_worse_is_a_regression(found: Validation) -> None:
    score = next(s for s in found.report.memory if s.key == ("peak", "point", "device"))
    change = msgspec.structs.replace

    def worse(**changes: float) -> tuple[str, ...]:
        return memory_regressions([score], [change(score, **changes)])

    assert worse() == ()
    assert len(worse(p90_error=score.p90_error + 0.01)) == 1
    assert len(worse(false_fit_rate=0.02)) == 1
    assert "promised" in worse(median_error=0.03)[-1]
    assert "no longer scored" in memory_regressions([score], [])[0]


def test_false_fits_are_counted_at_the_risk_asked_for() -> None:
    trials_at = [
        MemoryTrial(kind="peak", protocol="variant", recorded=10.0 + score, estimated=10.0, lo=10 - Z, hi=10 + Z, variant=f"{n}")
        for n, score in enumerate(NormalDist().inv_cdf((i + 0.5) / 400) for i in range(400))
    ]  # fmt: skip
    found: MemoryScore = memory_score(trials_at)
    # Peaks that are spread as the estimate says are above what it called enough as often as the risk says.
    assert np.allclose(found.false_fits, RISKS, atol=0.005)


def _records(*efficiencies: float) -> Records:
    """Return one variant per efficiency, each with the same points, on one device."""
    from planner.domain.workload import Workload

    loads = [Workload(input_tokens=tokens, output_tokens=128) for tokens in (256, 1024, 4096)]
    variants = [variant(MODELS[1], "int8", salt=number) for number in range(len(efficiencies))]
    profiles = [
        profile(own, GPU, dict.fromkeys(loads, (0.1 * efficiency, 0.01 * efficiency)))
        for own, efficiency in zip(variants, efficiencies, strict=True)
    ]
    return Records(models=MODELS, variants=variants, devices=[GPU], profiles=profiles)


def test_what_is_held_out_is_not_used() -> None:
    honest = [t for t in trials(_records(1.0, 1.0, 1.0)) if t.protocol == "variant" and t.metric == "tpot"]
    odd = [t for t in trials(_records(1.0, 1.0, 3.0)) if t.protocol == "variant" and t.metric == "tpot"]
    assert {t.distance for t in odd} == {Distance.VARIANT}
    for one, other in zip(honest, odd, strict=True):
        moved = abs(other.estimated / one.estimated - 1) > 0.1
        # Where its own recordings tripled, its estimate, made without them, stays; those of the others move.
        assert moved is not (other.recorded > one.recorded * 2)


def test_the_order_of_records_changes_nothing() -> None:
    held = _records(1.0, 1.4, 0.7)
    turned = Records(
        models=MODELS,
        variants=reversed(held.variants),
        devices=[GPU],
        profiles=reversed([p for site in held.sites for p in site.evidence.profiles]),
    )
    assert trials(held) == trials(turned)


def test_a_growing_error_and_a_coverage_off_its_band_are_regressions() -> None:
    score = Score(
        metric="tpot", protocol="point", distance="inside", trials=400, groups=20, unanswered=0, median_error=0.02,
        p90_error=0.1, bias=0.0, coverage=0.9, median_width=1.2, calibrated=True,
    )  # fmt: skip
    change = msgspec.structs.replace
    assert regressions([score], [score]) == ()
    assert regressions([score], [change(score, median_error=0.024)]) == ()
    assert len(regressions([score], [change(score, median_error=0.03)])) == 1
    assert regressions([score], [change(score, median_error=0.03, trials=500)]) == ()
    assert len(regressions([score], [change(score, median_error=0.04, trials=500)])) == 1
    assert len(regressions([score], [change(score, p90_error=0.12)])) == 1
    assert len(regressions([score], [change(score, coverage=0.8)])) == 1
    assert regressions([score], [change(score, coverage=0.8, trials=20)]) == ()
    assert "no longer scored" in regressions([score], [])[0]


def test_a_page_without_its_baseline_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no baseline"):
        baseline("# Accuracy")
    with pytest.raises(InvalidInput, match="damaged"):
        baseline('```json baseline\n{"metric": 1}\n```\n')


def test_a_false_fit_is_a_peak_above_what_was_said_to_be_enough() -> None:
    peak = MemoryTrial(
        kind="peak", protocol="point", recorded=10.5 * 2**30, estimated=10.0 * 2**30, lo=9.0 * 2**30,
        hi=11.0 * 2**30, variant="v",
    )  # fmt: skip
    assert peak.estimated < peak.safe_capacity < peak.recorded * 1.2
    above = msgspec.structs.replace(peak, recorded=12.5 * 2**30)
    score = memory_score((peak, above))
    assert (score.false_fit_rate, score.coverage) == (0.5, 0.5)
    assert score.card_false_fits == 1
    assert RISK < 1 - CONFIDENCE
