"""`planner devices`: list devices."""

from __future__ import annotations

import rich_click as click

from planner.cli.render.tables import devices_table, print_page
from planner.cli.session import Session, console, page_options, session_options


@click.command("devices")
@click.argument("search", required=False)
@page_options
@session_options
def command(*, session: Session, search: str | None, limit: int, cursor: str | None) -> None:
    """List devices, all or those whose name contains SEARCH."""
    with session.service() as service:
        page = service.devices(search=search, limit=limit, cursor=cursor)
    if session.json:
        session.print_json(page)
    else:
        print_page(
            console(), devices_table(page.items), next_cursor=page.next_cursor, empty="no device matches"
        )
