"""`planner compare`: variants, or the answers of plans, side by side."""

from __future__ import annotations

import rich_click as click

from planner.cli.render.comparison import render_comparison
from planner.cli.session import Session, console, session_options
from planner.errors import InvalidInput


@click.command("compare")
@click.argument("names", nargs=-1, required=True, metavar="A B [C…]")
@click.option("--question", "-q", help="Compare the variants in this question.")
@click.option("--plan", "plan_id", help="Compare the variants in the question of this stored plan.")
@click.option("--plans", "are_plans", is_flag=True, help="The names are ids of stored plans, not variants.")
@session_options
def command(
    *,
    session: Session,
    names: tuple[str, ...],
    question: str | None,
    plan_id: str | None,
    are_plans: bool,
) -> int:
    """Compare variants A, B, …, or, with --plans, the answers of stored plans.

    The first one is what the others are held against: each figure is better, worse, the same, or it cannot be told,
    by the interval of the difference. Where both were scored on the same items, the items are paired.

    For example: planner compare llama-2-13b/q4_k_m llama-2-13b/int4-awq -q "13B on 24GB, ≤1% loss"
    """
    if question is not None and plan_id is not None:
        raise InvalidInput("--plan", "goes without --question", allowed="one of the two, or neither")
    if are_plans and (question is not None or plan_id is not None):
        raise InvalidInput("--plans", "goes without a question", allowed="ids of plans alone")
    with session.service() as service:
        comparison = (
            service.compare_plans(names)
            if are_plans
            else service.compare(names, query=question, plan_id=plan_id)
        )
    if session.json:
        session.print_json(comparison)
    else:
        render_comparison(console(), comparison)
    return 0
