"""A plan as people read it: the answer, what was understood, memory, reasons, alternatives, and what did not fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from planner.domain.figure import Figure
from planner.domain.outcome import (
    Candidate,
    Check,
    Elimination,
    Infeasible,
    MemoryEstimate,
    Plan,
    Recommended,
    Relaxation,
)
from planner.domain.units import format_bytes, format_ratio

BAR_WIDTH: Final = 48
_TERMS: Final = (
    ("weights", "█", "blue"),
    ("kv_cache", "▓", "magenta"),
    ("activations", "▒", "cyan"),
    ("overhead", "░", "yellow"),
)
_STYLE: Final = {
    "met": "green", "certified": "green", "likely": "yellow", "unlikely": "red", "violated": "red", "unknown": "dim",
}  # fmt: skip


def indent(content: RenderableType, *, below: int = 0) -> Padding:
    """Return `content` set in by two columns, with empty lines below, and no wider than it needs to be."""
    return Padding(content, (0, 0, below, 2), expand=False)


def figure_text(figure: Figure | None) -> str:
    """Return value, interval and basis of a figure: "0.31 % [0.1 %, 0.5 %] measured", or "unknown"."""
    if figure is None:
        return "unknown"
    text = str(figure)
    if figure.interval is not None and figure.interval.lo != figure.interval.hi:
        ends = (
            Figure(value=end, unit=figure.unit, basis=figure.basis)
            for end in (figure.interval.lo, figure.interval.hi)
        )
        text += " [" + ", ".join(str(end) for end in ends) + "]"
    return f"{text} {figure.basis.value}"


def memory_bar(memory: MemoryEstimate) -> Text:
    """Return one line: the terms of peak memory drawn to scale against the capacity of one device."""
    capacity = memory.capacity.value if memory.capacity else memory.total.value
    scale = max(capacity, memory.total.value)
    bar = Text("▕")
    for name, block, style in _TERMS:
        term: Figure = getattr(memory, name)
        bar.append(block * round(BAR_WIDTH * term.value / scale), style=style)
    bar.append(" " * max(0, BAR_WIDTH + 1 - len(bar.plain)))
    bar.append("▏ ")
    bar.append(format_bytes(memory.total.value))
    if memory.capacity is not None:
        bar.append(f" of {format_bytes(memory.capacity.value)}")
    if memory.fit_probability is not None:
        bar.append(f", fits with probability {memory.fit_probability:.3f}")
    return bar


def memory_legend(memory: MemoryEstimate) -> Text:
    """Return the terms of the bar in words."""
    legend = Text()
    for name, block, style in _TERMS:
        term: Figure = getattr(memory, name)
        legend.append(f"{block} ", style=style)
        legend.append(f"{name.replace('_', ' ')} {term}   ")
    return legend


def _understood(console: Console, plan: Plan) -> None:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for row in plan.understood:
        table.add_row(
            row.sentence, Text(row.origin.value, style="dim" if row.origin.value == "default" else "bold")
        )
    console.print(Text("Understood", style="bold"))
    console.print(indent(table, below=1))


def checks_table(checks: Sequence[Check]) -> Table:
    """Return each constraint with the figure it was held against and the verdict."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("constraint", "figure", "verdict", ""):
        table.add_column(heading, overflow="fold")
    for check in checks:
        verdict = Text(check.verdict.value, style=_STYLE[check.verdict.value])
        table.add_row(
            check.asked, figure_text(check.figure) if check.figure else "", verdict, check.detail or ""
        )
    return table


def _candidate_rows(table: Table, candidates: Sequence[Candidate]) -> None:
    for candidate in candidates:
        loss = figure_text(candidate.loss.figure) if candidate.loss else "unknown"
        speed = str(candidate.latency.tpot) if candidate.latency.tpot else "unknown"
        table.add_row(candidate.name, candidate.scheme, str(candidate.memory.total), loss, speed)


def candidates_table(candidates: Sequence[Candidate]) -> Table:
    """Return candidates side by side."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("variant", "scheme", "peak memory", "loss", "TPOT"):
        table.add_column(heading, overflow="fold")
    _candidate_rows(table, candidates)
    return table


def eliminated_summary(counts: dict[str, int]) -> str:
    """Return how many candidates fell at each constraint; those of models nobody asked for come last."""
    fell = sorted(
        ((key, count) for key, count in counts.items() if key != "model"), key=lambda item: -item[1]
    )
    parts = [f"{count} at {key}" for key, count in fell]
    if counts.get("model"):
        parts.append(f"{counts['model']} of other models")
    return ", ".join(parts)


def _eliminated(
    console: Console, eliminations: Sequence[Elimination], counts: dict[str, int], *, show: int
) -> None:
    if not counts:
        return
    console.print(Text("Not chosen: ", style="bold") + Text(eliminated_summary(counts)))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for elimination in eliminations[:show]:
        table.add_row(elimination.name, elimination.reason)
    console.print(indent(table))
    hidden = sum(counts.values()) - min(show, len(eliminations))
    if hidden > 0:
        console.print(Text(f"  … and {hidden} more (--all lists them)", style="dim"))
    console.print()


def _relaxations(console: Console, relaxations: Sequence[Relaxation]) -> None:
    if not relaxations:
        return
    console.print(Text("Any one of these changes makes it feasible", style="bold"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("instead of", "ask for", "change", "gives"):
        table.add_column(heading, overflow="fold")
    for relaxation in relaxations:
        change = format_ratio(relaxation.change, signed=True) if relaxation.change is not None else "dropped"
        table.add_row(relaxation.before, relaxation.after, change, relaxation.name)
    console.print(indent(table, below=1))


def render_plan(console: Console, plan: Plan, *, show_all: bool = False) -> None:
    """Print a plan. `show_all` lists every recorded elimination instead of the first few."""
    result = plan.result
    if isinstance(result, Recommended):
        chosen = result.chosen
        console.print(
            Text("Recommended  ", style="bold green")
            + Text(chosen.name, style="bold")
            + Text(f"  {chosen.scheme}")
        )
        console.print(Text(f"  {chosen.variant_id}", style="dim"))
        console.print()
        for reason in result.reasons:
            console.print(indent(Text(f"• {reason}")))
        console.print()
        console.print(indent(memory_bar(chosen.memory)))
        console.print(indent(memory_legend(chosen.memory), below=1))
        console.print(indent(checks_table(chosen.checks), below=1))
        _understood(console, plan)
        if result.alternatives:
            console.print(Text("Alternatives", style="bold"))
            console.print(indent(candidates_table(result.alternatives), below=1))
    else:
        _infeasible(console, plan, result)
    _eliminated(console, result.eliminations, dict(result.eliminated), show=10_000 if show_all else 8)
    for warning in result.warnings:
        console.print(Text("note: ", style="yellow") + Text(warning))
    console.print(Text(f"plan {plan.id} · catalogue revision {plan.revision}", style="dim"))


def _infeasible(console: Console, plan: Plan, result: Infeasible) -> None:
    console.print(Text("Infeasible  ", style="bold red") + Text("nothing satisfies every constraint"))
    if result.conflict:
        console.print(Text(f"  these cannot hold together: {', '.join(result.conflict)}"))
    console.print()
    _understood(console, plan)
    _relaxations(console, result.relaxations)
    if result.nearest:
        console.print(Text("Nearest misses", style="bold"))
        console.print(indent(candidates_table(result.nearest), below=1))
