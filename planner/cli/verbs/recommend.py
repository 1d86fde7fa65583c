"""`planner recommend`: a question in words, or a scenario file, to a plan."""

from __future__ import annotations

from pathlib import Path

import msgspec
import rich_click as click

from planner.cli.render.answer import render_plan
from planner.cli.session import Session, console, session_options
from planner.domain.outcome import Recommended
from planner.domain.scenario import Scenario
from planner.errors import InvalidInput

INFEASIBLE = 3


def load_scenario(path: Path) -> Scenario:
    """Return the scenario in a JSON file. Raises InvalidInput naming the field."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Scenario)
    except msgspec.ValidationError as error:
        raise InvalidInput(str(path), str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(str(path), f"is not JSON: {error}") from error


@click.command("recommend")
@click.argument("question", nargs=-1)
@click.option(
    "--scenario",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Answer a structured scenario (JSON) instead of a question in words.",
)
@click.option(
    "--all", "show_all", is_flag=True, help="List every candidate that was not chosen, with its reason."
)
@session_options
def command(*, session: Session, question: tuple[str, ...], scenario: Path | None, show_all: bool) -> int:
    """Recommend a variant for QUESTION.

    For example: planner recommend "13B on 24GB, ≤1% loss"

    Exit codes: 0 recommended, 2 not understood, 3 infeasible.
    """
    text = " ".join(question).strip()
    if bool(text) == (scenario is not None):
        raise InvalidInput(
            "QUESTION", "give either a question or --scenario", allowed='for example "13B on 24GB, ≤1% loss"'
        )
    with session.service() as service:
        plan = (
            service.recommend(scenario=load_scenario(scenario)) if scenario else service.recommend(query=text)
        )
    if session.json:
        session.print_json(plan)
    else:
        render_plan(console(), plan, show_all=show_all)
    return 0 if isinstance(plan.result, Recommended) else INFEASIBLE
