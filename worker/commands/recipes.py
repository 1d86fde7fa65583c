"""`worker recipes`: what can be built."""

from __future__ import annotations

from typing import Any

import msgspec
import rich_click as click

from worker.commands.options import json_option
from worker.commands.show import print_json
from worker.recipes import RECIPES, Recipe


@click.command("recipes")
@json_option
def command(*, as_json: bool) -> None:
    """List the recipes, their settings with defaults, and what building and running them needs of a machine."""
    rows = [_row(name, kind) for name, kind in RECIPES.items()]
    if as_json:
        print_json(rows)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("recipe", "scheme", "settings", "builds with", "runs with", "what"):
        table.add_column(column, overflow="fold")
    for row in rows:
        values = ", ".join(f"{key}={value}" for key, value in row["settings"].items())
        building = ", ".join([*row["requires"], *(["text"] if row["needs_text"] else [])])
        table.add_row(row["recipe"], row["scheme"], values, building, ", ".join(row["needs"]), row["title"])
    Console().print(table)


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
