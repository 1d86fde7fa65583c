"""`planner pin`: keep a variant's files whatever a retention policy says."""

from __future__ import annotations

from pathlib import Path

import rich_click as click
from rich.text import Text

from planner.cli.locks import load_lock
from planner.cli.session import Session, console, session_options
from planner.wire.retention import PinRequest


@click.command("pin")
@click.argument("variant", required=False)
@click.option(
    "--lock",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Pin what this lock file names, in place of VARIANT.",
)
@click.option("--reason", metavar="TEXT", help="Why. Needed, except with --lock.")
@click.option("--actor", metavar="NAME", help="Who wants it.")
@session_options
def command(
    *, session: Session, variant: str | None, lock: Path | None, reason: str | None, actor: str | None
) -> None:
    """Keep the files of VARIANT, or of a lock file's variant, whatever a retention policy says. `planner unpin` ends it."""
    if (variant is None) == (lock is None):
        raise click.UsageError("give VARIANT or --lock")
    if lock is not None:
        locked = load_lock(lock)
        variant = locked.variant.id
        reason = reason or f"locked by {lock.name} (plan {locked.plan.plan_id})"
    if not reason:
        raise click.UsageError("give --reason")
    with session.service() as service:
        pin = service.pin(PinRequest(variant=variant or "", reason=reason, actor=actor))
    if session.json:
        session.print_json(pin)
        return
    out = console()
    out.print(Text("pinned: ", style="bold") + Text(pin.variant_id), soft_wrap=True)
    out.print(Text(f"  pin {pin.id} by {pin.actor}: {pin.reason}", style="dim"), soft_wrap=True)
