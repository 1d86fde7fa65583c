"""`worker demo`: the reference model's variants, built, measured and evaluated."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import rich_click as click
from rich.console import Console
from rich.table import Table

from planner.domain.units import format_bytes, format_seconds
from worker.commands.execute import stop_on_signal
from worker.commands.options import json_option, prepare_folder, threads_option
from worker.commands.show import loss_text, print_json, progress_bar
from worker.demo import DOCUMENTS, Finished, run_demo
from worker.failure import JobStopped
from worker.jobs import BuildResult, EvaluateResult, MeasureResult


@click.command("demo")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Empty folder for the results.",
)
@click.option("--documents", type=int, default=DOCUMENTS, show_default=True, help="Documents to evaluate on.")
@click.option("--device", default="cpu", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--json-progress",
    is_flag=True,
    help="Print progress and finished results as JSON Lines on standard output.",
)
@threads_option
@json_option
def command(
    *,
    out: Path,
    documents: int,
    device: str,
    json_progress: bool,
    threads: int | None,
    as_json: bool,
) -> None:
    """Build, measure and evaluate variants of the reference model on this machine, about a minute on two cores.

    Every result is a folder with `result.json` that `worker submit` or `planner submit` registers.
    """
    prepare_folder(out, field="out")
    started = time.monotonic()
    finished: list[Finished] = []
    with stop_on_signal() as stop:
        try:
            if json_progress:
                run = run_demo(
                    out, documents=documents, device=device, threads=threads, stop=stop, report=_progress_line
                )
                for item in run:
                    finished.append(item)
                    _line("result", recipe=item.recipe, kind=_kind(item), directory=str(item.folder))
                _line("done", seconds=round(time.monotonic() - started, 3), results=len(finished))
                return
            with progress_bar("demo") as report:
                finished.extend(
                    run_demo(
                        out, documents=documents, device=device, threads=threads, stop=stop, report=report
                    )
                )
        except JobStopped:
            raise KeyboardInterrupt from None
    if as_json:
        print_json([_summary(recipe, items) for recipe, items in _by_recipe(finished).items()])
    else:
        _show(finished, time.monotonic() - started)


def _line(event: str, **content: Any) -> None:
    sys.stdout.write(msgspec.json.encode({"event": event, **content}).decode() + "\n")
    sys.stdout.flush()


def _progress_line(share: float, message: str) -> None:
    _line("progress", share=round(share, 4), message=message)


def _kind(item: Finished) -> str:
    return str(item.result.__struct_config__.tag)


def _by_recipe(finished: list[Finished]) -> dict[str, list[Finished]]:
    found: dict[str, list[Finished]] = {}
    for item in finished:
        found.setdefault(item.recipe, []).append(item)
    return found


def _summary(recipe: str, items: list[Finished]) -> dict[str, Any]:
    return {"recipe": recipe, **{_kind(item): item.result for item in items}}


def _show(finished: list[Finished], seconds: float) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("variant", "bits", "weights", "TTFT p50", "TPOT p50", "peak", "perplexity", "loss", "top-1"):
        table.add_column(name, justify="left" if name == "variant" else "right", no_wrap=True)
    doubts: dict[str, None] = {}
    for items in _by_recipe(finished).values():
        cells: list[str] = []
        for item in items:
            match item.result:
                case BuildResult() as build:
                    weights = build.weights
                    cells += [build.name, f"{weights.effective_bits:.2f}", format_bytes(weights.total_bytes)]
                case MeasureResult() as measured:
                    point = measured.profile.points[0]
                    for samples in (point.ttft_seconds, point.tpot_seconds):
                        cells.append(
                            "–" if samples is None or samples.p50 is None else format_seconds(samples.p50)
                        )
                    memory = point.memory
                    cells.append(format_bytes(memory.peak_allocated_bytes or memory.peak_rss_bytes or 0))
                    if measured.profile.doubt:
                        doubts[measured.profile.doubt] = None
                case EvaluateResult() as evaluated:
                    evaluation = evaluated.evaluation
                    agreement = evaluation.fidelity.top1_agreement if evaluation.fidelity else None
                    cells += [f"{evaluation.variant_score:.4f}", loss_text(evaluation), str(agreement or "–")]
        table.add_row(*cells)
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(table)
    for doubt in doubts:
        console.print(f"doubt: {doubt}", style="yellow", highlight=False, markup=False)
    console.print(f"{len(finished)} results in {seconds:.0f} s", highlight=False)
