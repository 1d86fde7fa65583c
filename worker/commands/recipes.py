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
    """List the recipes, their settings with defaults, and what they require of the machine."""
    rows = [_row(name, kind) for name, kind in RECIPES.items()]
    if as_json:
        print_json(rows)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("recipe", "scheme", "settings", "requires", "what"):
        table.add_column(column, overflow="fold")
    for row in rows:
        values = ", ".join(f"{key}={value}" for key, value in row["settings"].items())
        table.add_row(row["recipe"], row["scheme"], values, ", ".join(row["requires"]), row["title"])
    Console().print(table)


def _row(name: str, kind: type[Recipe]) -> dict[str, Any]:
    recipe = kind()
    return {
        "recipe": name,
        "title": kind.title,
        "scheme": recipe.scheme.name,
        "settings": msgspec.structs.asdict(recipe),
        "requires": list(kind.requires),
    }
