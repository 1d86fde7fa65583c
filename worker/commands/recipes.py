"""`worker recipes`: what can be built."""

from __future__ import annotations

from typing import Any

import msgspec
import rich_click as click
from rich.console import Console
from rich.table import Table

from worker.commands.options import json_option
from worker.commands.show import print_json
from worker.recipes import RECIPES, Recipe, allowed_values, find_recipe


@click.command("recipes")
@click.argument("name", required=False)
@json_option
def command(*, name: str | None, as_json: bool) -> None:
    """List the recipes and what they need of a machine; with NAME, show one with its settings and their defaults."""
    name = None if name is None else find_recipe(name)
    rows = [_row(key, kind) for key, kind in RECIPES.items() if name in {None, key}]
    if as_json:
        print_json(rows if name is None else rows[0])
        return
    if name is None:
        _print_list(rows)
    else:
        _print_one(rows[0])


def _print_list(rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("recipe", no_wrap=True)
    table.add_column("what", overflow="fold")
    table.add_column("needs", overflow="fold")
    for row in rows:
        table.add_row(row["recipe"], row["title"], ", ".join(_needs(row)))
    console = Console()
    console.print(table)
    console.print("`worker recipes NAME` shows the settings of one.", style="dim", highlight=False)


def _print_one(row: dict[str, Any]) -> None:
    console = Console()
    console.print(f"[bold]{row['recipe']}[/bold]: {row['title']}", highlight=False)
    console.print(
        f"scheme {row['scheme']}, about {row['stored_bits']:.3g} stored bits a weight", highlight=False
    )
    console.print(f"building needs {', '.join(row['requires']) or 'nothing special'}", highlight=False)
    console.print(f"running needs {', '.join(row['needs']) or 'nothing special'}", highlight=False)
    if row["needs_text"]:
        console.print("calibrates or trains on text (--data)")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("setting", "default", "allowed"):
        table.add_column(column)
    allowed = allowed_values(row["recipe"])
    for key, value in row["settings"].items():
        shown = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        table.add_row(key, shown, allowed[key])
    console.print(table if row["settings"] else "no settings")


def _needs(row: dict[str, Any]) -> list[str]:
    """Return what building and running need, each once."""
    words = [*row["requires"], *row["needs"], *(["text"] if row["needs_text"] else [])]
    return list(dict.fromkeys(words))


def _row(name: str, kind: type[Recipe]) -> dict[str, Any]:
    recipe = kind()
    return {
        "recipe": name,
        "title": kind.title,
        "scheme": recipe.scheme.name,
        "settings": msgspec.structs.asdict(recipe),
        "requires": list(kind.requires),
        "needs": list(recipe.needs),
        "needs_text": kind.needs_text,
        "stored_bits": recipe.stored_bits,
    }
