"""`planner state`: the state of a variant with its history, or all variants that were put in one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import rich_click as click
from rich.table import Table
from rich.text import Text

from planner.cli.render.tables import listing, print_page
from planner.cli.session import Session, console, page_options, session_options
from planner.domain.lifecycle import LifecycleState, VariantState

STYLE: Final = {
    LifecycleState.ACTIVE: "green",
    LifecycleState.DEPRECATED: "yellow",
    LifecycleState.YANKED: "dark_orange",
    LifecycleState.QUARANTINED: "bold red",
    LifecycleState.DELETED: "dim",
}


def states_table(states: Iterable[VariantState], *, with_variant: bool) -> Table:
    """Return states with who set them, when and why."""
    table = listing((*(("variant",) if with_variant else ()), "state", "since (UTC)", "by", "reason", "use"))
    for state in states:
        table.add_row(
            *((_short(state.variant_id),) if with_variant else ()),
            Text(state.state.value, style=STYLE[state.state]),
            f"{state.changed_at:%Y-%m-%d %H:%M}" if state.changed_at else "",
            Text(state.actor),
            Text(state.reason),
            _short(state.replacement_id or ""),
        )
    return table


def _short(variant_id: str) -> str:
    return variant_id.removeprefix("sha256:")[:12] if variant_id.startswith("sha256:") else variant_id


@click.command("state")
@click.argument("variant", required=False)
@click.option(
    "--state",
    "wanted",
    type=click.Choice([each.value for each in LifecycleState]),
    help="Without VARIANT: only those in this state now.",
)
@page_options
@session_options
def command(
    *, session: Session, variant: str | None, wanted: str | None, limit: int, cursor: str | None
) -> None:
    """Show the state of VARIANT and every one before it, newest first; without VARIANT all that were put in one."""
    out = console()
    with session.service() as service:
        if variant is not None:
            found = service.state(variant)
            if session.json:
                session.print_json(found)
                return
            current = found.current
            out.print(Text(current.describe(), style=STYLE[current.state]))
            out.print(Text(f"  {current.variant_id}", style="dim"))
            if found.history:
                out.print(states_table(found.history, with_variant=False))
            return
        state = None if wanted is None else LifecycleState(wanted)
        page = service.states(state=state, limit=limit, cursor=cursor)
    if session.json:
        session.print_json(page)
    else:
        table = states_table(page.items, with_variant=True)
        print_page(out, table, next_cursor=page.next_cursor, empty="no variant was put in another state")
