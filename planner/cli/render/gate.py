"""A gate's report as people read it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from planner.cli.render.answer import indent
from planner.cli.render.tables import listing
from planner.domain.units import format_value
from planner.gate.report import CheckState, Flips, GateCheck, GateReport, GateVerdict, JobStanding
from planner.wire.gating import GateRow

STYLE: Final = {
    "pass": "green", "fail": "red", "inconclusive": "yellow", "missing": "yellow", "stale": "yellow", "skipped": "dim",
}  # fmt: skip


def found_text(check: GateCheck) -> str:
    """Return what was found, with the bounds that decide: "0.9 % (-0.3 % … 2.2 %)"."""
    figure = check.figure
    if figure is None:
        return "unknown"
    interval = figure.interval
    if interval is None or interval.lo == interval.hi:
        return str(figure)
    ends = f"{format_value(interval.lo, figure.unit)} … {format_value(interval.hi, figure.unit)}"
    return f"{figure} ({ends})"


def checks_table(checks: Iterable[GateCheck]) -> Table:
    """Return one line for each check."""
    table = listing(("check", "asked", "found", "size", "detectable", "verdict", "why"))
    for check in checks:
        table.add_row(
            check.title,
            check.rule,
            found_text(check),
            f"{check.size:,}" if check.size is not None else "",
            str(check.minimum_detectable) if check.minimum_detectable is not None else "",
            Text(check.state.value, style=STYLE[check.state.value]),
            check.reason,
        )
    return table


def print_report(out: Console, report: GateReport) -> None:
    """Print the verdict, every check, and what was or is to be done."""
    style = f"bold {STYLE[report.verdict.value]}"
    out.print(Text(f"{report.verdict.value}: ", style=style) + Text(report.sentence))
    out.print(Text(f"  {report.name} ({report.variant_id}) against {_against(report)}", style="dim"))
    out.print()
    out.print(indent(checks_table(report.checks)))
    for check in report.checks:
        for note in check.notes if check.state is not CheckState.SKIPPED else ():
            out.print(Text(f"  {check.name}: {note}", style="dim"))
    for raised in report.raised:
        out.print(
            Text("  floor: ", style="bold")
            + Text(f"{raised.field} is {raised.floor}, the policy asked {raised.asked}")
        )
    for flips in report.flips:
        _print_flips(out, flips)
    _print_jobs(out, report)
    for effect in report.effects:
        out.print(Text("done: " if effect.done else "NOT done: ", style="bold") + Text(effect.detail))
    out.print(Text(f"gate {report.id}", style="dim"))


def rows_table(rows: Iterable[GateRow]) -> Table:
    """Return one line for each variant."""
    table = listing(("variant", "model", "verdict", "why"))
    for row in rows:
        table.add_row(
            row.name, row.model_id, Text(row.verdict.value, style=STYLE[row.verdict.value]), row.sentence
        )
    return table


def history_table(reports: Iterable[GateReport]) -> Table:
    """Return one line for each gate."""
    table = listing(("gate", "when", "variant", "policy", "against", "verdict", "why"))
    for report in reports:
        table.add_row(
            report.id,
            f"{report.judged_at:%Y-%m-%d %H:%M:%S} UTC",
            report.name,
            report.policy.name or "",
            report.against,
            Text(report.verdict.value, style=STYLE[report.verdict.value]),
            report.sentence,
        )
    return table


def _against(report: GateReport) -> str:
    return report.against + (f" ({report.reference_id})" if report.reference_id else "")


def _print_flips(out: Console, flips: Flips) -> None:
    out.print()
    out.print(Text(f"{flips.task} ({flips.metric}): {flips.worse} worse, {flips.better} better"))
    table = listing(("item", "reference", "build", "worse by"))
    for flip in flips.items:
        table.add_row(flip.id, f"{flip.reference:.4g}", f"{flip.variant:.4g}", f"{flip.change:+.4g}")
    out.print(indent(table))


def _print_jobs(out: Console, report: GateReport) -> None:
    if not report.jobs:
        return
    out.print()
    table = listing(("would decide", "job", "state", ""))
    for each in report.jobs:
        table.add_row(
            each.check, each.job.kind.value, each.state.value, each.job_id or each.job.blocked or ""
        )
    out.print(indent(table))
    able = any(each.state is JobStanding.WANTED and each.job.blocked is None for each in report.jobs)
    if report.verdict is GateVerdict.INCONCLUSIVE and able:
        out.print(Text("  queue them: --queue; queue them and wait: --wait", style="dim"))
