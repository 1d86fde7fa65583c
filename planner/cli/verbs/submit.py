"""`planner submit`: results that a worker made without a server, registered here."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from planner.cli.render.progress import share_progress
from planner.cli.render.tables import listing
from planner.cli.session import Session, console, session_options


@click.command("submit")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@session_options
def command(*, session: Session, directory: Path) -> None:
    """Register every worker result at or below DIRECTORY: built variants first, then what was measured on them.

    Handing the same results in again changes nothing.
    """
    from worker.submit import Submitted, find_results, read_result, submit

    folders = find_results(directory)
    done: list[Submitted] = []
    with session.service() as service, share_progress("registering", quiet=session.json) as progress:
        for number, folder in enumerate(folders):
            progress(number / len(folders), folder.name)
            done.append(submit(service, folder, read_result(folder)))
    if session.json:
        session.print_json(done)
        return
    table = listing(("kind", "id", ""))
    for item in done:
        table.add_row(item.kind, item.id, "new" if item.created else "already registered")
    console().print(table)
