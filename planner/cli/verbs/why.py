"""`planner why`: how one variant fares in a question, constraint by constraint."""

from __future__ import annotations

import rich_click as click
from rich.text import Text

from planner.cli.render.answer import indent, memory_bar, memory_legend
from planner.cli.render.findings import findings_table, render_obstacles
from planner.cli.session import Session, console, session_options
from planner.errors import InvalidInput, NotFound
from planner.wire.replies import Why
from planner.wire.service import Service


def ask(service: Service, variant: str, question: tuple[str, ...], plan_id: str | None) -> Why:
    """Return how `variant` fares in a question, which may also be the id of a stored plan, or in the plan `plan_id`."""
    text = " ".join(question).strip()
    if bool(text) == (plan_id is not None):
        raise InvalidInput("QUESTION", "give either a question or --plan", allowed="one of the two")
    if plan_id is None and len(question) == 1 and _is_plan(service, text):
        return service.why(variant, plan_id=text)
    return service.why(variant, plan_id=plan_id, query=text or None)


def _is_plan(service: Service, text: str) -> bool:
    if len(text) != 36 or text.count("-") != 4:  # no question is spelt like a UUID
        return False
    try:
        service.plan(text)
    except NotFound:
        return False
    return True


@click.command("why")
@click.argument("variant")
@click.argument("question", nargs=-1)
@click.option("--plan", "plan_id", help="Ask about this stored plan instead of a question.")
@session_options
def command(*, session: Session, variant: str, question: tuple[str, ...], plan_id: str | None) -> int:
    """Explain why VARIANT is, or is not, the answer to QUESTION, which may be the id of a stored plan.

    Each constraint is shown as it was asked and as it was in effect, with the figure it was held against, the evidence
    behind it and the verdict. VARIANT is an id, the start of one, a name, "model/name" or an alias.

    For example: planner why llama-2-13b/q4_k_m "13B on 24GB, ≤1% loss"
    """
    with session.service() as service:
        why = ask(service, variant, question, plan_id)
    if session.json:
        session.print_json(why)
        return 0
    out = console()
    if why.candidate is not None:
        out.print(Text(why.candidate.name, style="bold") + Text(f"  {why.candidate.scheme}"))
    out.print(Text(why.variant_id, style="dim"))
    out.print()
    if why.chosen:
        out.print(Text("It is the answer", style="bold green"))
    elif why.elimination is not None:
        out.print(
            Text(f"Not the answer, because of {why.elimination.key}: ", style="bold")
            + Text(why.elimination.reason)
        )
    render_obstacles(out, why.findings, why.outranked, ())
    if why.candidate is not None:
        out.print()
        out.print(indent(memory_bar(why.candidate.memory)))
        out.print(indent(memory_legend(why.candidate.memory), below=1))
        out.print(indent(findings_table(why.findings)))
    return 0
