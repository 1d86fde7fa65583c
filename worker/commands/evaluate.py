"""`worker evaluate`: loss and fidelity by hand."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from worker.commands.execute import execute
from worker.commands.options import (
    REFERENCE,
    dataset_source,
    device_option,
    json_option,
    model_source,
    server_options,
    threads_option,
)
from worker.evaluate.evaluation import DEFAULT_WINDOW
from worker.jobs import EvaluateSpec


@click.command("evaluate")
@click.argument("variant")
@click.option("--baseline", required=True, help="What to compare with: a folder, `reference` or a variant.")
@click.option(
    "--data",
    default=REFERENCE,
    show_default=True,
    help='Text file, JSON Lines file of {"text": …}, or the reference evaluation text.',
)
@click.option("--limit", type=int, help="How many documents to use, from the beginning.")
@click.option(
    "--window",
    type=int,
    default=DEFAULT_WINDOW,
    show_default=True,
    help="Tokens of one forward pass at most.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to keep the result in.")
@device_option
@threads_option
@server_options
@json_option
def command(
    *,
    variant: str,
    baseline: str,
    data: str,
    limit: int | None,
    window: int,
    out: Path | None,
    device: str,
    threads: int | None,
    server: str | None,
    hand_in: bool,
    as_json: bool,
) -> None:
    """Evaluate what VARIANT loses against its baseline on the same tokens.

    Perplexity is paired document by document; divergence, top-1 agreement and flips come from the full logits. Every
    interval is at 90 %, so that each end is a one-sided 95 % bound.
    """
    spec = EvaluateSpec(
        variant=model_source(variant, server=server, field="variant"),
        baseline=model_source(baseline, server=server, field="baseline"),
        dataset=dataset_source(data),
        limit=limit,
        window=window,
        device=device,
        threads=threads,
    )
    execute(spec, title="evaluate", out=out, server=server, hand_in=hand_in, as_json=as_json)
