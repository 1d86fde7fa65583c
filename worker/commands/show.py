"""How verbs show themselves: a progress bar on standard error, results as tables or JSON on standard output."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from planner.domain.evaluation import Evaluation
from planner.domain.profile import Distribution, Profile
from planner.domain.units import format_bytes, format_ratio, format_seconds
from planner.domain.variant import Provenance
from worker.commands.show_evaluation import show_evaluations
from worker.jobs import BuildResult, EvaluateResult, MeasureResult, Result
from worker.progress import Report
from worker.submit import Submitted


def print_json(content: Any) -> None:
    """Write JSON and a newline to standard output."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(content)).decode() + "\n")
    sys.stdout.flush()


@contextmanager
def progress_bar(title: str) -> Generator[Report]:
    """Show a bar while the block runs; where standard error is no terminal, a line at every new tenth."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console, title)
        return
    columns = (
        TextColumn("[bold]{task.fields[title]}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=1.0, title=title)
        yield lambda share, message: progress.update(task, completed=share, description=message)


class _Lines:
    def __init__(self, console: Console, title: str) -> None:
        self._console, self._title, self._tenth = console, title, -1

    def __call__(self, share: float, message: str) -> None:
        if int(share * 10) > self._tenth:
            self._tenth = int(share * 10)
            self._console.print(f"{self._title} {share:4.0%} {message}", highlight=False, markup=False)


def show_result(result: Result) -> None:
    """Print one result as a table."""
    console = Console()
    match result:
        case BuildResult():
            console.print(_build_table(result))
        case MeasureResult():
            console.print(_profile_table(result.profile))
            _print_notes(console, result.profile)
        case EvaluateResult():
            show_evaluations(console, result)


def show_submitted(items: list[Submitted]) -> None:
    """Print what was handed in."""
    for item in items:
        ending = "registered" if item.created else "was registered already"
        if item.others:
            ending += f", with {len(item.others)} more of the same result"
        if item.left_out is not None:
            ending = f"left out: {item.left_out}"
        Console().print(f"{item.kind} {item.id} {ending}", highlight=False, markup=False)


def _rows(title: str, rows: list[tuple[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _costs(provenance: Provenance) -> str:
    seconds, peak = provenance.build_seconds or 0, provenance.build_peak_bytes or 0
    return f"{format_seconds(seconds)}, peak {format_bytes(peak)}"


def _build_table(result: BuildResult) -> Table:
    coverage = result.coverage
    kept = [f"{len(skipped.layers)} kept: {skipped.reason}" for skipped in coverage.skipped]
    return _rows(
        f"{result.model}/{result.name}",
        [
            ("variant", result.variant_id),
            ("scheme", result.scheme.name),
            (
                "weights",
                f"{format_bytes(result.weights.total_bytes)}, {result.weights.effective_bits:.2f} bits per parameter",
            ),
            (
                "layers",
                "; ".join([f"{coverage.quantized_layers} of {coverage.linear_layers} quantized", *kept]),
            ),
            ("stored as", ", ".join(f"{count} {name}" for name, count in coverage.by_type.items())),
            (
                "reload",
                "bit-equal" if result.reload.bit_equal else f"within {result.reload.largest_difference:.3g}",
            ),
            (
                "built in",
                _costs(result.provenance),
            ),
        ],
    )


def _median(samples: Distribution | None) -> str:
    if samples is None or samples.p50 is None:
        return "–"
    interval = samples.p50_interval
    half = "" if interval is None else f" ±{(interval.hi - interval.lo) / 2 / samples.p50:.0%}"
    return format_seconds(samples.p50) + half


def _profile_table(profile: Profile) -> Table:
    table = Table(
        title=f"{profile.device_id}, {profile.runtime}", title_justify="left", box=None, padding=(0, 2, 0, 0)
    )
    for name in ("in", "out", "requests", "TTFT p50", "TPOT p50", "ITL p99", "tokens/s", "peak", "repeats"):
        table.add_column(name, justify="right")
    for point in profile.points:
        memory, tail, rate = point.memory, point.itl_seconds, point.output_tokens_per_second
        peak = (
            memory.peak_allocated_bytes if memory.peak_allocated_bytes is not None else memory.peak_rss_bytes
        )
        table.add_row(
            str(point.workload.input_tokens),
            str(point.workload.output_tokens),
            str(point.workload.concurrency),
            _median(point.ttft_seconds),
            _median(point.tpot_seconds),
            format_seconds(tail.p99) if tail is not None and tail.p99 is not None else "–",
            f"{rate.p50:.0f}" if rate is not None and rate.p50 is not None else "–",
            format_bytes(peak) if peak is not None else "–",
            str(point.ttft_seconds.samples if point.ttft_seconds else 0),
        )
    return table


def _print_notes(console: Console, profile: Profile) -> None:
    if profile.kernel:
        console.print(f"kernel: {profile.kernel}", highlight=False, markup=False)
    for left in profile.not_measured:
        reason = left.reason.replace("_", " ")
        console.print(
            f"not measured: {left.workload}: {reason}: {left.detail}", highlight=False, markup=False
        )
    for point in profile.points:
        if point.stability is not None and not point.stability.is_stable:
            console.print(
                f"unstable: {point.workload}: {point.stability.reason}", highlight=False, markup=False
            )
    if profile.doubt:
        console.print(f"doubt: {profile.doubt}", style="yellow", highlight=False, markup=False)


def loss_text(evaluation: Evaluation) -> str:
    """Return the relative loss in short, signed."""
    return format_ratio(evaluation.relative_loss.value, signed=True)
