"""`planner recommend`: a question in words, or a scenario file, to a plan."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import rich_click as click

from planner.cli.render.advice import FEW, render_builds, render_measurements, render_queued
from planner.cli.render.answer import render_plan
from planner.cli.session import Session, console, prices_option, session_options
from planner.domain.outcome import Plan, Recommended
from planner.domain.scenario import Scenario
from planner.errors import InvalidInput
from planner.wire.explaining import MAX_QUEUED, Queued
from planner.wire.service import Service

INFEASIBLE = 3
NOTHING_QUEUED = 4
"""A job was asked for, and none can be done as things are."""


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
@click.option(
    "--queue-measurement",
    "measure",
    type=click.IntRange(1, MAX_QUEUED),
    is_flag=False,
    flag_value=1,
    metavar="[N]",
    help="Queue the measurement, or the N, most likely to change the answer. Put it last, or write --queue-measurement=N.",
)
@click.option(
    "--queue-build",
    "build",
    type=click.IntRange(1, MAX_QUEUED),
    is_flag=False,
    flag_value=1,
    metavar="[N]",
    help="Queue the build, or the N, with the best odds of satisfying the question. Put it last, or write --queue-build=N.",
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
    measure: int | None,
    build: int | None,
) -> int:
    """Recommend a variant for QUESTION.

    For example: planner recommend "13B on 24GB, ≤1% loss"

    Exit codes: 0 recommended, 2 not understood, 3 infeasible, 4 a job was to be queued and none can be done. Of a batch: 0 when every line is recommended, 2 when a line
    is not understood, else 3 when one is infeasible; with --json each line gives one line of JSON.
    """
    text = " ".join(question).strip()
    if sum((bool(text), scenario is not None, batch is not None)) != 1:
        raise InvalidInput(
            "QUESTION",
            "give one of a question, --scenario and --batch",
            allowed='for example "13B on 24GB, ≤1% loss"',
        )
    if batch is not None and (measure or build):
        raise InvalidInput(
            "--batch", "queues nothing", allowed="--queue-measurement and --queue-build for one question"
        )
    if batch is not None:
        return _answer_batch(session, batch, prices)
    with session.service(prices=prices) as service:
        plan = (
            service.recommend(scenario=load_scenario(scenario)) if scenario else service.recommend(query=text)
        )
        if not session.json:
            render_plan(console(), plan, show_all=show_all)
            show = 10_000 if show_all else FEW
            render_measurements(console(), service.measurements(plan_id=plan.id), show=show)
            render_builds(console(), service.builds(plan_id=plan.id), show=show)
        queued = _queue(service, plan, measure=measure, build=build)
    if session.json:
        session.print_json(plan if queued is None else Followed(plan=plan, queued=queued))
    elif queued is not None:
        render_queued(console(), queued)
    if queued is not None and not queued.jobs:
        return NOTHING_QUEUED
    return 0 if isinstance(plan.result, Recommended) else INFEASIBLE


class Followed(msgspec.Struct, frozen=True):
    """A plan and the jobs that were queued to better it: what --json prints when any were asked for."""

    plan: Plan
    queued: Queued


def _queue(service: Service, plan: Plan, *, measure: int | None, build: int | None) -> Queued | None:
    """Queue what was asked for; None when nothing was."""
    made = [
        *([service.queue_measurements(plan.id, count=measure)] if measure else []),
        *([service.queue_builds(plan.id, count=build)] if build else []),
    ]
    if not made:
        return None
    return Queued(
        jobs=tuple(job for each in made for job in each.jobs),
        passed_over=tuple(reason for each in made for reason in each.passed_over),
    )
