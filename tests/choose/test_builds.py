"""Builds: odds from what was recorded, and predictions that the planner itself confirms once the build is there."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings

from planner.choose.builds import LEAST_ODDS, builds
from planner.choose.planner import plan
from planner.choose.recipes import RECIPES
from planner.choose.scheme_losses import SchemeRecords
from planner.domain.advice import Purpose
from planner.domain.constraint import LossLimit, SchemeFilter
from planner.domain.job_requirement import parse
from planner.domain.job_spec import check_spec
from planner.domain.loss import LossKind
from planner.domain.outcome import Infeasible, Recommended
from planner.domain.scenario import Hardware, ModelSelector, Scenario, SelectorKind
from planner.domain.units import GIB
from planner.domain.variant import FileFormat
from tests.choose.records import MODELS, SCHEMES, Records, evaluation, generate, variant
from tests.choose.test_oracle import scenarios

INDEXES = {seed: generate(40, seed=seed).index() for seed in range(3)}


@settings(max_examples=40, deadline=None)
@given(scenario=scenarios)
def test_every_suggestion_can_be_queued_and_has_odds_that_are_probabilities(scenario: Scenario) -> None:
    index = INDEXES[0]
    advice = builds(scenario, index)
    assert advice == builds(scenario, index)
    outcome = plan(scenario, index)
    for build in advice.builds:
        check_spec(build.job.kind, build.job.spec)
        for need in build.job.requires:
            parse(need)
        assert (build.purpose is Purpose.SATISFIES) is isinstance(outcome, Infeasible)
        parts = [
            build.fit_probability,
            build.speed_probability,
            build.loss.probability if build.loss else None,
        ]
        assert all(part is None or 0 <= part <= 1 for part in parts)
        if build.odds is not None:
            assert LEAST_ODDS <= build.odds <= 1
            assert all(part is None or build.odds <= part for part in parts)
    odds = [build.odds for build in advice.builds if build.odds is not None]
    assert odds == sorted(odds, reverse=True)


def test_a_build_that_comes_out_as_predicted_satisfies_the_question() -> None:
    base = variant(MODELS[0], "bf16", held=True)
    others = [variant(model, "int4-g128", held=False, salt=7) for model in MODELS[1:4]]
    records = Records(
        MODELS, (base, *others), tuple(evaluation(each, 0.004, half=0.001) for each in others), ()
    )
    index = records.index()
    scenario = Scenario(
        model=ModelSelector(kind=SelectorKind.MODEL, value=MODELS[0].id),
        hardware=Hardware(memory_bytes=12 * GIB),
        constraints=(LossLimit(limit=0.01),),
    )
    assert isinstance(plan(scenario, index), Infeasible)
    advice = builds(scenario, index)
    best = advice.builds[0]
    assert best.purpose is Purpose.SATISFIES
    assert best.loss is not None
    assert (best.loss.within, best.loss.models) == (3, 3)
    assert best.loss.probability == pytest.approx(3.5 / 4)
    assert best.job.blocked is None
    assert best.job.spec["base"] == {"from": "registry", "variant": base.id}
    known = next(own for own in RECIPES if (own.recipe, own.settings) == (best.recipe, best.settings))
    made = msgspec.structs.replace(
        base,
        id="sha256:" + "e" * 64,
        name=best.name,
        scheme=known.scheme,
        file_format=FileFormat.SAFETENSORS,
        weight_bytes=best.weights,
    )
    after = Records(
        MODELS,
        (base, *others, made),
        (*records.evaluations, evaluation(made, best.loss.median or 0.0, half=0.001)),
        (),
    )
    outcome = plan(scenario, after.index())
    assert isinstance(outcome, Recommended)
    assert outcome.chosen.variant_id == made.id
    assert outcome.chosen.memory.total.value == pytest.approx(best.total.value)


def test_without_a_baseline_the_build_is_blocked_and_says_so() -> None:
    others = [variant(model, "int4-g128", held=False, salt=7) for model in MODELS[1:4]]
    own = variant(MODELS[0], "bf16", held=False)
    records = Records(MODELS, (own, *others), tuple(evaluation(each, 0.004) for each in others), ())
    scenario = Scenario(
        model=ModelSelector(kind=SelectorKind.MODEL, value=MODELS[0].id),
        hardware=Hardware(memory_bytes=12 * GIB),
        constraints=(LossLimit(limit=0.01),),
    )
    advice = builds(scenario, records.index())
    assert advice.builds
    assert all("reference precision" in (build.job.blocked or "") for build in advice.builds)


def test_constraints_that_no_build_can_meet_rule_it_out() -> None:
    scenario = Scenario(
        hardware=Hardware(memory_bytes=GIB // 4), constraints=(SchemeFilter(words=("int4",)),)
    )
    advice = builds(scenario, INDEXES[1])
    assert advice.builds == ()
    assert advice.ruled_out["memory"] > 0
    assert advice.ruled_out["scheme"] > 0


def test_the_losses_of_a_scheme_count_each_other_model_once() -> None:
    scheme = SCHEMES["int4-g128"]
    made = [
        variant(model, "int4-g128", salt=number) for number, model in enumerate((*MODELS[1:5], MODELS[1]))
    ]
    losses = (0.001, 0.02, 0.03, 0.04, 0.003)
    evaluations = tuple(evaluation(each, loss) for each, loss in zip(made, losses, strict=True))
    own = variant(MODELS[0], "int4-g128")
    records = Records(MODELS, (*made, own), (*evaluations, evaluation(own, 0.5)), ())
    found = SchemeRecords(records.index(), scheme, kind=LossKind.RELATIVE, task=None).beside(MODELS[0])
    assert len(found.values) >= 3
    assert 0.5 not in found.values
    odds = found.odds(0.01)
    assert odds.within == sum(value <= 0.01 for value in found.values)
    assert odds.share is not None
    assert odds.probability is not None
    assert odds.share.lo <= odds.within / odds.models <= odds.share.hi
