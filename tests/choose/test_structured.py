import msgspec
import pytest

from planner.catalogue.load import load_catalogue
from planner.choose.structured import complete
from planner.domain.constraint import LossLimit
from planner.domain.scenario import Hardware, Objective, Origin, Scenario
from planner.domain.workload import Workload
from planner.errors import InvalidInput

PRESETS = {preset.id: preset for preset in load_catalogue().presets}


def test_what_is_stated_was_asked_and_the_rest_is_default():
    made = complete(
        Scenario(hardware=Hardware(memory_bytes=1), constraints=(LossLimit(limit=0.02),)), PRESETS
    )
    origins = {row.key: row.origin for row in made.effective()}
    assert origins["hardware"] is Origin.ASKED
    assert origins["loss"] is Origin.ASKED
    assert origins["workload.input_tokens"] is Origin.DEFAULT
    assert complete(made, PRESETS) == made


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.id)
def test_a_preset_fills_in_what_is_not_stated(preset):
    made = complete(Scenario(preset=preset.id), PRESETS)
    assert made.workload == preset.workload
    assert made.objective is preset.objective
    assert made.constraints == preset.constraints
    assert all(made.origin(constraint.key) is Origin.PRESET for constraint in preset.constraints)


def test_what_is_stated_overrides_a_preset():
    loss = LossLimit(limit=0.5)
    asked = Scenario(
        preset="high-stakes",
        workload=Workload(concurrency=9),
        objective=Objective.SMALLEST,
        constraints=(loss,),
    )
    made = complete(asked, PRESETS)
    assert made.workload.concurrency == 9
    assert made.objective is Objective.SMALLEST
    assert [c for c in made.constraints if c.key == "loss"] == [loss]


def test_an_unknown_preset_is_named():
    with pytest.raises(InvalidInput, match="preset: `nope` is unknown") as caught:
        complete(msgspec.convert({"preset": "nope"}, Scenario), PRESETS)
    assert "high-stakes" in str(caught.value)
