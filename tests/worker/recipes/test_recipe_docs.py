"""docs/recipes.md is made from the recipe classes, so that it cannot go stale."""

from __future__ import annotations

import ast
import inspect
import os
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest

from worker.recipes import RECIPES, Recipe

pytestmark = pytest.mark.worker

DOCUMENT = Path(__file__).parents[3] / "docs" / "recipes.md"
HEAD = """# Recipes

How variants are built. Made from the recipes themselves; after a change:
`PLANNER_WRITE_DOCS=1 pytest tests/worker/recipes/test_recipe_docs.py`.

Every recipe saves the variant, loads it again in another process, and compares the logits; a difference above the
recipe's tolerance fails the build. `worker build BASE --recipe NAME --set KEY=VALUE --out DIR` builds one by hand.

- *Builds with*: what the machine must have; `text` is calibration or training text (`--data`). `library:…` names an
  optional library; the extras `nf4` and `autoround` bring theirs.
- *Runs with*: what a machine needs to run the variant at the speed it is built for.
- *Bits* are those one quantized weight takes in the file with the default settings, group scales included.
"""


def setting_docs(kind: type[Recipe]) -> dict[str, str]:
    """Return the text under each field of the class and its bases, read from their source."""
    found: dict[str, str] = {}
    for cls in reversed(kind.__mro__):
        if not (isinstance(cls, type) and issubclass(cls, Recipe)):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                assert isinstance(field.target, ast.Name)
                assert isinstance(text.value, ast.Constant)
                found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def bits(recipe: Recipe) -> str:
    return f"{recipe.stored_bits:.4g}"


def words(values: tuple[str, ...]) -> str:
    return ", ".join(f"`{value}`" for value in values) or "anything"


def reference() -> str:
    rows = [
        "| recipe | what it does | settings | builds with | runs with | bits |",
        "|---|---|---|---|---|---|",
    ]
    sections: list[str] = []
    for name, kind in RECIPES.items():
        recipe = kind()
        settings = {f.name: getattr(recipe, f.name) for f in msgspec.structs.fields(kind)}
        shown = ", ".join(f"`{key}={_value(value)}`" for key, value in settings.items()) or "none"
        building = words((*kind.requires, *(("text",) if kind.needs_text else ())))
        rows.append(
            f"| [`{name}`](#{name}) | {kind.title} | {shown} | {building} | {words(recipe.needs)} | {bits(recipe)} |"
        )
        why = inspect.cleandoc(sys.modules[kind.__module__].__doc__ or "").split("\n\n")
        docs = setting_docs(kind)
        lines = [
            f"- `{key}` (default `{_value(value)}`): {docs[key]}"
            for key, value in settings.items()
            if key in docs
        ]
        sections += [f"## {name}", ""]
        for paragraph in why:
            sections += [" ".join(paragraph.split()), ""]
        sections += [*lines, ""] if lines else []
    return "\n".join([HEAD, *rows, "", *sections]).rstrip() + "\n"


def _value(value: object) -> str:
    return msgspec.json.encode(value).decode().strip('"')


def test_the_reference_of_recipes_is_current():
    expected = reference()
    if os.environ.get("PLANNER_WRITE_DOCS") == "1":
        DOCUMENT.write_text(expected, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == expected


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_says_why_it_exists(name):
    assert len((sys.modules[RECIPES[name].__module__].__doc__ or "").split()) > 8
