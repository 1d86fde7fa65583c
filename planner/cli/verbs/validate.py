"""`planner validate`: how well the estimators do on evidence that is held out from them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import rich_click as click
from rich.table import Table

from planner.cli.render.tables import listing
from planner.cli.session import Session, console, local_session_options
from planner.estimate.validation import Records
from planner.estimate.validation_memory_scores import memory_regressions
from planner.estimate.validation_page import NAMES, Report, baseline, memory_baseline, render
from planner.estimate.validation_scores import regressions

REGRESSED: Final = 3
"""Exit status when a baseline is no longer kept."""


@click.command("validate")
@click.option("--built-in", is_flag=True, help="Score on the built-in catalogue alone, not on this registry.")
@click.option(
    "--write",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the scores as a Markdown page to this file.",
)
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Compare with the page in this file and exit with status 3 where errors grew or coverage left its band.",
)
@click.option(
    "--constants",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what the evidence teaches (efficiencies, interval widths) as a Python module to this file.",
)
@local_session_options
def command(
    *, session: Session, built_in: bool, page: Path | None, against: Path | None, constants: Path | None
) -> int:
    """Score the estimates of memory and speed on held-out evidence.

    Every recording is estimated without the evidence it is compared with: without the workload point itself, its variant,
    its device, or its source. Prints error, bias, coverage of the 90 % intervals and their width per group.
    """
    from planner.estimate.validation_constants import constants_module
    from planner.estimate.validation_report import validate

    known = against.read_text(encoding="utf-8") if against is not None else None
    before = (baseline(known), memory_baseline(known)) if known is not None else None
    records = _records(session, built_in=built_in)
    screen = console(stderr=True)
    with screen.status("holding out") as status:
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            status.update(f"held out {done} groups")

        found = validate(records, each=step)
    if page is not None:
        page.write_text(render(found.report), encoding="utf-8")
    if constants is not None:
        constants.write_text(constants_module(found.effects, found.widths), encoding="utf-8")
    worse: tuple[str, ...] = ()
    if before is not None:
        worse = regressions(before[0], found.report.scores)
        worse += memory_regressions(before[1], found.report.memory)
    if session.json:
        session.print_json({"report": found.report, "regressions": worse})
    else:
        screen = console()
        screen.print(_times(found.report))
        screen.print(_memory(found.report))
        for line in worse:
            screen.print(f"regression: {line}")
        for path in (page, constants):
            if path is not None:
                screen.print(f"written to {path}")
    return REGRESSED if worse else 0


def _records(session: Session, *, built_in: bool) -> Records:
    if built_in:
        from planner.catalogue import load_catalogue

        held = load_catalogue()
        return Records(
            models=held.models, variants=held.variants, devices=held.devices, profiles=held.profiles
        )
    from planner.registry.snapshot import contents
    from planner.workspace import Workspace

    workspace = Workspace(session.settings())
    try:
        with workspace.registry.read() as tx:
            own = contents(tx)
    finally:
        workspace.close()
    return Records(models=own.models, variants=own.variants, devices=own.devices, profiles=own.profiles)


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1%}"


def _times(report: Report) -> Table:
    table = listing(
        ("metric", "held out", "evidence left", "n", "median error", "90th pct.", "bias", "coverage", "width")
    )
    for score in report.scores:
        table.add_row(
            NAMES[score.metric].partition(" (")[0], score.protocol, score.distance or "all", str(score.trials),
            _share(score.median_error), _share(score.p90_error), _share(score.bias),
            _share(score.coverage) + ("" if score.calibrated else ", uncalibrated"),
            "unknown" if score.median_width is None else f"x{score.median_width:.2f}",
        )  # fmt: skip
    return table


def _memory(report: Report) -> Table:
    table = listing(
        (
            "memory",
            "held out",
            "of",
            "n",
            "median error",
            "90th pct.",
            "bias",
            "coverage",
            "width",
            "false fits",
        )
    )
    for score in report.memory:
        table.add_row(
            score.kind, score.protocol, score.memory, str(score.trials), _share(score.median_error),
            _share(score.p90_error), _share(score.bias), _share(score.coverage), f"x{score.median_width:.2f}",
            "" if score.false_fit_rate is None else _share(score.false_fit_rate),
        )  # fmt: skip
    return table
