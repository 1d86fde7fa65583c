"""`planner import`: result files of other tools, understood, judged by lints, and registered."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import rich_click as click
from rich.text import Text

from planner.cli.render.tables import listing
from planner.cli.session import Session, console, session_options
from planner.domain.evaluation import Evaluation
from planner.domain.profile import Distribution, Profile
from planner.domain.units import Unit, format_bytes, format_seconds, format_value
from planner.errors import EvidenceMissing, InvalidFile, InvalidInput
from planner.ingest.imported import Level
from planner.ingest.lints import TITLES
from planner.ingest.source import MAX_FILE_BYTES
from planner.wire.imports import ImportOptions, ImportReport, ResultFile

_OPTIONS: Final = frozenset(
    {
        "variant",
        "baseline",
        "baseline_file",
        "device",
        "runtime",
        "input_tokens",
        "output_tokens",
        "concurrency",
        "devices",
    }
)
_PATH: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_COUNT: Final = click.IntRange(1, 100_000_000)


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=_PATH, metavar="FILE...")
@click.option(
    "--variant",
    help="The variant the files are about: id, name or alias.  [asked for: never read from a name]",
)
@click.option(
    "--baseline-file",
    "baseline_files",
    multiple=True,
    type=_PATH,
    help="File of the baseline's run; may be repeated.",
)
@click.option("--baseline", help="The variant that the baseline's run was of.")
@click.option("--device", help="Device type, where the file names none that is registered.")
@click.option(
    "--runtime", help='Engine, version and mode, such as "vllm 0.33.0", where the file does not say.'
)
@click.option("--input-tokens", type=_COUNT, help="Prompt tokens of a request, where the file does not say.")
@click.option(
    "--output-tokens", type=_COUNT, help="Generated tokens of a request, where the file does not say."
)
@click.option("--concurrency", type=_COUNT, help="Requests at the same time, where the file does not say.")
@click.option("--devices", type=_COUNT, help="How many devices ran it together.")
@click.option("--dry-run", is_flag=True, help="Say what would be stored and change nothing.")
@session_options
def command(
    *,
    session: Session,
    files: tuple[Path, ...],
    baseline_files: tuple[Path, ...],
    variant: str | None,
    baseline: str | None,
    device: str | None,
    runtime: str | None,
    input_tokens: int | None,
    output_tokens: int | None,
    concurrency: int | None,
    devices: int | None,
    dry_run: bool,
) -> None:
    """Register result files of another tool; FILEs are those of one run.

    The format is recognised by content: lm-eval, vLLM bench, GuideLLM, llama-bench, llama-perplexity, optimum-benchmark,
    AIPerf, genai-perf, inference-perf, SGLang bench, MLPerf, and the start-up logs of vLLM and llama.cpp. What a file does
    not say is asked for. The files themselves are kept, and the evidence names their sha256. Exit code 4: the lints refused
    everything.
    """
    given = [load_result(path, of_baseline=False) for path in files]
    given += [load_result(path, of_baseline=True) for path in baseline_files]
    options = ImportOptions(
        variant=variant,
        baseline=baseline,
        device=device,
        runtime=runtime,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        concurrency=concurrency,
        devices=devices,
        dry_run=dry_run,
    )
    with session.service() as service:
        try:
            report = service.import_results(given, options)
        except InvalidInput as error:
            raise naming_option(error) from None
    if session.json:
        session.print_json(report)
    else:
        print_report(report)
    if not report.stored:
        raise EvidenceMissing("nothing was stored: the lints refused everything the files say")


def load_result(path: Path, *, of_baseline: bool) -> ResultFile:
    """Return a result file with its content. Raises InvalidFile for one that is too large."""
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise InvalidFile(str(path), "", f"takes {size} bytes", allowed=f"at most {MAX_FILE_BYTES} bytes")
    return ResultFile(name=path.name, content=path.read_bytes(), of_baseline=of_baseline)


def naming_option(error: InvalidInput) -> InvalidInput:
    """Return the error with the option's name for its field, where it is one."""
    field = str(error.details.get("field", ""))
    if field not in _OPTIONS:
        return error
    return InvalidInput(
        f"--{field.replace('_', '-')}", str(error.details["problem"]), allowed=error.details.get("allowed")
    )


def print_report(report: ImportReport) -> None:
    """Print what was understood, what the lints say of it, and what was stored."""
    out = console()
    out.print(
        Text("read: ", style="bold") + Text(f"{report.tool} ({report.format}), about {report.variant_id}")
    )
    for profile in report.profiles:
        out.print(f"  on {profile.device_id} x{profile.devices} with {profile.runtime}")
        out.print(_points(profile))
        out.print(Text(f"  {profile.protocol}", style="dim"))
    if report.evaluations:
        out.print(_scores(report.evaluations))
    for finding in report.findings:
        style = "red" if finding.level is Level.REFUSAL else "yellow"
        out.print(Text(f"{finding.level.value} {finding.lint}: ", style=style) + Text(finding.message))
        out.print(Text(f"  ({TITLES[finding.lint]})", style="dim"))
    states = {item.id: "new" if item.created else "already registered" for item in report.stored}
    for item in report.stored:
        state = "would be stored" if report.dry_run else states[item.id]
        out.print(f"{item.kind} {item.id}: {state}")
    for file in report.files:
        verb = "would be kept" if report.dry_run or not report.stored else "kept"
        out.print(Text(f"{file.name}: {verb} as {file.sha256} ({format_bytes(file.size)})", style="dim"))


def _points(profile: Profile) -> object:
    table = listing(("workload", "TTFT", "TPOT", "end to end", "tokens/s", "samples", "weights"))
    for point in profile.points:
        times = (point.ttft_seconds, point.tpot_seconds, point.end_to_end_seconds)
        rate, weights = point.output_tokens_per_second, point.memory.weights_bytes
        samples = max((d.samples for d in (*times, rate) if d is not None), default=0)
        table.add_row(
            str(point.workload),
            *(_seconds(d) for d in times),
            format_value(rate.mean, Unit.TOKENS_PER_SECOND) if rate else "",
            str(samples) if samples else "",
            format_bytes(weights) if weights else "",
        )
    return table


def _seconds(times: Distribution | None) -> str:
    if times is None:
        return ""
    return (
        f"{format_seconds(times.p50)} (p50)"
        if times.p50 is not None
        else f"{format_seconds(times.mean)} (mean)"
    )


def _scores(evaluations: tuple[Evaluation, ...]) -> object:
    table = listing(("task", "metric", "baseline", "variant", "relative loss", "90 % interval", "items", ""))
    for evaluation in evaluations:
        loss = evaluation.relative_loss
        interval = (
            f"{format_value(loss.interval.lo, loss.unit)} … {format_value(loss.interval.hi, loss.unit)}"
            if loss.interval
            else "unknown"
        )
        table.add_row(
            evaluation.task,
            evaluation.metric,
            f"{evaluation.baseline_score:.4g}",
            f"{evaluation.variant_score:.4g}",
            str(loss),
            interval,
            str(evaluation.items or ""),
            "paired" if loss.interval else "not paired",
        )
    for evaluation in evaluations:
        if evaluation.doubt:
            table.caption = f"in doubt, answers no question: {evaluation.doubt}"
    return table
