from __future__ import annotations

import pytest

from planner.errors import InvalidInput, NotFound
from tests.worker.campaign.conftest import STEPS, campaign_of
from worker.campaign.specification import (
    RecipeStep,
    ShapeStep,
    TrainStep,
    built_in,
    find_campaign,
    read_campaign,
)

pytestmark = pytest.mark.worker
TRAIN = '[[steps]]\nkind = "train"\nname = "mine"\n'


def test_steps_are_read_in_order_with_their_defaults():
    campaign = campaign_of(
        STEPS + TRAIN + '[[steps]]\nkind = "recipe"\nmodel = "trained:mine"\nrecipes = ["bf16"]\n'
    )
    shape, train, recipe = campaign.steps
    assert isinstance(shape, ShapeStep)
    assert shape.models == ("tiny",)
    assert shape.kernels == "auto"
    assert isinstance(train, TrainStep)
    assert (train.size, train.seconds) == ("large", 240.0)
    assert isinstance(recipe, RecipeStep)
    assert not recipe.keep_files
    assert campaign.machine.start_seconds == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps = 1", r"steps"),
        ("", "campaign.steps: is missing"),
        ("steps = []", "campaign.steps: are 0"),
        ("[[steps]]\nkind = 'dance'", "dance"),
        ("[[steps]]\nkind = 'train'\nname = 'x'\nsecond = 3", "second"),
        ("[[steps]]\nkind = 'train'\nname = '../x'", r"steps\[1\]\.name: `\.\./x` is not allowed"),
        ("[[steps]]\nkind = 'train'\nname = 'x'\nseconds = 0", r"steps\[1\]\.seconds"),
        (TRAIN + TRAIN, r"steps\[2\]\.name: `mine` is taken"),
        ("[[steps]]\nkind = 'recipe'\nmodel = 'trained:x'\nrecipes = ['bf16']", "no train step before it"),
        ("[[steps]]\nkind = 'recipe'\nmodel = 'reference'\nrecipes = ['bf17']", "no recipe `bf17`"),
        ("[[steps]]\nkind = 'recipe'\nmodel = 'reference'\nrecipes = []", "at least one"),
        (
            "[[steps]]\nkind = 'recipe'\nmodel = 'reference'\nrecipes = [{recipe = 'intx_weight_only', bits = 9}]",
            "recipe.bits: 9 is not allowed",
        ),
        (STEPS.replace("[2, 1]", "[]"), r"steps\[1\]\.batches: are empty"),
        (STEPS.replace("[2, 1]", "['a']"), r"batches"),
        (STEPS.replace("least = 2", "least = 0"), r"repetition\.least: 0 is out of range"),
        (STEPS.replace("start_seconds = 5", "flops = 0"), r"machine\.flops: is 0"),
        ("[[steps]\n", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named(text, message):
    with pytest.raises(InvalidInput, match=message):
        campaign_of(text)


def test_a_campaign_is_a_file_or_the_name_of_one_that_ships(tmp_path, write_campaign):
    path = write_campaign(STEPS)
    assert find_campaign(str(path)) == path
    assert find_campaign("reference-small") == built_in()["reference-small"]
    with pytest.raises(NotFound, match="reference-small"):
        find_campaign("nothing")
    path.write_bytes(b"#" * 1_000_001)
    with pytest.raises(InvalidInput, match="larger than"):
        read_campaign(path)
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_campaign(tmp_path / "absent")


@pytest.mark.parametrize("name", sorted(built_in()))
def test_what_ships_is_valid_and_can_be_planned(name):
    from planner.catalogue import load_catalogue
    from worker.campaign.units import units_of

    campaign = read_campaign(built_in()[name])
    assert campaign.name == name
    units = units_of(campaign, load_catalogue())
    assert len({unit.folder for unit in units}) == len(units)
    assert all(unit.estimate_seconds < 540 for unit in units)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[[steps]]\nkind = 'train'\nname = 'x'\nsecond = 3",
            (
                "campaign.steps[1].second: is no field here; did you mean `seconds`?; allowed: kind, estimate_seconds, name, size, "
                "seconds, steps, batch, seed, compile, device, roots"
            ),
        ),
        (
            "[[steps]]\nkind = 'dance'",
            "campaign.steps[1].kind: `dance` is not allowed; allowed: shape, recipe, train",
        ),
        ("[[steps]]\nkind = 'shapes'", "did you mean `shape`?"),
        ("[[steps]]\nname = 'x'", "campaign.steps[1].kind: is missing; allowed: shape, recipe, train"),
        (
            "[[steps]]\nkind = 'train'\nname = 'x'\n[[steps]]\nkind = 'recipe'\nrecipes = ['bf16']",
            "campaign.steps[2].model: is missing; allowed: text",
        ),
        (
            "[[steps]]\nkind = 'train'\nname = 'x'\nsize = 'huge'",
            "campaign.steps[1].size: is wrong: invalid enum value 'huge'; allowed: small, large",
        ),
        (
            "[[steps]]\nkind = 'train'\nname = 'x'\nseed = 'a'",
            "campaign.steps[1].seed: is wrong: expected `int`, got `str`; allowed: a whole number",
        ),
        (
            "[[steps]]\nkind = 'recipe'\nmodel = 'reference'\nrecipes = 'bf16'",
            "campaign.steps[1].recipes: is wrong: expected a list, got `str`; allowed: a list, each a table or text",
        ),
        (
            "[[steps]]\nkind = 'recipe'\nmodel = 'reference'\nrecipes = [{recipe = 'int8_static', smoothness = 1}]",
            "did you mean `smoothing`?",
        ),
        (
            "[[steps]]\nkind = 'recipe'\nmodel = 'reference'\nrecipes = [{recipe = 'int8_statc'}]",
            "`int8_statc` is not allowed; did you mean `int8_static`?",
        ),
        (
            "[[steps]]\nkind = 'shape'\nmodels = ['m']\nrecipes = ['bf16']\nrepetition = {leest = 2}",
            "campaign.steps[1].repetition.leest: is no field here; did you mean `least`?",
        ),
        (
            "[machine]\nflop = 1\n[[steps]]\nkind = 'train'\nname = 'x'",
            "campaign.machine.flop: is no field here",
        ),
        ("speed = 1", "campaign.speed: is no field here; allowed: name, description, steps, machine"),
    ],
)
def test_an_error_names_the_field_what_is_allowed_and_the_nearest_name(text, message):
    with pytest.raises(InvalidInput) as caught:
        campaign_of(text)
    assert message in str(caught.value)
    assert caught.value.details["field"].startswith("campaign")
