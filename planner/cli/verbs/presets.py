"""`planner presets`: list the named scenarios."""

from __future__ import annotations

import rich_click as click

from planner.cli.render.tables import presets_table
from planner.cli.session import Session, console, session_options


@click.command("presets")
@session_options
def command(*, session: Session) -> None:
    """List scenario presets: name one in a question to start from its workload and constraints."""
    with session.service() as service:
        presets = service.presets()
    if session.json:
        session.print_json(presets)
    else:
        console().print(presets_table(presets))
