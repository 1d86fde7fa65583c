"""What would change an answer, as people read it: measurements and builds with their odds, and the jobs queued for them."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from planner.cli.render.answer import figure_text, indent
from planner.domain.advice import BuildAdvice, LossOdds, MeasurementAdvice, WorthBuilding
from planner.domain.units import format_ratio
from planner.wire.explaining import Queued

FEW: Final = 3


def odds_text(odds: float | None) -> str:
    """Return a probability as a whole percentage, which is as much as it can be trusted for."""
    if odds is None:
        return "not known"
    return "above 99 %" if odds > 0.99 else "below 1 %" if odds < 0.01 else f"{100 * odds:.0f} %"


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def render_measurements(console: Console, advice: MeasurementAdvice, *, show: int = FEW) -> None:
    """Print the measurements that could change the answer; nothing when none could."""
    for note in advice.unmeasurable:
        console.print(Text("note: ", style="yellow") + Text(note))
    if not advice.measurements:
        return
    console.print(Text("Measuring this could change the answer", style="bold"))
    table = _table("chance", "job", "variant", "open", "then chosen", "drawn from")
    for each in advice.measurements[:show]:
        opened = "; ".join(
            f"{figure.key} {figure_text(figure.figure)}, {figure.why}"
            if figure.figure
            else f"{figure.key}: {figure.why}"
            for figure in each.open
        )
        table.add_row(
            odds_text(each.probability),
            each.job.kind.value,
            each.name,
            opened,
            each.becomes or "nothing",
            "; ".join(each.assumed),
        )
    console.print(indent(table))
    _more(console, len(advice.measurements) - show)
    _blocked(console, [each.job.blocked for each in advice.measurements[:show]], "--queue-measurement")


def render_builds(console: Console, advice: BuildAdvice, *, show: int = FEW) -> None:
    """Print the builds that could satisfy the question; nothing when no recipe is predicted to."""
    if not advice.builds:
        return
    console.print(Text("Building this could satisfy the question", style="bold"))
    table = _table("odds", "for", "build", "scheme", "peak memory", "fits", "fast enough", "loss kept")
    for each in advice.builds[:show]:
        table.add_row(
            odds_text(each.odds),
            each.purpose.value,
            f"{each.name} ({each.recipe})",
            each.scheme,
            figure_text(each.total),
            "not asked" if each.fit_probability is None else odds_text(each.fit_probability),
            _speed(each),
            _loss(each.loss),
        )
    console.print(indent(table))
    _more(console, len(advice.builds) - show)
    _blocked(console, [each.job.blocked for each in advice.builds[:show]], "--queue-build")


def _speed(build: WorthBuilding) -> str:
    return "not asked or not known" if build.speed_probability is None else odds_text(build.speed_probability)


def _loss(odds: LossOdds | None) -> str:
    if odds is None:
        return "not asked"
    if not odds.models:
        return odds.match
    return (
        f"{odds.within} of {odds.models} other models within {format_ratio(odds.limit)} ({odds.match})"
        if odds.probability is not None
        else odds.match
    )


def _more(console: Console, hidden: int) -> None:
    if hidden > 0:
        console.print(Text(f"  … and {hidden} more (--all lists them)", style="dim"))


def _blocked(console: Console, blocked: list[str | None], option: str) -> None:
    reasons = dict.fromkeys(reason for reason in blocked if reason is not None)
    for reason in reasons:
        console.print(Text(f"  not yet possible: {reason}", style="dim"))
    if None in blocked:
        console.print(Text(f"  {option} queues it for a worker", style="dim"))
    console.print()


def render_queued(console: Console, queued: Queued) -> None:
    """Print the jobs that were queued, and what stood in the way of others."""
    for reason in queued.passed_over:
        console.print(Text("passed over: ", style="yellow") + Text(reason))
    for job in queued.jobs:
        needs = f", needs {', '.join(job.requires)}" if job.requires else ""
        console.print(Text("queued ", style="green") + Text(f"{job.kind.value} job {job.id}{needs}"))
    if not queued.jobs:
        why = "" if queued.passed_over else ": no such job is expected to change the answer"
        console.print(Text("nothing was queued", style="bold yellow") + Text(why))
