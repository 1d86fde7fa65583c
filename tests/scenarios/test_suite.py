"""The public scenario suite: the planner's answers against brute force and against what was checked by hand.

Every scenario stands in a TOML file beside this one. What the planner recommends must be what plain loops over all
variants and placements find, what is infeasible must be so for each of them, and what is invalid must say where.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from planner.catalogue import load_catalogue
from planner.choose.index import Index
from planner.choose.language.echo import echo
from planner.choose.language.parse import parse
from planner.choose.planner import plan
from planner.domain.outcome import Candidate, Infeasible, Recommended
from planner.domain.scenario import Objective, Scenario
from planner.errors import InvalidQuery
from tests.scenarios import oracle

FOLDER = Path(__file__).parent
SCENARIOS: list[dict[str, Any]] = [
    scenario
    for path in sorted(FOLDER.glob("*.toml"))
    for scenario in tomllib.loads(path.read_text(encoding="utf-8"))["scenario"]
]
VALID = [scenario for scenario in SCENARIOS if scenario["outcome"] != "invalid"]
INVALID = [scenario for scenario in SCENARIOS if scenario["outcome"] == "invalid"]
HAND = [scenario for scenario in VALID if "hand" in scenario]


@cache
def catalogue_index() -> Index:
    catalogue = load_catalogue()
    return Index.build(
        models=catalogue.models,
        variants=catalogue.variants,
        evaluations=catalogue.evaluations,
        profiles=catalogue.profiles,
        devices=catalogue.devices,
        presets=catalogue.presets,
    )


def scenario_of(text: str) -> Scenario:
    return parse(text, catalogue_index().vocabulary)


def _same(scenario: Scenario) -> Scenario:
    return msgspec.structs.replace(scenario, origins={})


def by_ask(scenario: dict[str, Any]) -> str:
    return str(scenario["ask"])


def test_the_suite_covers_what_it_is_for() -> None:
    assert len(SCENARIOS) >= 60
    assert len(HAND) >= 12
    assert all(scenario.get("because") for scenario in HAND)
    scenarios = [scenario_of(scenario["ask"]) for scenario in VALID]
    assert {scenario.objective for scenario in scenarios} == set(Objective)
    kinds = {type(constraint).__name__ for scenario in scenarios for constraint in scenario.constraints}
    assert kinds >= {
        "LossLimit", "LatencyLimit", "ThroughputFloor", "DiskLimit", "SchemeFilter", "RuntimeFilter", "FormatFilter",
        "LicenseFilter",
    }  # fmt: skip
    hardware = [scenario.hardware for scenario in scenarios if scenario.hardware]
    assert {part.kind.value for part in hardware} == {"gpu", "cpu", "board"}
    assert any(part.nodes > 1 for part in hardware)
    assert any(part.partition for part in hardware)
    assert any(scenario.preset for scenario in scenarios)
    assert sum(len(scenario.get("also", ())) for scenario in VALID) >= 15
    assert {scenario["outcome"] for scenario in SCENARIOS} == {"recommended", "infeasible", "invalid"}


@pytest.mark.parametrize("scenario", VALID, ids=by_ask)
def test_the_answer_is_that_of_brute_force(scenario: dict[str, Any]) -> None:
    asked, index = scenario_of(scenario["ask"]), catalogue_index()
    expected, outcome = oracle.answer(asked, index), plan(asked, index)
    if isinstance(outcome, Recommended):
        chosen = outcome.chosen
        assert scenario["outcome"] == "recommended"
        assert (chosen.variant_id, chosen.memory.tensor_parallel, chosen.memory.pipeline_parallel) == (
            expected.chosen, expected.tensor, expected.pipeline,
        )  # fmt: skip
        assert outcome.eliminated.get("objective", 0) + 1 == expected.accepted
    else:
        assert scenario["outcome"] == "infeasible"
        assert expected.chosen is None
        assert all(expected.fails.values())
    for elimination in outcome.eliminations:
        if elimination.key not in {"objective", "model"}:
            assert elimination.key in expected.fails[elimination.variant_id]


@pytest.mark.parametrize("scenario", [s for s in VALID if s["outcome"] == "infeasible"], ids=by_ask)
def test_relaxations_offered_hold_for_brute_force(scenario: dict[str, Any]) -> None:
    asked, index = scenario_of(scenario["ask"]), catalogue_index()
    outcome = plan(asked, index)
    assert isinstance(outcome, Infeasible)
    assert outcome.conflict
    for relaxation in outcome.relaxations:
        assert oracle.answer(relaxation.scenario, index).chosen == relaxation.variant_id


@pytest.mark.parametrize("scenario", VALID, ids=by_ask)
def test_wording_language_and_order_do_not_change_the_question(scenario: dict[str, Any]) -> None:
    asked = _same(scenario_of(scenario["ask"]))
    for other in scenario.get("also", ()):
        assert _same(scenario_of(other)) == asked
    again = scenario_of(echo(asked, catalogue_index().vocabulary))
    assert _same(again) == asked


@pytest.mark.parametrize("scenario", HAND, ids=by_ask)
def test_what_was_checked_by_hand(scenario: dict[str, Any]) -> None:
    index = catalogue_index()
    outcome = plan(scenario_of(scenario["ask"]), index)
    hand = dict(scenario["hand"])
    if isinstance(outcome, Infeasible):
        if "conflict" in hand:
            assert sorted(outcome.conflict) == sorted(hand.pop("conflict"))
        if "eliminated" in hand:
            assert outcome.eliminated[hand.pop("eliminated")] > 0
    else:
        for name, wanted in list(hand.items()):
            assert FACTS[name](outcome.chosen, index, wanted), (name, outcome.chosen)
            hand.pop(name)
    assert not hand


def _bits(candidate: Candidate, index: Index) -> float:
    variant = index.variants[candidate.variant_id]
    return variant.weight_bytes.value * 8 / index.models[candidate.model_id].parameters


def _devices_at_most(candidate: Candidate, index: Index, wanted: Any) -> bool:
    return bool(candidate.memory.devices <= wanted)


def _loses(candidate: Candidate, index: Index, wanted: Any) -> bool:
    return candidate.loss is not None and max(candidate.loss.figure.value, 0.0) == wanted


def _is_of_size(candidate: Candidate, index: Index, wanted: Any) -> bool:
    return bool(index.models[candidate.model_id].size_billions == wanted)


def _has_fewer_bits(candidate: Candidate, index: Index, wanted: Any) -> bool:
    return bool(_bits(candidate, index) < wanted)


def _uses_devices(candidate: Candidate, index: Index, wanted: Any) -> bool:
    return bool(candidate.memory.devices == wanted)


def _has_ranks_at_most(candidate: Candidate, index: Index, wanted: Any) -> bool:
    return bool(candidate.memory.tensor_parallel <= wanted)


def _needs_replicas(candidate: Candidate, index: Index, wanted: Any) -> bool:
    return candidate.serving is not None and candidate.serving.replicas == wanted


FACTS: dict[str, Callable[[Candidate, Index, Any], bool]] = {
    "size_billions": _is_of_size,
    "below_bits": _has_fewer_bits,
    "loss": _loses,
    "devices": _uses_devices,
    "devices_at_most": _devices_at_most,
    "tensor_parallel_at_most": _has_ranks_at_most,
    "replicas": _needs_replicas,
}


@pytest.mark.parametrize("scenario", INVALID, ids=by_ask)
def test_what_cannot_be_meant_says_where(scenario: dict[str, Any]) -> None:
    text = scenario["ask"]
    with pytest.raises(InvalidQuery) as error:
        scenario_of(text)
    if "points_at" in scenario:
        start, length = error.value.details["position"], error.value.details["length"]
        assert text[start : start + length] == scenario["points_at"]
