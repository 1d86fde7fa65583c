"""The verbs that put a variant in a state: they differ in the state alone."""

from __future__ import annotations

import rich_click as click
from rich.text import Text

from planner.cli.session import Session, console, session_options
from planner.domain.lifecycle import LifecycleState
from planner.wire.lifecycle import SetState


def state_verb(name: str, state: LifecycleState, about: str, *, replaced: bool = True) -> click.Command:
    """Return the command `name`, which puts a variant in `state`; `about` is its help."""

    def run(
        *,
        session: Session,
        variant: str,
        reason: str,
        actor: str | None,
        expected: str | None,
        replacement: str | None = None,
    ) -> None:
        change = SetState(
            state=state,
            reason=reason,
            replacement=replacement,
            actor=actor,
            expected=None if expected is None else LifecycleState(expected),
        )
        with session.service() as service:
            done = service.set_state(variant, change)
        if session.json:
            session.print_json(done)
            return
        out = console()
        out.print(Text(f"{done.state.value}: ", style="bold") + Text(done.variant_id), soft_wrap=True)
        out.print(Text(f"  {done.reason}"), soft_wrap=True)
        if done.replacement_id is not None:
            out.print(Text(f"  use {done.replacement_id} instead"), soft_wrap=True)

    verb = session_options(run)
    if replaced:
        verb = click.option("--replacement", metavar="VARIANT", help="The variant to use instead.")(verb)
    verb = click.option(
        "--expected",
        type=click.Choice([each.value for each in LifecycleState]),
        help="Only if it is in this state now.",
    )(verb)
    verb = click.option(
        "--actor", metavar="NAME", help="Who says so; a server that asks for tokens knows it by itself."
    )(verb)
    verb = click.option("--reason", metavar="TEXT", required=True, help="Why; shown to all who meet it.")(
        verb
    )
    verb = click.argument("variant")(verb)
    return click.command(name, help=about, cls=click.RichCommand)(verb)
