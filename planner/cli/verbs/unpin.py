"""`planner unpin`: take a pin away."""

from __future__ import annotations

import rich_click as click
from rich.text import Text

from planner.cli.session import Session, console, session_options
from planner.errors import InvalidInput


@click.command("unpin")
@click.argument("pin", metavar="PIN")
@session_options
def command(*, session: Session, pin: str) -> None:
    """Take PIN away, by its id (`planner pins`): the variant's files are kept no longer than other rules say."""
    if "/" in pin or ":" in pin:
        raise InvalidInput(
            "PIN",
            f"`{pin[:80]}` names a variant, which may have several pins",
            allowed="an id that `planner pins` lists",
        )
    with session.service() as service:
        gone = service.unpin(pin)
    if session.json:
        session.print_json(gone)
    else:
        console().print(Text(f"unpinned: {gone.variant_id} ({gone.reason})"), soft_wrap=True)
