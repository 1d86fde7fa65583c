"""`planner why`: how one variant fares in a question, constraint by constraint."""

from __future__ import annotations

import rich_click as click
from rich.text import Text

from planner.cli.render.answer import checks_table, indent, memory_bar, memory_legend
from planner.cli.session import Session, console, session_options
from planner.errors import InvalidInput


@click.command("why")
@click.argument("variant")
@click.argument("question", nargs=-1)
@click.option("--plan", "plan_id", help="Ask about this stored plan instead of a question.")
@session_options
def command(*, session: Session, variant: str, question: tuple[str, ...], plan_id: str | None) -> int:
    """Explain why VARIANT is, or is not, the answer to QUESTION.

    VARIANT is an id, the start of one, a name, "model/name" or an alias.

    For example: planner why llama-2-13b/q4_k_m "13B on 24GB, ≤1% loss"
    """
    text = " ".join(question).strip()
    if bool(text) == (plan_id is not None):
        raise InvalidInput("QUESTION", "give either a question or --plan", allowed="one of the two")
    with session.service() as service:
        why = service.why(variant, plan_id=plan_id, query=text or None)
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
    if why.candidate is not None:
        out.print()
        out.print(indent(memory_bar(why.candidate.memory)))
        out.print(indent(memory_legend(why.candidate.memory), below=1))
        out.print(indent(checks_table(why.candidate.checks)))
    return 0
