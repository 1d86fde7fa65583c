"""`planner check`: a lock judged again, with what changed and an exit status for each result."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import rich_click as click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from planner.cli.locks import load_lock
from planner.cli.render.answer import indent
from planner.cli.session import Session, console, session_options
from planner.deploy.checking import Change, LockCheck, LockStatus

EXIT: Final = {
    LockStatus.FEASIBLE: 0,
    LockStatus.BETTER: 0,
    LockStatus.INFEASIBLE: 3,
    LockStatus.STALE: 4,
    LockStatus.GONE: 6,
}
BETTER: Final = 5
"""With `--fail-on better`, when something better exists."""
_STYLE: Final = {
    LockStatus.FEASIBLE: "bold green",
    LockStatus.BETTER: "bold yellow",
    LockStatus.STALE: "bold yellow",
    LockStatus.INFEASIBLE: "bold red",
    LockStatus.GONE: "bold red",
}


def changes_table(changes: tuple[Change, ...], *, before: str, after: str) -> Table:
    """Return a table of what differs."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("", before, after, ""):
        table.add_column(title)
    for change in changes:
        table.add_row(
            change.key,
            Text(change.before or "-", style="red" if change.before else "dim"),
            Text(change.after or "-", style="green" if change.after else "dim"),
            change.difference or "",
        )
    return table


def _render(out: Console, check: LockCheck) -> None:
    out.print(Text(f"{check.status.value}: ", style=_STYLE[check.status]) + Text(check.sentence))
    out.print(Text(f"  {check.variant_id}", style="dim"))
    for reason in check.stale:
        if reason != check.sentence:
            out.print(Text(f"  stale: {reason}"))
    if check.changes:
        out.print()
        out.print(
            indent(
                changes_table(
                    check.changes,
                    before=f"locked at revision {check.locked_revision}",
                    after=f"now, revision {check.revision}",
                )
            )
        )
    if check.better is not None:
        out.print()
        out.print(
            Text(f"  {check.better.name}", style="bold") + Text(f"  {check.better.variant_id}", style="dim")
        )
        out.print(indent(changes_table(check.better.against, before="the locked variant", after="this one")))


@click.command("check")
@click.argument("lock", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--fail-on", type=click.Choice(["better"]), help="Exit with 5, not 0, when a better variant exists."
)
@session_options
def command(*, session: Session, lock: Path, fail_on: str | None) -> int:
    """Judge LOCK, as `planner lock` wrote it, by what the registry holds now; "-" reads standard input.

    Of the results the gravest that applies is named: the variant is gone, its scenario is not satisfied any more, its
    evidence is stale or weaker than it was, a better variant exists, or all is well.

    Exit codes: 0 feasible, or better exists without --fail-on; 2 not a lock; 3 infeasible now; 4 evidence stale or
    missing; 5 better exists, with --fail-on better; 6 the variant is gone.
    """
    locked = load_lock(lock)
    with session.service() as service:
        check = service.check(locked)
    if session.json:
        session.print_json(check)
    else:
        _render(console(), check)
    return BETTER if fail_on == "better" and check.status is LockStatus.BETTER else EXIT[check.status]
