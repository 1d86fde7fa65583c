"""`worker submit`: results made without a server, handed in to one."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from planner.client import Client
from worker.commands.options import json_option
from worker.commands.show import print_json, progress_bar, show_submitted
from worker.submit import Submitted, find_results, read_result, submit


@click.command("submit")
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--server", envvar="PLANNER_SERVER", required=True, help="URL of the planner server.")
@json_option
def command(*, directory: Path, server: str, as_json: bool) -> None:
    """Hand in every result at or below DIRECTORY: built variants first, then what is known about them.

    Handing the same results in again changes nothing.
    """
    done: list[Submitted] = []
    folders = find_results(directory)
    with Client(server) as client, progress_bar("submit") as report:
        for number, folder in enumerate(folders):
            report(number / len(folders), folder.name)
            done.append(submit(client, folder, read_result(folder)))
    if as_json:
        print_json(done)
    else:
        show_submitted(done)
