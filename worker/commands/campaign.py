"""`worker campaign`: a file of measurements, run unattended within a time budget."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import rich_click as click
from rich.console import Console
from rich.table import Table

from planner.catalogue import load_catalogue
from planner.errors import InvalidInput
from worker.campaign.bundle import BUNDLE_FILE, unpack, write_bundle
from worker.campaign.execute import Executor
from worker.campaign.ledger import Ledger
from worker.campaign.prepare import MAX_PARALLEL
from worker.campaign.prepare import prepare as prepare_units
from worker.campaign.run import Standing, run_campaign, standings
from worker.campaign.specification import built_in, find_campaign, read_campaign
from worker.campaign.units import TrainWork, Unit, units_of
from worker.commands.execute import stop_on_signal
from worker.commands.options import json_option, prepare_folder
from worker.commands.show import print_json, progress_bar
from worker.failure import JobStopped

PREPARE_SHARE: Final = 0.3
"""Of the budget, what compiling ahead for one shape may take."""
_STYLES: Final = {"done": "green", "before": "dim", "partial": "yellow", "left": "yellow", "failed": "red"}


@click.command("campaign")
@click.argument("file", required=False)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder of the results and the bundle."
)
@click.option("--budget", type=float, default=3600.0, show_default=True, help="Seconds that may be spent.")
@click.option("--dry-run", is_flag=True, help="Print the units with their estimates and run nothing.")
@click.option(
    "--list", "list_only", is_flag=True, help="Print what is done and what is left, and run nothing."
)
@click.option(
    "--resume",
    "bundles",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="A bundle of an earlier run, of another machine too, whose results count as done; repeatable.",
)
@click.option("--only", help="Run only the units whose title contains this text.")
@click.option(
    "--prepare",
    type=click.IntRange(0, MAX_PARALLEL),
    default=0,
    show_default=True,
    help="Before measuring, compile shapes, or build and evaluate recipes, this many at a time; worth it with many cores.",
)
@click.option(
    "--retry-failed", is_flag=True, help="Try again what failed for reasons that do not pass by themselves."
)
@json_option
def command(
    *,
    file: str | None,
    out: Path | None,
    budget: float,
    dry_run: bool,
    list_only: bool,
    bundles: tuple[Path, ...],
    only: str | None,
    prepare: int,
    retry_failed: bool,
    as_json: bool,
) -> None:
    """Run the campaign FILE: a path, or the name of one that ships with the worker (without FILE, list these).

    Units run in the file's order, each in a process of its own, as long as their estimates fit the budget. Running the
    same file again with the same --out goes on where it stopped. The results are packed into campaign.tar.gz, which
    `worker submit` and `planner submit` register later.
    """
    if file is None:
        _list_shipped(as_json=as_json)
        return
    path = find_campaign(file)
    campaign = read_campaign(path)
    units = units_of(campaign, load_catalogue())
    if only is not None:
        chosen = [unit for unit in units if only.lower() in unit.title.lower()]
        needed = {unit.needs for unit in chosen}
        units = tuple(unit for unit in units if unit in chosen or unit.key in needed)
        if not chosen:
            raise InvalidInput(
                "only", f"`{only}` is in no title", allowed="part of a title that --dry-run shows"
            )
    if dry_run or list_only:
        shown = standings(units, Ledger(out or Path()), retry=retry_failed) if out else _fresh(units)
        _show(shown, as_json=as_json)
        return
    if out is None:
        raise InvalidInput("out", "is not given", allowed="--out DIR, or --dry-run")
    if not 1 <= budget <= 7 * 86_400:
        raise InvalidInput("budget", f"{budget} is out of range", allowed="1 second to 7 days")
    _run(path, out, units, bundles, budget=budget, parallel=prepare, retry=retry_failed, as_json=as_json)


def _run(
    path: Path,
    out: Path,
    units: Sequence[Unit],
    bundles: tuple[Path, ...],
    *,
    budget: float,
    parallel: int,
    retry: bool,
    as_json: bool,
) -> None:
    prepare_folder(out, field="out")
    end = time.monotonic() + budget
    campaign = read_campaign(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for bundle in bundles:
        unpack(bundle, out)
    ledger = Ledger(out)
    console = Console(stderr=True)

    def pack() -> int:
        write_bundle(
            out,
            out / BUNDLE_FILE,
            campaign=campaign.name,
            description=campaign.description,
            campaign_digest=digest,
        )
        return (out / BUNDLE_FILE).stat().st_size

    def finished(standing: Standing) -> None:
        if standing.state in {"done", "partial", "failed"}:
            # After every unit, so that a run that is killed has handed over what it finished.
            pack()
        if not console.is_terminal:  # there the bar moves, and the table at the end says it all
            console.print(_line(standing), highlight=False, soft_wrap=True)

    with stop_on_signal() as stop, progress_bar(campaign.name) as bar:
        place = {unit.key: number for number, unit in enumerate(units)}
        executor = Executor(ledger=ledger, stop=stop)

        def run(chosen: Sequence[Unit]) -> tuple[Standing, ...]:
            return run_campaign(
                chosen,
                ledger,
                executor,
                budget_seconds=end - time.monotonic(),
                retry=retry,
                report=lambda unit, share, text: bar(
                    (place[unit.key] + share) / len(units), f"{unit.title}: {text}"
                ),
                finished=finished,
            )

        try:
            if parallel:
                # Recipes need the model that a step before them trains.
                training = [unit for unit in units if isinstance(unit.work, TrainWork)]
                run(training)
                prepare_units(
                    _expected(units, ledger, budget=end - time.monotonic(), retry=retry),
                    executor,
                    parallel=parallel,
                    seconds=PREPARE_SHARE * budget,
                    logs=out / "prepared",
                    finished=lambda title, why: console.print(
                        f"prepared {title}" + (f": {why}" if why else ""), highlight=False, soft_wrap=True
                    ),
                )
            found = run(units)
        except JobStopped:
            pack()
            raise KeyboardInterrupt from None
    size = pack()
    if as_json:
        print_json({"bundle": str(out / BUNDLE_FILE), "bytes": size, "units": found})
        return
    _show(standings(units, ledger, retry=retry), as_json=False)
    Console().print(f"{out / BUNDLE_FILE}: {size / 1e6:.2f} MB", highlight=False, soft_wrap=True)


def _expected(units: Sequence[Unit], ledger: Ledger, *, budget: float, retry: bool) -> list[Unit]:
    """Return the units that this run will probably come to."""
    found: list[Unit] = []
    for unit in units:
        if ledger.is_done(unit, retry=retry):
            continue
        budget -= ledger.estimate(unit)
        if budget < 0:
            break
        found.append(unit)
    return found


def _fresh(units: Sequence[Unit]) -> tuple[Standing, ...]:
    return tuple(
        Standing(
            title=unit.title,
            kind=unit.kind,
            key=unit.key,
            state="left",
            estimate_seconds=unit.estimate_seconds,
            why=f"{len(unit.left_out)} points not tried" if unit.left_out else None,
        )
        for unit in units
    )


def _line(standing: Standing) -> str:
    style = _STYLES[standing.state]
    seconds = "" if standing.seconds is None else f" in {standing.seconds:.0f} s"
    why = f": {standing.why}" if standing.why else ""
    return f"[{style}]{standing.state}[/] {standing.title}{seconds}{_plain(why)}"


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def _show(found: Sequence[Standing], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("unit", "state", "estimate", "took", "why"):
        table.add_column(name, justify="right" if name in {"estimate", "took"} else "left", overflow="fold")
    for standing in found:
        table.add_row(
            standing.title,
            f"[{_STYLES[standing.state]}]{standing.state}[/]",
            f"{standing.estimate_seconds:.0f} s",
            "" if standing.seconds is None else f"{standing.seconds:.0f} s",
            _plain(standing.why or ""),
        )
    console = Console()
    console.print(table)
    left = sum(standing.estimate_seconds for standing in found if standing.state == "left")
    console.print(f"{len(found)} units, {left:.0f} s estimated for what is left", highlight=False)


def _list_shipped(*, as_json: bool) -> None:
    rows = {name: read_campaign(path).description for name, path in built_in().items()}
    if as_json:
        print_json(rows)
        return
    for name, description in rows.items():
        Console().print(f"[bold]{name}[/]  {_plain(description)}", highlight=False)
