"""Value of measurement: what is said would be chosen is chosen, once the measurement is there."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings

from planner.choose.feasible import assess_selected
from planner.choose.index import Index
from planner.choose.open_figures import DRAWS, Losses
from planner.choose.planner import plan
from planner.choose.rank import rank
from planner.choose.reported_twice import MIN_PAIRS, reported_spread
from planner.choose.setting import resolve
from planner.choose.spread import at_scores, scores, share_below
from planner.choose.value_of_measurement import Contest, measurements
from planner.domain.constraint import LossLimit
from planner.domain.evaluation import Evaluation
from planner.domain.figure import Basis
from planner.domain.job import JobKind
from planner.domain.job_requirement import parse
from planner.domain.job_spec import check_spec
from planner.domain.loss import LossKind
from planner.domain.outcome import Recommended
from planner.domain.scenario import Hardware, Objective, Scenario
from planner.domain.units import GIB
from planner.domain.variant import Variant
from tests.choose.records import GPU, MODELS, Records, evaluation, generate, variant
from tests.choose.test_oracle import scenarios

RECORDS = {seed: generate(40, seed=seed) for seed in range(3)}
INDEXES = {seed: records.index() for seed, records in RECORDS.items()}


@settings(max_examples=40, deadline=None)
@given(scenario=scenarios)
def test_every_suggestion_can_be_queued_and_names_what_is_open(scenario: Scenario) -> None:
    index = INDEXES[0]
    advice = measurements(scenario, index)
    assert advice == measurements(scenario, index)
    outcome = plan(scenario, index)
    assert advice.chosen_id == (outcome.chosen.variant_id if isinstance(outcome, Recommended) else None)
    for each in advice.measurements:
        check_spec(each.job.kind, each.job.spec)
        for need in each.job.requires:
            parse(need)
        assert each.open
        assert each.assumed
        assert each.probability is None or 0 < each.probability <= 1
        assert (each.becomes_id == each.variant_id) is (each.variant_id != advice.chosen_id)
        if not index.variants[each.variant_id].is_fetchable:
            assert each.job.blocked is not None


def _measured(records: Records, variant_id: str, loss: float) -> Index:
    """Return the index after an evaluation of one variant found this loss, without error."""
    own = next(each for each in records.variants if each.id == variant_id)
    kept = tuple(each for each in records.evaluations if each.variant_id != variant_id)
    found = evaluation(own, loss, half=1e-9)
    return Records(records.models, records.variants, (*kept, found), records.profiles).index()


@pytest.mark.parametrize("objective", [Objective.MOST_ACCURATE, Objective.SMALLEST, Objective.CHEAPEST])
@pytest.mark.parametrize("seed", sorted(RECORDS))
def test_the_choice_after_an_evaluation_is_the_one_foretold(seed: int, objective: Objective) -> None:
    records, index = RECORDS[seed], INDEXES[seed]
    scenario = Scenario(
        hardware=Hardware(memory_bytes=24 * GIB),
        constraints=(LossLimit(limit=0.01),),
        objective=objective,
    )
    assessment = assess_selected(index, resolve(scenario, index, now=None))
    contest = Contest(assessment, rank(assessment))
    losses = Losses(assessment)
    tried = 0
    for position in np.flatnonzero(losses.eligible()).tolist():
        draws = losses.draws(position) if losses.open(position) else None
        if draws is None or draws.loss is None:
            continue
        won, other = contest.wins(position, draws)
        variant_id = index.records[int(assessment.rows[position])].id
        for number in (0, DRAWS // 3, DRAWS - 1):
            loss = float(draws.loss[number])
            if not np.isfinite(loss) or abs(loss - 0.01) < 1e-6 or loss < -0.5:
                continue
            outcome = plan(scenario, _measured(records, variant_id, loss))
            after = outcome.chosen.variant_id if isinstance(outcome, Recommended) else None
            assert (after == variant_id) == bool(won[number])
            if not draws.accepted[number]:
                expected = None if other is None else index.records[int(assessment.rows[other])].id
                assert after == expected
            tried += 1
        if tried > 25:
            break
    assert tried >= 3


def test_a_certified_choice_by_far_leaves_nothing_to_evaluate() -> None:
    best, other = (variant(MODELS[0], "int8", salt=1), variant(MODELS[0], "int4-g128", salt=2))
    records = Records(
        MODELS, (best, other), (evaluation(best, 0.001, half=0.0001), evaluation(other, 0.2, half=0.001)), ()
    )
    scenario = Scenario(hardware=Hardware(memory_bytes=80 * GIB), constraints=(LossLimit(limit=0.01),))
    advice = measurements(scenario, records.index())
    assert advice.chosen_id == best.id
    assert [each for each in advice.measurements if each.job.kind is JobKind.EVALUATE] == []


def test_times_are_measured_on_the_device_that_is_asked_about() -> None:
    made = [
        variant(MODELS[0], scheme, held=True, salt=number)
        for number, scheme in enumerate(("int8", "int4-g128"))
    ]
    records = Records(MODELS, tuple(made), (), ())
    scenario = Scenario(hardware=Hardware(device_id=GPU.id), objective=Objective.FASTEST)
    advice = measurements(scenario, records.index())
    first = advice.measurements[0]
    assert first.job.kind is JobKind.MEASURE
    assert f"device:{GPU.id}" in first.job.requires
    assert first.job.spec["conditions"]["workloads"] == [
        {"input_tokens": 1024, "output_tokens": 256, "concurrency": 1}
    ]
    assert first.probability is not None
    assert first.job.blocked is None


def test_reports_of_the_same_scheme_tell_how_far_reports_lie_apart() -> None:
    made: list[Variant] = []
    found: list[Evaluation] = []
    order = np.random.default_rng(0)
    for model in MODELS:
        for scheme in ("int8", "int4-g128", "bf16"):
            for salt in range(6):
                each = variant(model, scheme, salt=salt)
                made.append(each)
                loss = float(0.02 + order.normal(0, 0.004))
                found.append(evaluation(each, loss, basis=Basis.PUBLISHED))
    index = Records(MODELS, tuple(made), tuple(found), ()).index()
    spread = reported_spread(index, LossKind.RELATIVE, None)
    assert spread is not None
    assert spread[1] >= MIN_PAIRS
    assert spread[0] == pytest.approx(0.004, rel=0.4)
    assert reported_spread(Records(MODELS, tuple(made[:2]), (), ()).index(), LossKind.RELATIVE, None) is None


@pytest.mark.parametrize("logarithmic", [False, True])
def test_draws_lie_as_their_interval_says(logarithmic: bool) -> None:
    z = scores(4096, base=2)
    drawn = at_scores(10.0, 8.0, 15.0, z, confidence=0.9, logarithmic=logarithmic)
    assert np.mean(drawn < 8.0) == pytest.approx(0.05, abs=0.002)
    assert np.mean(drawn > 15.0) == pytest.approx(0.05, abs=0.002)
    for limit in (7.0, 9.0, 10.0, 12.0, 18.0):
        expected = share_below(limit, 10.0, 8.0, 15.0, confidence=0.9, logarithmic=logarithmic)
        assert np.mean(drawn <= limit) == pytest.approx(expected, abs=0.003)


def test_structs_survive_json() -> None:
    advice = measurements(Scenario(hardware=Hardware(memory_bytes=24 * GIB)), INDEXES[1])
    assert msgspec.json.decode(msgspec.json.encode(advice), type=type(advice)) == advice
