"""`worker train-reference` and `worker freeze-evaluation`: the commands that make the reference model and its text."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import msgspec
import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

DEFAULT_BATCH = 64


@click.command("train-reference")
@click.option(
    "--size",
    type=click.Choice(["small", "large"]),
    default="small",
    show_default=True,
    help="Named shape with its learning rate: small ships with the package, large has 107M parameters and wants a GPU. "
    "The options below override it one by one.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Directory for the model's files."
)
@click.option("--overwrite", is_flag=True, help="Replace the files of a model that is already there.")
@click.option(
    "--root",
    "roots",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    help="Directory of Python source; repeatable. Default: the running interpreter's library and packages.",
)
@click.option(
    "--seconds",
    type=float,
    default=None,
    help="Time budget of training; 300 (small) or 240 (large) if --steps is not given.",
)
@click.option("--steps", type=int, default=None, help="Step budget; with --seconds, whichever ends first.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--compile/--no-compile", "compiled", default=False, help="Compile the training step (CUDA).")
@click.option(
    "--seed", type=int, default=20, show_default=True, help="Seed of split, order and initial weights."
)
@click.option("--sequence", type=int, help="Tokens of one training sequence, and the model's context.")
@click.option("--batch", type=int, default=DEFAULT_BATCH, show_default=True, help="Sequences of one step.")
@click.option("--learning-rate", type=float, help="Peak learning rate.")
@click.option(
    "--held-out-share", type=float, default=0.02, show_default=True, help="Share of files held out."
)
@click.option("--vocabulary", type=int, help="Tokens of the tokenizer.")
@click.option("--hidden", type=int, help="Hidden width.")
@click.option("--intermediate", type=int, help="Width of the MLP.")
@click.option("--layers", type=int, help="Decoder layers.")
@click.option("--heads", type=int, help="Query heads.")
@click.option("--kv-heads", type=int, help="Key-value heads, a divisor of --heads.")
def train_command(
    *,
    size: str,
    out: Path,
    overwrite: bool,
    roots: tuple[Path, ...],
    seconds: float | None,
    steps: int | None,
    device: str,
    compiled: bool,
    seed: int,
    sequence: int | None,
    batch: int,
    learning_rate: float | None,
    held_out_share: float,
    **dimensions: int | None,
) -> None:
    """Train a reference model on the Python source of this machine, with nothing downloaded.

    Writes config, BF16 weights, tokenizer and a model card, checks that they load back as trained, and prints the
    perplexity on held-out files and on the project's frozen text.
    """
    from worker.reference.make import CorpusSettings, make
    from worker.reference.sizes import preset
    from worker.reference.train import resolve_device

    chosen = preset(
        size, device=resolve_device(device), seconds=seconds, steps=steps, seed=seed, compiled=compiled
    )
    shape = msgspec.structs.replace(
        chosen.shape, **{name: value for name, value in dimensions.items() if value is not None}
    )
    settings = msgspec.structs.replace(chosen.settings, batch=batch)
    if sequence is not None:
        shape = msgspec.structs.replace(shape, context=sequence)
        settings = msgspec.structs.replace(settings, sequence=sequence)
    if learning_rate is not None:
        settings = msgspec.structs.replace(settings, learning_rate=learning_rate)
    console = Console()
    with _Stages(console) as stages:
        facts = make(
            out,
            shape=shape,
            source=CorpusSettings(roots=roots, held_out_share=held_out_share),
            settings=settings,
            max_stored_bytes=chosen.max_stored_bytes,
            report=stages,
            overwrite=overwrite,
        )
    console.print(
        f"[bold]{out}[/]: {facts.shape.parameters:,} parameters, {facts.run.tokens_seen / 1e6:.1f}M tokens in "
        f"{facts.run.seconds:.0f} s on {facts.device} ({facts.run.tokens_per_second:,.0f} tokens/s); perplexity "
        f"[bold]{facts.held_out_perplexity:.3f}[/] held out, {facts.frozen_perplexity:.3f} on the frozen text "
        f"(token frequencies alone: {facts.unigram_perplexity:.1f})"
    )


@click.command("freeze-evaluation")
@click.option(
    "--root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=".",
    show_default=True,
    help="The project's source tree.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Directory for evaluation.jsonl and evaluation.sha256; default: worker/reference below the root.",
)
@click.option("--documents", type=int, default=None, help="How many documents at most; default 96.")
def freeze_command(*, root: Path, out: Path | None, documents: int | None) -> None:
    """Freeze the evaluation text from the project's own Python source and record its sha256.

    The same tree always gives the same bytes. Figures measured on the former text stay comparable only among
    themselves: every evaluation names the sha256 of its text.
    """
    from worker.reference.freeze import DEFAULT_DOCUMENTS, freeze

    count, size, digest = freeze(
        root,
        out or root / "worker" / "reference",
        documents=DEFAULT_DOCUMENTS if documents is None else documents,
    )
    Console().print(f"{count} documents, {size / 1e3:.1f} kB, sha256 {digest}", highlight=False)


@click.command("freeze-tasks")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="worker/reference/task_files",
    show_default=True,
    help="Directory for the task files and tasks.sha256.",
)
def tasks_command(*, out: Path) -> None:
    """Make the two tasks of the reference model from the frozen evaluation text, and record their sha256.

    The same text always gives the same bytes.
    """
    from worker.reference.tasks import freeze_tasks

    for name, (items, digest) in freeze_tasks(out).items():
        Console().print(f"{name}: {items} items, sha256 {digest}", highlight=False)


class _Stages:
    """Shows each stage as a bar on a terminal, and as occasional lines in a log."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<16}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._logged: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def __call__(self, stage: str, share: float, note: str) -> None:
        if self._console.is_terminal:
            if stage not in self._tasks:
                self._tasks[stage] = self._progress.add_task(stage, total=1.0, note=note)
            self._progress.update(self._tasks[stage], completed=share, note=note)
        elif share >= 1.0 or share - self._logged.get(stage, -1.0) >= 0.05:
            self._logged[stage] = share
            self._console.print(f"{stage} {share:.0%} {note}", highlight=False, soft_wrap=True)
