"""`worker submit`: results made without a server, handed in to one."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from planner.client import Client
from worker.commands.options import json_option
from worker.commands.show import print_json, progress_bar, show_submitted
from worker.submit import submit_all


@click.command("submit")
@click.argument("directory", type=click.Path(path_type=Path, exists=True))
@click.option("--server", envvar="PLANNER_SERVER", required=True, help="URL of the planner server.")
@json_option
def command(*, directory: Path, server: str, as_json: bool) -> None:
    """Hand in every result at or below DIRECTORY, or in a campaign's bundle: builds first, then evidence about them.

    Handing the same results in again changes nothing. What cannot be registered, because a bundle carries no weights, is
    listed with the reason.
    """
    with Client(server) as client, progress_bar("submit") as report:
        done = submit_all(client, directory, report=report)
    if as_json:
        print_json(done)
    else:
        show_submitted(done)
