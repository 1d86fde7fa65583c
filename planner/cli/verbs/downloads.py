"""`planner downloads`: what stock clients were served, to whom, when and why."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import rich_click as click
from rich.table import Table
from rich.text import Text

from planner.cli.render.tables import listing, print_page
from planner.cli.session import Session, console, page_options, session_options
from planner.domain.lifecycle import LifecycleState
from planner.wire.rows import DownloadRow

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


def downloads_table(rows: Iterable[DownloadRow]) -> Table:
    """Return loads with what was asked for, what was served, and to whom."""
    table = listing(("started (UTC)", "repository", "revision", "variant", "plan", "client", "user agent"))
    for row in rows:
        table.add_row(
            f"{row.started_at:%Y-%m-%d %H:%M}",
            row.repository,
            Text(row.revision[:12] if _COMMIT.fullmatch(row.revision) else row.revision),
            row.variant_id.removeprefix("sha256:")[:12],
            row.plan_id or "",
            row.client,
            Text(row.user_agent.partition(";")[0]),
        )
    return table


@click.command("downloads")
@click.option("--variant", metavar="NAME", help="Only of this variant.")
@click.option(
    "--state",
    type=click.Choice([each.value for each in LifecycleState]),
    help="Only of variants in this state now: who still pulls what was yanked.",
)
@page_options
@session_options
def command(
    *, session: Session, variant: str | None, state: str | None, limit: int, cursor: str | None
) -> None:
    """List loads by Hugging Face clients, newest first: what was asked for, which variant was served, to whom, and the plan that chose it."""
    wanted = None if state is None else LifecycleState(state)
    with session.service() as service:
        page = service.downloads(variant=variant, state=wanted, limit=limit, cursor=cursor)
    if session.json:
        session.print_json(page)
    else:
        print_page(
            console(),
            downloads_table(page.items),
            next_cursor=page.next_cursor,
            empty="nothing was downloaded through the Hugging Face endpoint yet",
        )
