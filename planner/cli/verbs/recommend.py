"""`planner recommend`: a question in words, or a scenario file, to a plan."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import rich_click as click

from planner.cli.render.answer import render_plan
from planner.cli.session import Session, console, prices_option, session_options
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


def _answer_batch(session: Session, path: Path, prices: Path | None) -> int:
    from planner.cli import batch

    lines: list[batch.Line] = []
    with session.service(prices=prices) as service:
        for line in batch.ask(service, path):
            lines.append(line)
            if session.json:
                sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
                sys.stdout.flush()
    if not session.json:
        batch.render(console(), lines)
    return batch.status_of(lines)


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
@click.option(
    "--batch",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Answer every line of a file, or of standard input (-): a question in words, or a scenario as JSON.",
)
@prices_option
@session_options
def command(
    *,
    session: Session,
    question: tuple[str, ...],
    scenario: Path | None,
    show_all: bool,
    batch: Path | None,
    prices: Path | None,
) -> int:
    """Recommend a variant for QUESTION.

    For example: planner recommend "13B on 24GB, ≤1% loss"

    Exit codes: 0 recommended, 2 not understood, 3 infeasible. Of a batch: 0 when every line is recommended, 2 when a line
    is not understood, else 3 when one is infeasible; with --json each line gives one line of JSON.
    """
    text = " ".join(question).strip()
    if sum((bool(text), scenario is not None, batch is not None)) != 1:
        raise InvalidInput(
            "QUESTION",
            "give one of a question, --scenario and --batch",
            allowed='for example "13B on 24GB, ≤1% loss"',
        )
    if batch is not None:
        return _answer_batch(session, batch, prices)
    with session.service(prices=prices) as service:
        plan = (
            service.recommend(scenario=load_scenario(scenario)) if scenario else service.recommend(query=text)
        )
    if session.json:
        session.print_json(plan)
    else:
        render_plan(console(), plan, show_all=show_all)
    return 0 if isinstance(plan.result, Recommended) else INFEASIBLE
