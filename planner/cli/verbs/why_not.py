"""`planner why-not`: what keeps one variant from being the answer, by how much, and what would let it pass."""

from __future__ import annotations

import rich_click as click
from rich.text import Text

from planner.cli.render.findings import render_obstacles
from planner.cli.session import Session, console, session_options
from planner.cli.verbs.why import ask


@click.command("why-not")
@click.argument("variant")
@click.argument("question", nargs=-1)
@click.option("--plan", "plan_id", help="Ask about this stored plan instead of a question.")
@session_options
def command(*, session: Session, variant: str, question: tuple[str, ...], plan_id: str | None) -> int:
    """Say what keeps VARIANT from being the answer to QUESTION, which may be the id of a stored plan.

    Either the constraints it fails, by how much, and the least change of each that would let it pass; or the variant
    that is ranked before it, and the key that decided.

    For example: planner why-not llama-2-13b/q4_k_m "13B on 24GB, ≤1% loss"
    """
    with session.service() as service:
        why = ask(service, variant, question, plan_id)
    if session.json:
        session.print_json(why)
        return 0
    out = console()
    name = why.candidate.name if why.candidate is not None else why.variant_id
    if why.chosen:
        out.print(Text(name, style="bold") + Text(" is the answer", style="bold green"))
        return 0
    out.print(Text(name, style="bold") + Text(" is not the answer"))
    render_obstacles(out, why.findings, why.outranked, why.needed)
    return 0
