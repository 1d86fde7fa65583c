"""A default never makes a question about one model impossible."""

from __future__ import annotations

import msgspec
import pytest

from planner.catalogue.load import load_catalogue
from planner.choose.language.parse import parse
from planner.choose.language.vocabulary import Vocabulary
from planner.domain.scenario import Origin

CATALOGUE = load_catalogue()
MODEL = next(model for model in CATALOGUE.models if model.id == "llama-2-13b")
SHORT = msgspec.structs.replace(
    MODEL, architecture=msgspec.structs.replace(MODEL.architecture, max_context=1000)
)
NARROW = Vocabulary.build((SHORT,), CATALOGUE.devices, CATALOGUE.presets)


def test_default_input_is_cut_to_the_context_of_the_model_asked_for() -> None:
    scenario = parse(f"{SHORT.id} on 24GB", NARROW)
    assert scenario.workload.context_tokens == 1000
    assert scenario.origin("workload.input_tokens") is Origin.DEFAULT


@pytest.mark.parametrize("asked", ["4096 in 512 out", "input 1024 tokens"])
def test_what_is_asked_for_stands(asked: str) -> None:
    assert parse(f"{SHORT.id} on 24GB, {asked}", NARROW).workload.input_tokens >= 1024
