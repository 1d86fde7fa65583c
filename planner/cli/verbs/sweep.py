"""`planner sweep`: what is chosen while one bound of a question moves."""

from __future__ import annotations

import rich_click as click

from planner.cli.render.comparison import render_sweep
from planner.cli.session import Session, console, session_options
from planner.errors import InvalidInput


@click.command("sweep")
@click.argument("question", nargs=-1)
@click.option(
    "--over",
    required=True,
    metavar="NAME=FROM..TO",
    help="What moves, then /POINTS (25, at most 200), :log or :linear. NAME is memory, devices, loss, ttft, tpot, itl, "
    "e2e, latency, throughput, disk, concurrency, context, input or output.",
)
@click.option("--plan", "plan_id", help="Sweep the question of this stored plan.")
@session_options
def command(*, session: Session, question: tuple[str, ...], over: str, plan_id: str | None) -> int:
    """Answer QUESTION while one of its bounds moves over a range.

    Where the choice changes between two points, the value at which it does is found by bisection: to the byte, to the
    token, or to one part in 10⁹.

    For example: planner sweep "13B, ≤1% loss" --over memory=8GiB..80GiB/50
    """
    text = " ".join(question).strip()
    if bool(text) == (plan_id is not None):
        raise InvalidInput("QUESTION", "give either a question or --plan", allowed="one of the two")
    with session.service() as service:
        curve = service.sweep(over, plan_id=plan_id, query=text or None)
    if session.json:
        session.print_json(curve)
    else:
        render_sweep(console(), curve)
    return 0
