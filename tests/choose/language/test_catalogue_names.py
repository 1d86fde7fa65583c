"""Every name in the built-in catalogue is understood as the thing it names, and the words agree with the domain's."""

from __future__ import annotations

import pytest

from planner.catalogue import load_catalogue
from planner.choose.language.parse import parse
from planner.choose.language.reader import is_terminal
from planner.choose.language.vocabulary import Vocabulary
from planner.choose.language.words import joined_scheme, scheme_word
from planner.domain.naming import fold
from planner.domain.runtime import ALIASES, KNOWN
from planner.domain.scenario import Scenario
from planner.domain.scheme import NumberFormat
from planner.domain.units import GIB
from planner.errors import InvalidQuery

CATALOGUE = load_catalogue()
TASKS = sorted({evaluation.task for evaluation in CATALOGUE.evaluations})
VOCABULARY = Vocabulary.build(CATALOGUE.models, CATALOGUE.devices, CATALOGUE.presets, TASKS)


def _answering(name: str, things: dict[str, tuple[str, ...]]) -> set[str]:
    """Return the ids of the things that list `name` among their names."""
    return {thing for thing, names in things.items() if fold(name) in {fold(other) for other in names}}


def _understood(name: str) -> Scenario | InvalidQuery:
    try:
        return parse(name, VOCABULARY)
    except InvalidQuery as error:
        return error


def test_every_name_of_a_model_means_it():
    things = {model.id: model.names() for model in CATALOGUE.models}
    for model_id, names in things.items():
        for name in names:
            scenario = parse(name, VOCABULARY)
            assert scenario.model.value in _answering(name, things), name
            assert len(_answering(name, things)) > 1 or scenario.model.value == model_id, name


def test_every_name_of_a_device_means_it_or_is_refused_as_ambiguous():
    things = {device.id: device.names() for device in CATALOGUE.devices}
    for device_id, names in things.items():
        for name in names:
            if "(" in name:  # a long name is known by what stands before its bracket
                continue
            understood = _understood(name)
            if isinstance(understood, InvalidQuery):
                assert "more than one device" in understood.message, name
                continue
            assert understood.hardware is not None, name
            assert understood.hardware.device_id in _answering(name, things), name
            assert len(_answering(name, things)) > 1 or understood.hardware.device_id == device_id, name
        assert parse(device_id, VOCABULARY).hardware is not None


@pytest.mark.parametrize(
    ("text", "device_id", "gib"),
    [
        ("best model for my macbook m3 max 64gb", "apple-m3-max-40c", None),
        ("macbook pro m3 max", "apple-m3-max-40c", None),
        ("macbook pro m3 max 48gb", "apple-m3-max-40c-48gb", None),
        ("m3 max with 48GB", "apple-m3-max-40c-48gb", None),
        ("48GB, m3 max", "apple-m3-max-40c-48gb", None),
        ("m3 max with 36GB", "apple-m3-max-40c", 36),
        ("m3 max limited to 48GB", "apple-m3-max-40c", 48),
        ("m1 max with 32GB", "apple-m1-max-24c-32gb", None),
        ("raspberry pi 5 with 16GB", "raspberry-pi-5-16gb", None),
        ("m3 max laptop", "apple-m3-max-40c", None),
        ("macbook m3", "apple-m3-10c-16gb", None),
    ],
)
def test_the_memory_asked_picks_among_devices_of_one_name(text: str, device_id: str, gib: int | None):
    hardware = parse(text, VOCABULARY).hardware
    assert hardware is not None
    assert (hardware.device_id, hardware.memory_bytes) == (device_id, gib and gib * GIB)


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("macbook m3 pro", "apple-m3-10c-16gb"),
        ("imac m3 ultra", None),
        ("macbook m3 ultra", "apple-m3-ultra-512gb"),
        ("rtx 4070", "rtx-4070-ti"),
        ("iphone", None),
        ("smollm", None),
        ("scout", None),
        ("onnx", None),
        ("4090ti", "4090"),
    ],
)
def test_a_suggestion_is_of_the_same_series(text: str, suggestion: str | None):
    error = _understood(text)
    assert isinstance(error, InvalidQuery)
    assert error.details.get("suggestion") == suggestion


def test_a_size_that_a_model_does_not_have_is_said():
    error = _understood("gpt-oss 120b on h100")
    assert isinstance(error, InvalidQuery)
    assert "`gpt-oss` has 20B in the catalogue, and 120b is not there" in error.message
    assert error.details["expected"] == ["`20B`"]


def test_every_name_of_a_preset_means_it():
    for preset in CATALOGUE.presets:
        for name in (preset.id, preset.name, *preset.aliases):
            assert parse(name, VOCABULARY).preset == preset.id, name


def test_a_preset_beside_everything_else():
    for preset in CATALOGUE.presets:
        scenario = parse(f"llama 3.1 8b on a 4090, {preset.name}", VOCABULARY)
        assert (scenario.preset, scenario.workload) == (preset.id, preset.workload)
        assert {constraint.key for constraint in scenario.constraints} == {
            constraint.key for constraint in preset.constraints
        }


@pytest.mark.parametrize("task", TASKS)
def test_every_task_with_evidence_can_be_named(task: str):
    scenario = parse(f"loss on {task} ≤ 1%", VOCABULARY)
    (limit,) = scenario.constraints
    assert limit.key == f"loss:{fold(task)}"


def test_every_runtime_and_number_format_is_a_word():
    for name in (*KNOWN, *ALIASES):
        assert is_terminal("RUNTIME", name), name
    for number_format in NumberFormat:
        assert is_terminal("SCHEME", number_format.value), number_format
        assert scheme_word(number_format.value) == number_format.value


def test_schemes_of_the_catalogue_answer_to_the_words_people_use():
    """A word from the language finds the schemes it should: the two sides agree on the spelling."""
    schemes = {variant.scheme for variant in CATALOGUE.variants}
    terms = frozenset[str]().union(*(scheme.terms() for scheme in schemes))
    for asked in (
        "int4",
        "4-bit",
        "fp8",
        "awq",
        "gptq",
        "q4_k_m",
        "8bit",
        "awq int4",
        "w4a16",
        "fp8 dynamic",
    ):
        word = joined_scheme(tuple(scheme_word(part) for part in asked.split(" ")))
        assert word in terms, asked
