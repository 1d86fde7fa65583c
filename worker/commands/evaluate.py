"""`worker evaluate`: loss and fidelity by hand."""

from __future__ import annotations

from pathlib import Path

import msgspec
import rich_click as click

from planner.domain.loss import CONFIDENCE
from planner.errors import InvalidInput
from worker.commands.execute import execute
from worker.commands.options import (
    dataset_source,
    device_option,
    json_option,
    model_source,
    server_options,
    threads_option,
)
from worker.evaluate.comparison import NOISE_ITEMS, Certify
from worker.evaluate.evaluation import DEFAULT_WINDOW
from worker.jobs import EvaluateSpec
from worker.reference.tasks import TASKS
from worker.sources import PathSource, ReferenceTask, TaskSource


@click.command("evaluate")
@click.argument("variant")
@click.option("--baseline", required=True, help="What to compare with: a folder, `reference` or a variant.")
@click.option(
    "--data",
    help='Text file, JSON Lines file of {"text": …}, or `reference`. Default: the reference text, or with tasks none.',
)
@click.option(
    "--task",
    "tasks",
    multiple=True,
    metavar="FILE",
    help=f"Task file of multiple choice or generation, {' or '.join(TASKS)}. Repeatable.",
)
@click.option(
    "--lm-eval",
    "harness",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="YAML file of an lm-eval task with local data. Its code runs: use only files you trust. Repeatable.",
)
@click.option("--limit", type=int, help="How many documents, and items of each task, from the beginning.")
@click.option(
    "--certify",
    type=float,
    help="Stop as soon as it is known whether the relative loss is at most this, such as 0.01.",
)
@click.option(
    "--confidence",
    type=float,
    default=CONFIDENCE,
    show_default=True,
    help="How sure --certify must be, wherever it stops.",
)
@click.option(
    "--noise-items",
    type=int,
    default=NOISE_ITEMS,
    show_default=True,
    help="On how many items to run the baseline against itself. 0: the noise floor stays unknown.",
)
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
    data: str | None,
    tasks: tuple[str, ...],
    harness: tuple[Path, ...],
    limit: int | None,
    certify: float | None,
    confidence: float,
    noise_items: int,
    window: int,
    out: Path | None,
    device: str,
    threads: int | None,
    server: str | None,
    hand_in: bool,
    as_json: bool,
) -> None:
    """Evaluate what VARIANT loses against its baseline on the same tokens and tasks.

    Perplexity is paired document by document, tasks item by item; divergence, top-1 agreement and flips come from the
    full logits. Every interval is at 90 %, so that each end is a one-sided 95 % bound. docs/evaluation.md describes
    task files and what the figures mean.
    """
    if noise_items < 0:
        raise InvalidInput("noise-items", f"{noise_items} is out of range", allowed="0 or more")
    spec = EvaluateSpec(
        variant=model_source(variant, server=server, field="variant"),
        baseline=model_source(baseline, server=server, field="baseline"),
        dataset=None if data is None else dataset_source(data),
        tasks=tuple(task_source(task) for task in tasks),
        lm_eval=tuple(PathSource(path=str(path)) for path in harness),
        limit=limit,
        certify=None if certify is None else Certify(limit=certify, confidence=confidence),
        noise_items=noise_items,
        window=window,
        device=device,
        threads=threads,
    )
    execute(spec, title="evaluate", out=out, server=server, hand_in=hand_in, as_json=as_json)


def task_source(text: str) -> TaskSource:
    """Return the task `text` names: one that ships with the worker, or a file. Raises InvalidInput."""
    if text in TASKS and not Path(text).exists():
        return msgspec.convert({"from": "reference", "task": text}, ReferenceTask)
    if not Path(text).expanduser().is_file():
        raise InvalidInput("task", f"`{text}` is not a file", allowed=f"a file, {' or '.join(TASKS)}")
    return PathSource(path=text)
