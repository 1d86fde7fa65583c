"""Comparisons and sweeps as people read them: aligned tables, and a curve drawn in blocks."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from planner.cli.render.answer import figure_text, indent
from planner.domain.comparison import Comparison, Difference, Relation
from planner.domain.figure import Figure
from planner.domain.sweep import Sweep, SweepPoint
from planner.domain.units import Unit

BAR_WIDTH: Final = 30
_STYLE: Final = {
    Relation.BETTER: "green", Relation.WORSE: "red", Relation.SAME: "dim", Relation.CANNOT_TELL: "yellow",
}  # fmt: skip


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _difference(difference: Difference) -> Text:
    text = Text(difference.relation.value, style=_STYLE[difference.relation])
    if difference.figure is not None and difference.relation is not Relation.SAME:
        figure = difference.figure
        sign = "+" if figure.value > 0 else ""
        text.append(f"  {sign}{figure_text(figure)}", style="default")
    if difference.paired:
        text.append("  paired", style="bold")
    if difference.reason is not None:
        text.append(f"  ({difference.reason})", style="dim")
    return text


def render_comparison(console: Console, comparison: Comparison) -> None:
    """Print things side by side: facts, then each figure with how the others differ from the first."""
    names = [thing.name for thing in comparison.things]
    if comparison.question:
        console.print(Text("In the question  ", style="bold") + Text(comparison.question))
    table = _table("", *names)
    if any(thing.plan_id for thing in comparison.things):
        table.add_row("plan", *(thing.plan_id or "" for thing in comparison.things))
    if any(thing.verdict for thing in comparison.things):
        table.add_row("asked", *(thing.verdict or "" for thing in comparison.things))
    for fact in comparison.facts:
        alike = len(set(fact.values)) == 1
        table.add_row(*(Text(value, style="dim" if alike else "") for value in (fact.key, *fact.values)))
    console.print(indent(table, below=1))
    figures = _table("figure", *names, *(f"{name} against {names[0]}" for name in names[1:]))
    for row in comparison.figures:
        figures.add_row(
            row.title,
            *(figure_text(figure) for figure in row.figures),
            *(_difference(difference) for difference in row.differences),
        )
    console.print(indent(figures, below=1))
    for note in comparison.notes:
        console.print(Text("note: ", style="yellow") + Text(note))


def _drawn(point: SweepPoint, unit: Unit | None) -> Figure | None:
    match unit:
        case Unit.RATIO | Unit.POINTS:
            return point.loss
        case Unit.SECONDS:
            return point.tpot
        case _:
            return point.memory


def _curve(sweep: Sweep) -> tuple[str, Unit | None]:
    """Return which figure is drawn: the first that takes more than one value along the curve, and its unit."""
    candidates: tuple[tuple[str, Unit], ...] = (
        ("loss", Unit.RATIO),
        ("TPOT", Unit.SECONDS),
        ("peak memory", Unit.BYTES),
    )
    for title, unit in candidates:
        values = {figure.value for point in sweep.points if (figure := _drawn(point, unit)) is not None}
        if len(values) > 1:
            return title, unit
    return "peak memory", Unit.BYTES


def render_sweep(console: Console, sweep: Sweep) -> None:
    """Print the curve point by point, with one figure drawn as bars, then where the choice changes."""
    title, unit = _curve(sweep)
    figures = [_drawn(point, unit) for point in sweep.points]
    most = max((abs(figure.value) for figure in figures if figure is not None), default=0.0)
    table = _table(sweep.title, "satisfy it", "chosen", "peak memory", "loss", "TPOT", title)
    before: str | None = None
    for point, figure in zip(sweep.points, figures, strict=True):
        changed = point.name != before
        before = point.name
        name = Text(point.name or "nothing", style="bold" if changed else "dim")
        length = round(BAR_WIDTH * abs(figure.value) / most) if figure is not None and most > 0 else 0
        table.add_row(
            point.shown,
            f"{point.accepted:,}",
            name if point.name else Text("nothing", style="red"),
            str(point.memory) if point.memory else "",
            str(point.loss) if point.loss else "",
            str(point.tpot) if point.tpot else "",
            Text("█" * length or ("▏" if figure is not None else ""), style="blue"),
        )
    console.print(indent(table, below=1))
    if sweep.breakpoints:
        console.print(Text("The choice changes at", style="bold"))
        changes = _table("from", "exactly", "to", "instead of")
        for each in sweep.breakpoints:
            changes.add_row(
                each.shown,
                _exactly(each.value, sweep.unit),
                each.after or "nothing",
                each.before or "nothing",
            )
        console.print(indent(changes))
    else:
        console.print(Text("The choice is the same all along", style="bold"))
    if not sweep.exact:
        console.print(Text("note: ", style="yellow") + Text("there are more changes than were searched for"))
    console.print(Text(f"catalogue revision {sweep.revision}", style="dim"))


def _exactly(value: float, unit: Unit) -> str:
    if unit in {Unit.BYTES, Unit.COUNT}:
        return f"{value:,.0f}" + (" bytes" if unit is Unit.BYTES else "")
    if unit is Unit.RATIO:
        return f"{value * 100:.7g} %"
    if unit is Unit.SECONDS:
        return f"{value:.9g} s"
    return f"{value:.9g} {unit.value}" if unit is not Unit.POINTS else f"{value:.7g} pp"
