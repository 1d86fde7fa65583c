"""`planner unpin`: take a pin away."""

from __future__ import annotations

import rich_click as click
from rich.text import Text

from planner.cli.session import Session, console, session_options


@click.command("unpin")
@click.argument("pin", metavar="PIN")
@session_options
def command(*, session: Session, pin: str) -> None:
    """Take PIN away, by its id (`planner pins`): the variant's files are kept no longer than other rules say."""
    with session.service() as service:
        gone = service.unpin(pin)
    if session.json:
        session.print_json(gone)
    else:
        console().print(Text(f"unpinned: {gone.variant_id} ({gone.reason})"), soft_wrap=True)
