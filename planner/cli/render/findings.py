"""How one variant fares in a question, as people read it: every constraint in full, and what stands in its way."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from planner.cli.render.answer import figure_text, indent
from planner.domain.explanation import Finding, Needed, Outranked
from planner.domain.units import format_ratio

_STYLE = {
    "met": "green", "certified": "green", "likely": "yellow", "unlikely": "red", "violated": "red", "unknown": "dim",
}  # fmt: skip


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def findings_table(findings: Sequence[Finding]) -> Table:
    """Return each constraint as asked and as in effect, with figure, margin, evidence and verdict."""
    table = _table("constraint", "from", "in effect", "figure", "past the bound", "verdict", "evidence")
    for finding in findings:
        margin = "" if finding.margin is None else format_ratio(finding.margin, signed=True)
        evidence = "; ".join(
            f"{link.kind} {link.id}"
            + (f" ({link.citation})" if link.citation and link.citation != link.id else "")
            for link in finding.evidence
        )
        table.add_row(
            finding.asked,
            finding.origin.value,
            "" if finding.effective == finding.asked else finding.effective,
            figure_text(finding.figure) if finding.figure else finding.detail or "",
            margin,
            Text(finding.verdict.value, style=_STYLE[finding.verdict.value]),
            evidence,
        )
    return table


def render_obstacles(
    console: Console,
    findings: Sequence[Finding],
    outranked: Outranked | None,
    needed: Sequence[Needed],
) -> None:
    """Print which constraints fail and by how much, or who is ranked before it and on which key, and what would help."""
    for finding in findings:
        if not finding.fails:
            continue
        figure = f"{figure_text(finding.figure)} " if finding.figure else ""
        past = (
            ""
            if finding.margin is None or finding.margin <= 0
            else f", {format_ratio(finding.margin)} past it"
        )
        detail = f": {finding.detail}" if finding.detail else ""
        console.print(
            Text(f"  {finding.verdict.value} ", style=_STYLE[finding.verdict.value])
            + Text(f"{finding.key}: {figure}against {finding.asked}{past}{detail}")
        )
    if outranked is not None:
        console.print(
            Text(f"  {outranked.name} ", style="bold")
            + Text(
                f"is ranked before it by {outranked.key}: {outranked.theirs} against {outranked.own}; "
                f"this is number {outranked.place:,} of {outranked.of:,} that satisfy every constraint"
            )
        )
    if needed:
        console.print()
        console.print(
            Text("It would pass with" if len(needed) == 1 else "It would pass with all of", style="bold")
        )
        table = _table("instead of", "ask for", "change")
        for change in needed:
            size = "dropped" if change.change is None else format_ratio(change.change, signed=True)
            table.add_row(change.before, change.after, size)
        console.print(indent(table, below=1))
