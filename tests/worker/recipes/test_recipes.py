from __future__ import annotations

import msgspec
import pytest

from planner.domain.scheme import NumberFormat
from planner.errors import InvalidInput, NotFound
from worker.recipes import RECIPES, AnyRecipe, canonical_json, parse_recipe, recipe_digest, recipe_name

pytestmark = pytest.mark.worker


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_defaults_a_title_and_a_round_trip(name):
    recipe = parse_recipe(name)
    assert recipe_name(recipe) == name
    assert RECIPES[name].title
    assert recipe.variant_name
    assert msgspec.json.decode(canonical_json(recipe), type=AnyRecipe) == recipe


def test_names_may_be_written_with_hyphens():
    assert parse_recipe("INT8-weight-only") == parse_recipe("int8_weight_only")


def test_the_digest_is_of_the_whole_configuration():
    assert recipe_digest(parse_recipe("intx_weight_only")) == recipe_digest(
        parse_recipe("intx_weight_only", {"bits": 4, "group_size": 32})
    )
    digests = {recipe_digest(parse_recipe("intx_weight_only", {"bits": bits})) for bits in (2, 3, 4)}
    assert len(digests) == 3


def test_settings_may_be_text():
    recipe = parse_recipe("intx_weight_only", {"bits": "3", "group_size": "64", "symmetric": "false"})
    assert recipe.scheme.weight.format is NumberFormat.INT3
    assert recipe.scheme.weight.group_size == 64
    assert not recipe.scheme.weight.symmetric


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(NotFound) as caught:
        parse_recipe("int8_weight")
    assert "int8_weight_only" in caught.value.details["nearest"]


@pytest.mark.parametrize(
    ("name", "settings", "field"),
    [
        ("bf16", {"bits": 4}, "recipe.bits"),
        ("intx_weight_only", {"bits": 7}, "recipe.bits"),
        ("intx_weight_only", {"group_size": 33}, "recipe.group_size"),
        ("int8_weight_only", {"group_size": 1}, "recipe.group_size"),
        ("int4_tile_packed", {"group_size": 16}, "recipe.group_size"),
        ("int8_dynamic", {"symmetric": "perhaps"}, "recipe.symmetric"),
    ],
)
def test_a_wrong_setting_is_named(name, settings, field):
    with pytest.raises(InvalidInput) as caught:
        parse_recipe(name, settings)
    assert caught.value.details["field"] == field


def test_a_width_that_is_no_multiple_of_the_group_is_refused_with_the_reason():
    recipe = parse_recipe("intx_weight_only", {"group_size": 64})
    assert recipe.refusal(128, 10) is None
    assert "96 is not a multiple of the group size 64" in str(recipe.refusal(96, 10))
