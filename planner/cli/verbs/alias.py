"""`planner alias`: names that point at variants and move, with their history."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec
import rich_click as click
from rich.table import Table
from rich.text import Text

from planner.cli.render.tables import listing, print_page
from planner.cli.session import Session, console, page_options, session_options
from planner.domain.alias import Alias, AliasMove
from planner.errors import InvalidInput

NONE: Final = "none"
_actor = click.option("--actor", metavar="NAME", help="Who says so.")


@click.group("alias", cls=click.RichGroup)
def command() -> None:
    """Point names such as "prod" at variants: by compare-and-swap, with every move kept. All of these take --json."""


@command.command("list")
@page_options
@session_options
def list_(*, session: Session, limit: int, cursor: str | None) -> None:
    """List aliases by name."""
    with session.service() as service:
        page = service.aliases(limit=limit, cursor=cursor)
    if session.json:
        session.print_json(page)
        return
    table = listing(("alias", "variant", "moved (UTC)", "by", "moves", "protected"))
    for alias in page.items:
        table.add_row(
            alias.name,
            _short(alias.variant_id),
            f"{alias.moved_at:%Y-%m-%d %H:%M}",
            Text(alias.actor),
            str(alias.number),
            "yes" if alias.protected else "",
        )
    print_page(console(), table, next_cursor=page.next_cursor, empty="no alias yet: `planner alias set`")


@command.command("set")
@click.argument("name")
@click.argument("variant")
@click.option(
    "--expected",
    metavar="VARIANT",
    help=f"Only if it points at this variant now; `{NONE}`: only if there is no such alias.",
)
@_actor
@session_options
def set_(*, session: Session, name: str, variant: str, expected: str | None, actor: str | None) -> None:
    """Point NAME at VARIANT. A protected alias needs --expected."""
    given = msgspec.UNSET if expected is None else None if expected == NONE else expected
    with session.service() as service:
        _print(session, service.move_alias(name, variant, expected=given, actor=actor))


@command.command("history")
@click.argument("name")
@click.option(
    "--at",
    metavar="TIME",
    help='What it was then: "2026-11-01", or with a time, in UTC unless a zone is given.',
)
@page_options
@session_options
def history(*, session: Session, name: str, at: str | None, limit: int, cursor: str | None) -> None:
    """Show every move of NAME, newest first, also of a deleted alias; with --at where it pointed at that time."""
    with session.service() as service:
        if at is not None:
            found = service.alias_at(name, _moment(at))
            if session.json:
                session.print_json(found)
            elif found.move is None or found.variant_id is None:
                console().print(f"{name} did not exist at {found.at:%Y-%m-%d %H:%M} UTC")
            else:
                out = console()
                out.print(Text(found.variant_id), soft_wrap=True)
                out.print(
                    f"  since {found.move.moved_at:%Y-%m-%d %H:%M} UTC, move {found.move.number}"
                    f" by {found.move.actor}",
                    style="dim",
                )
            return
        page = service.alias_moves(name, limit=limit, cursor=cursor)
    if session.json:
        session.print_json(page)
    else:
        print_page(console(), _moves(page.items), next_cursor=page.next_cursor, empty="it never moved")


@command.command("rollback")
@click.argument("name")
@click.option("--expected", metavar="VARIANT", help="Only if it points at this variant now.")
@_actor
@session_options
def rollback(*, session: Session, name: str, expected: str | None, actor: str | None) -> None:
    """Move NAME back to where it pointed before its last move. Twice is as before."""
    with session.service() as service:
        _print(session, service.rollback_alias(name, expected=expected, actor=actor))


@command.command("protect")
@click.argument("name")
@click.option("--off", is_flag=True, help="Free it again.")
@session_options
def protect(*, session: Session, name: str, off: bool) -> None:
    """Let NAME move only by compare-and-swap (--expected), and not be deleted."""
    with session.service() as service:
        _print(session, service.protect_alias(name, protected=not off))


@command.command("delete")
@click.argument("name")
@click.option("--expected", metavar="VARIANT", help="Only if it points at this variant now.")
@_actor
@session_options
def delete(*, session: Session, name: str, expected: str | None, actor: str | None) -> None:
    """Delete NAME; its history is kept. A protected alias is freed first (`planner alias protect NAME --off`)."""
    with session.service() as service:
        ended = service.delete_alias(name, expected=expected, actor=actor)
    if session.json:
        session.print_json(ended)
    else:
        console().print(
            Text(f"deleted: {name}, which pointed at {ended.previous_variant_id}"), soft_wrap=True
        )


def _print(session: Session, alias: Alias) -> None:
    if session.json:
        session.print_json(alias)
        return
    protected = ", protected" if alias.protected else ""
    out = console()
    out.print(Text(f"{alias.name}: ", style="bold") + Text(alias.variant_id), soft_wrap=True)
    out.print(f"  move {alias.number} by {alias.actor}{protected}", style="dim")


def _moves(moves: Iterable[AliasMove]) -> Table:
    table = listing(("move", "when (UTC)", "from", "to", "by"))
    for move in moves:
        table.add_row(
            str(move.number),
            f"{move.moved_at:%Y-%m-%d %H:%M:%S}",
            _short(move.previous_variant_id or "created"),
            _short(move.variant_id or "deleted"),
            Text(move.actor),
        )
    return table


def _moment(text: str) -> datetime:
    """Return the moment `text` means: the beginning of a day where no time is given, UTC where no zone is."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(
            "--at", f"`{text}` is no time", allowed='such as "2026-11-01" or "2026-11-01T12:00:00+01:00"'
        ) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _short(variant_id: str) -> str:
    return variant_id.removeprefix("sha256:")[:12] if variant_id.startswith("sha256:") else variant_id
