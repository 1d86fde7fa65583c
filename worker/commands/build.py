"""`worker build`: a variant by hand."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from worker.commands.execute import execute
from worker.commands.options import (
    STANDARD_LIBRARY,
    dataset_source,
    device_option,
    json_option,
    model_source,
    server_options,
    settings,
    threads_option,
)
from worker.jobs import BuildSpec
from worker.recipes import parse_recipe


@click.command("build")
@click.argument("base")
@click.option("--recipe", required=True, help="Name of the recipe; `worker recipes` lists them.")
@click.option(
    "--set", "pairs", multiple=True, metavar="KEY=VALUE", help="A setting of the recipe; repeatable."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for the result; the variant's files come into its subfolder `variant`.",
)
@click.option("--model", help="Model to register it under. Default: the base's model or folder name.")
@click.option("--name", help="Name of the variant. Default: the recipe's.")
@click.option(
    "--data",
    default=STANDARD_LIBRARY,
    show_default=True,
    help='What to calibrate or train on, where the recipe does: a text file, a JSON Lines file of {"text": …}, or the '
    "source of Python's standard library. Never use what you evaluate on.",
)
@click.option("--limit", type=int, help="How many documents of it to use, from the beginning.")
@device_option
@threads_option
@server_options
@json_option
def command(
    *,
    base: str,
    recipe: str,
    pairs: tuple[str, ...],
    out: Path,
    model: str | None,
    name: str | None,
    data: str,
    limit: int | None,
    device: str,
    threads: int | None,
    server: str | None,
    hand_in: bool,
    as_json: bool,
) -> None:
    """Build a variant of BASE: a folder of safetensors, `reference`, or with --server a variant it holds.

    The files are saved, loaded again in another process and compared with the model in memory; on any difference
    nothing is left behind.
    """
    spec = BuildSpec(
        base=model_source(base, server=server, field="base"),
        recipe=parse_recipe(recipe, settings(pairs)),
        model=model,
        name=name,
        dataset=dataset_source(data),
        limit=limit,
        device=device,
        threads=threads,
    )
    execute(spec, title=f"build {recipe}", out=out, server=server, hand_in=hand_in, as_json=as_json)
