"""The server's table of recipes against the recipes of the worker."""

from __future__ import annotations

import pytest

from planner.choose.recipes import LEFT_OUT, RECIPES, KnownRecipe

pytest.importorskip("torchao")


@pytest.mark.worker
@pytest.mark.parametrize("known", RECIPES, ids=lambda known: known.variant_name)
def test_a_known_recipe_is_what_the_worker_builds(known: KnownRecipe) -> None:
    from worker.recipes import parse_recipe, recipe_name

    recipe = parse_recipe(known.recipe, known.settings)
    assert recipe_name(recipe) == known.recipe
    assert recipe.scheme == known.scheme
    assert recipe.variant_name == known.variant_name
    assert recipe.requires == known.requires
    assert recipe.needs == known.needs
    assert recipe.needs_text == known.needs_text
    assert recipe.stored_bits == (known.storage or known.scheme.weight).bits
    if known.group > 1 and known.recipe != "nf4":
        assert recipe.refusal(known.group * 8, known.group * 8) is None
        assert recipe.refusal(known.group * 8 + 8, known.group * 8) is not None


@pytest.mark.worker
def test_every_recipe_of_the_worker_is_known_or_left_out_with_a_reason() -> None:
    from worker.recipes import RECIPES as OWN

    assert {known.recipe for known in RECIPES} | set(LEFT_OUT) == set(OWN)
    assert {known.recipe for known in RECIPES} & set(LEFT_OUT) == set()
