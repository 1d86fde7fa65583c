"""`planner models`: list base models."""

from __future__ import annotations

import rich_click as click

from planner.cli.render.tables import models_table, print_page
from planner.cli.session import Session, console, page_options, session_options


@click.command("models")
@click.argument("search", required=False)
@click.option("--family", help="Only this family, such as llama or qwen2.5.")
@page_options
@session_options
def command(
    *, session: Session, search: str | None, family: str | None, limit: int, cursor: str | None
) -> None:
    """List base models, all or those whose name contains SEARCH."""
    with session.service() as service:
        page = service.models(search=search, family=family, limit=limit, cursor=cursor)
    if session.json:
        session.print_json(page)
    else:
        print_page(
            console(), models_table(page.items), next_cursor=page.next_cursor, empty="no model matches"
        )
