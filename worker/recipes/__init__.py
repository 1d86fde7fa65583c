"""Recipes: how variants are built. One module per method; a new one is a new module and one line in `AnyRecipe`."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final, get_args

import msgspec

from planner.errors import InvalidInput, NotFound
from worker.recipes.autoround import Autoround
from worker.recipes.bf16 import Bf16
from worker.recipes.distillation import Distillation
from worker.recipes.fp8_dynamic import Fp8Dynamic
from worker.recipes.fp8_static import Fp8Static
from worker.recipes.fp8_weight_only import Fp8WeightOnly
from worker.recipes.fp32 import Fp32
from worker.recipes.gguf import Gguf
from worker.recipes.int4_packed import Int4Packed
from worker.recipes.int4_tile_packed import Int4TilePacked
from worker.recipes.int8_dynamic import Int8Dynamic
from worker.recipes.int8_static import Int8Static
from worker.recipes.int8_weight_only import Int8WeightOnly
from worker.recipes.intx_weight_only import IntxWeightOnly
from worker.recipes.kv_cache import KvCache
from worker.recipes.mixed import Mixed
from worker.recipes.nf4 import Nf4
from worker.recipes.qat import Qat
from worker.recipes.recipe import (
    Ingredients,
    Recipe,
    canonical_json,
    recipe_digest,
    recipe_name,
    recipe_settings,
)
from worker.recipes.topk_attention import TopkAttention

AnyRecipe = (
    Fp32
    | Bf16
    | Int8WeightOnly
    | Int8Dynamic
    | IntxWeightOnly
    | Int4TilePacked
    | Int4Packed
    | Mixed
    | Qat
    | Distillation
    | TopkAttention
    | KvCache
    | Int8Static
    | Fp8WeightOnly
    | Fp8Dynamic
    | Fp8Static
    | Nf4
    | Gguf
    | Autoround
)  # fmt: skip
"""Every registered recipe, told apart by its tag in the field `recipe`."""

RECIPES: Final[Mapping[str, type[Recipe]]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(AnyRecipe)
}

__all__ = [
    "RECIPES",
    "AnyRecipe",
    "Ingredients",
    "Recipe",
    "allowed_values",
    "canonical_json",
    "find_recipe",
    "parse_recipe",
    "recipe_digest",
    "recipe_name",
    "recipe_settings",
]


def find_recipe(name: str) -> str:
    """Return the registered name that `name` stands for, which may have hyphens. Raises NotFound."""
    key = name.strip().lower().replace("-", "_")
    if key not in RECIPES:
        raise NotFound(
            "recipe", name, nearest=tuple(get_close_matches(key, RECIPES, n=3, cutoff=0.4)) or tuple(RECIPES)
        )
    return key


def parse_recipe(name: str, settings: Mapping[str, Any] | None = None) -> AnyRecipe:
    """Return the recipe called `name` with `settings` over its defaults.

    Numbers and booleans may come as text, as from a command line. Raises NotFound for an unknown name, InvalidInput for
    an unknown or wrong setting.
    """
    key = find_recipe(name)
    fields = [field.name for field in msgspec.structs.fields(RECIPES[key])]
    for setting in settings or {}:
        if setting not in fields:
            raise InvalidInput(
                f"recipe.{setting}", f"is no setting of `{key}`", allowed=", ".join(fields) or "no settings"
            )
    try:
        recipe: AnyRecipe = msgspec.convert({"recipe": key, **(settings or {})}, AnyRecipe, strict=False)
    except msgspec.ValidationError as error:
        cause = error.__cause__
        if isinstance(cause, InvalidInput):
            raise cause from None
        raise _wrong_setting(key, settings or {}, str(error)) from None
    return recipe


def _wrong_setting(recipe: str, settings: Mapping[str, Any], problem: str) -> InvalidInput:
    """Return the error that names the setting, what it was and what it may be."""
    _, _, name = problem.rpartition("$.")
    name = name.removesuffix("`")
    if name not in settings:
        return InvalidInput("recipe", problem)
    return InvalidInput(
        f"recipe.{name}", f"`{settings[name]}` is not allowed", allowed=allowed_values(recipe)[name]
    )


def allowed_values(recipe: str) -> dict[str, str]:
    """Return what each setting of a registered recipe may be, in words, as far as its type says."""
    return {
        field.name: _allowed(field.type)
        for field in msgspec.structs.fields(RECIPES[recipe])
        if field.name != "recipe"
    }


def _allowed(kind: Any) -> str:
    words = {int: "a whole number", float: "a number", bool: "true, false", str: "text", type(None): "null"}
    if kind in words:
        return words[kind]
    return ", ".join(part if isinstance(part, str) else _allowed(part) for part in get_args(kind))
