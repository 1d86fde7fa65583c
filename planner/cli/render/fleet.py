"""How the answer to a fleet is printed: assignments, what they take of the pool, or what would make it suffice."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from planner.cli.render.answer import figure_text, indent
from planner.domain.fleet import FleetAnswer, NotPlaced, Placed
from planner.domain.units import format_ratio


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def render_fleet(console: Console, answer: FleetAnswer) -> None:
    """Print the answer to a fleet."""
    if isinstance(answer.result, Placed):
        _placed(console, answer, answer.result)
    else:
        _not_placed(console, answer.result)
    for warning in answer.result.warnings:
        console.print(Text("note: ", style="yellow") + Text(warning))
    console.print(Text(f"catalogue revision {answer.revision}", style="dim"))


def _placed(console: Console, answer: FleetAnswer, placed: Placed) -> None:
    cost = (
        f", {placed.currency} {placed.cost_per_hour:.6g} per hour" if placed.cost_per_hour is not None else ""
    )
    console.print(
        Text("Placed  ", style="bold green")
        + Text(
            f"{answer.fleet.objective.value}: {placed.devices} devices{cost}, busiest demand at "
            f"{format_ratio(placed.worst_utilization)}"
        )
    )
    console.print()
    table = _table("demand", "variant", "placement", "loss", "one replica", "utilization")
    for row in placed.assignments:
        loss = figure_text(row.candidate.loss.figure) if row.candidate.loss else "unknown"
        each = f" of {row.devices_per_replica} devices" if row.devices_per_replica > 1 else ""
        table.add_row(
            row.demand,
            row.candidate.name,
            f"{row.replicas} × {row.device_id}{each}, {row.concurrency} at once",
            loss,
            figure_text(row.capacity),
            figure_text(row.utilization),
        )
    console.print(indent(table, below=1))
    table = _table("device", "of", "used", "left", "", "price")
    for use in placed.pool:
        table.add_row(
            use.device_id,
            str(use.total),
            str(use.used),
            str(use.left),
            "one more would help" if use.binding else "",
            use.price.describe() if use.price else "not given",
        )
    console.print(indent(table, below=1))


def _not_placed(console: Console, result: NotPlaced) -> None:
    console.print(
        Text("Infeasible  ", style="bold red") + Text("the pool cannot serve every demand within its bounds")
    )
    console.print()
    if result.unplaceable:
        console.print(Text("No number of devices serves", style="bold"))
        table = _table("demand", "on", "these cannot hold together", "")
        for row in result.unplaceable:
            table.add_row(row.demand, row.device_id, ", ".join(row.conflict), row.reason)
        console.print(indent(table, below=1))
    if result.relaxations:
        console.print(Text("Any one of these changes makes it feasible", style="bold"))
        for relaxation in result.relaxations:
            console.print(indent(Text(f"• {relaxation.change}")))
        console.print()
