"""`planner pins`: which variants are kept whatever a retention policy says."""

from __future__ import annotations

import rich_click as click
from rich.text import Text

from planner.cli.render.tables import listing, print_page
from planner.cli.session import Session, console, page_options, session_options


@click.command("pins")
@click.option("--variant", metavar="NAME", help="Only of this variant.")
@page_options
@session_options
def command(*, session: Session, variant: str | None, limit: int, cursor: str | None) -> None:
    """List pins, the oldest first."""
    with session.service() as service:
        page = service.pins(variant=variant, limit=limit, cursor=cursor)
    if session.json:
        session.print_json(page)
        return
    table = listing(("id", "variant", "since (UTC)", "by", "reason"))
    for pin in page.items:
        table.add_row(
            pin.id,
            pin.variant_id.removeprefix("sha256:")[:12],
            f"{pin.pinned_at:%Y-%m-%d %H:%M}",
            Text(pin.actor),
            Text(pin.reason),
        )
    print_page(console(), table, next_cursor=page.next_cursor, empty="nothing is pinned")
