"""`planner submit`: results that a worker made without a server, registered here."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from planner.cli.render.progress import share_progress
from planner.cli.render.tables import listing
from planner.cli.session import Session, console, session_options


@click.command("submit")
@click.argument("directory", type=click.Path(exists=True, path_type=Path))
@session_options
def command(*, session: Session, directory: Path) -> None:
    """Register every worker result at or below DIRECTORY, or in a campaign's bundle: builds first, then evidence.

    Handing the same results in again changes nothing. What cannot be registered, because a bundle carries no weights, is
    listed with the reason.
    """
    from worker.submit import submit_all

    with session.service() as service, share_progress("registering", quiet=session.json) as progress:
        done = submit_all(service, directory, report=progress)
    if session.json:
        session.print_json(done)
        return
    table = listing(("kind", "id", ""))
    for item in done:
        state = "new" if item.created else "already registered"
        table.add_row(item.kind, item.id, f"left out: {item.left_out}" if item.left_out else state)
    console().print(table)
