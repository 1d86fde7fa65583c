from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest

from planner.choose.index import Index
from planner.choose.planner import plan, why
from planner.domain.constraint import DiskLimit, LossLimit
from planner.domain.lifecycle import LifecycleState, VariantState
from planner.domain.outcome import Infeasible, Outcome, Recommended, Verdict
from planner.domain.scenario import Hardware, ModelSelector, Objective, Scenario
from planner.domain.units import GIB
from planner.domain.variant import Variant
from tests.choose.records import MODELS, NOW, Records, evaluation, generate, variant

S = LifecycleState
LLAMA = MODELS[0]
BASE, INT8, INT4 = (variant(LLAMA, scheme) for scheme in ("bf16", "int8", "int4-g128"))
RECORDS = Records(MODELS, (BASE, INT8, INT4), (evaluation(INT8, 0.001), evaluation(INT4, 0.005)), ())
QUESTION = Scenario(model=ModelSelector(), hardware=Hardware(memory_bytes=24 * GIB), constraints=())


def state(of: str, value: LifecycleState, replacement: str | None = None) -> VariantState:
    return VariantState(
        variant_id=of, state=value, reason="wrong tokenizer", replacement_id=replacement, number=1
    )


def index(*states: VariantState) -> Index:
    held = RECORDS.index()
    return Index.build(
        models=held.models.values(),
        variants=held.variants.values(),
        evaluations=RECORDS.evaluations,
        devices=RECORDS.devices,
        states=states,
    )


def chosen(outcome: Outcome) -> str:
    assert isinstance(outcome, Recommended)
    return outcome.chosen.variant_id


@pytest.mark.parametrize("value", [S.YANKED, S.QUARANTINED, S.DELETED])
def test_what_is_withheld_is_never_recommended(value: LifecycleState) -> None:
    assert chosen(plan(QUESTION, index())) == INT8.id
    without = plan(QUESTION, index(state(INT8.id, value, INT4.id)))
    assert chosen(without) == INT4.id
    assert isinstance(without, Recommended)
    fell = next(each for each in without.eliminations if each.variant_id == INT8.id)
    assert (fell.key, fell.reason) == ("state", f"{value.value}: wrong tokenizer; use {INT4.name} instead")
    assert without.eliminated["state"] == 1
    assert INT8.id not in {point.variant_id for point in without.frontier}


def test_why_not_says_the_state() -> None:
    candidate, elimination = why(QUESTION, index(state(INT8.id, S.QUARANTINED)), INT8.id)
    assert elimination is not None
    assert (elimination.key, elimination.reason) == ("state", "quarantined: wrong tokenizer")
    check = next(check for check in candidate.checks if check.key == "state")
    assert (check.asked, check.verdict) == ("may be recommended", Verdict.VIOLATED)
    assert check.detail == "quarantined: wrong tokenizer"


def test_a_deprecated_variant_is_the_answer_only_when_nothing_else_satisfies() -> None:
    held = index(state(INT8.id, S.DEPRECATED, INT4.id))
    found = plan(QUESTION, held)
    assert chosen(found) == INT4.id
    assert isinstance(found, Recommended)
    assert [each.variant_id for each in found.alternatives] == [INT8.id]
    assert (
        found.reasons[0] == "Satisfies every constraint: the only candidate that does and is not deprecated."
    )
    beaten = next(each for each in found.eliminations if each.variant_id == INT8.id)
    assert beaten.reason == (
        f"deprecated: wrong tokenizer; use {INT4.name} instead; {INT4.name}, which satisfies everything too, is not deprecated"
    )
    tight = msgspec.structs.replace(QUESTION, constraints=(LossLimit(limit=0.002),))
    found = plan(tight, held)
    assert chosen(found) == INT8.id
    assert isinstance(found, Recommended)
    warned = [text for text in found.warnings if text.startswith("Deprecated")]
    assert warned == [
        f"Deprecated: wrong tokenizer; use {INT4.name} instead. No other variant satisfies the question."
    ]


def test_when_everything_that_fits_is_withheld_the_conflict_names_the_state() -> None:
    small = msgspec.structs.replace(QUESTION, constraints=(DiskLimit(limit=8 * GIB),))
    found = plan(small, index(state(INT4.id, S.QUARANTINED)))
    assert isinstance(found, Infeasible)
    assert "state" in found.conflict
    for relaxation in found.relaxations:
        assert relaxation.variant_id != INT4.id


def test_active_states_change_no_byte_of_an_answer() -> None:
    plain, with_states = index(), index(state(INT8.id, S.ACTIVE), state("sha256:unknown", S.ACTIVE))
    one, other = plan(QUESTION, plain), plan(QUESTION, with_states)
    assert msgspec.json.encode(one) == msgspec.json.encode(other)


@pytest.mark.parametrize("objective", list(Objective))
@pytest.mark.parametrize("seed", [7])
def test_deprecated_variants_do_not_change_what_is_chosen_of_the_others(
    seed: int, objective: Objective
) -> None:
    records = generate(1500, seed=seed)
    old = {each.id for number, each in enumerate(records.variants) if number % 2 == 0}
    held = records.index()

    def made(variants: Sequence[Variant], states: Sequence[VariantState] = ()) -> Index:
        kept = {each.id for each in variants}
        return Index.build(
            models=held.models.values(),
            variants=variants,
            evaluations=[each for each in records.evaluations if each.variant_id in kept],
            profiles=[each for each in records.profiles if each.variant_id in kept],
            devices=records.devices,
            states=states,
        )

    marked = made(records.variants, [state(each, S.DEPRECATED) for each in sorted(old)])
    rest = made([each for each in records.variants if each.id not in old])
    scenario = Scenario(
        hardware=Hardware(memory_bytes=24 * GIB), constraints=(LossLimit(limit=0.03),), objective=objective
    )
    now = NOW + timedelta(days=1)
    one, other = plan(scenario, marked, now=now), plan(scenario, rest, now=now)
    assert chosen(one) not in old
    assert chosen(one) == chosen(other)


@pytest.mark.parametrize("objective", list(Objective))
@pytest.mark.parametrize("seed", range(2))
def test_withholding_equals_not_being_there(seed: int, objective: Objective) -> None:
    """Whoever is chosen among many when some are withheld is chosen when those are not in the index at all."""
    records = generate(400, seed=seed)
    gone = {each.id for number, each in enumerate(records.variants) if number % 3 == 0}
    states = [state(each, (S.YANKED, S.QUARANTINED, S.DELETED)[n % 3]) for n, each in enumerate(sorted(gone))]
    marked = Index.build(
        models=records.models,
        variants=records.variants,
        evaluations=records.evaluations,
        profiles=records.profiles,
        devices=records.devices,
        states=states,
    )
    rest = Index.build(
        models=records.models,
        variants=[each for each in records.variants if each.id not in gone],
        evaluations=[each for each in records.evaluations if each.variant_id not in gone],
        profiles=[each for each in records.profiles if each.variant_id not in gone],
        devices=records.devices,
    )
    scenario = Scenario(
        hardware=Hardware(memory_bytes=24 * GIB), constraints=(LossLimit(limit=0.03),), objective=objective
    )
    now = NOW + timedelta(days=1)
    one, other = plan(scenario, marked, now=now), plan(scenario, rest, now=now)
    assert chosen(one) not in gone
    assert chosen(one) == chosen(other)
