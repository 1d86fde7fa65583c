"""`planner token`: who may do what on a server that asks."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import rich_click as click
from rich.table import Table
from rich.text import Text

from planner.cli.render.tables import listing, print_page
from planner.cli.session import Session, console, page_options, session_options
from planner.domain.identity import Token, TokenScope, parse_scopes
from planner.errors import InvalidInput
from planner.wire.identity import TokenRequest

_DURATION: Final = re.compile(r"([0-9]{1,9})([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_lifetime(text: str) -> int | None:
    """Return the seconds in "90d" or "12h"; None for "never". Raises InvalidInput."""
    if text == "never":
        return None
    match = _DURATION.fullmatch(text)
    if match is None:
        raise InvalidInput(
            "--expires", f"`{text[:40]}` is no duration", allowed="a number with s, m, h, d or w; or never"
        )
    return int(match[1]) * _SECONDS[match[2]]


def tokens_table(tokens: Iterable[Token], now: datetime) -> Table:
    """Return tokens with what they allow and whether they work."""
    table = listing(("token", "label", "scopes", "state", "created (UTC)", "expires", "last used", "id"))
    for token in tokens:
        confined = f" on {', '.join(token.resources)}" if token.resources else ""
        table.add_row(
            f"{token.shown}…",
            Text(token.label),
            " ".join(token.scopes) + confined,
            token.state(now).value,
            _time(token.created_at),
            _time(token.expires_at) or "never",
            _time(token.last_used_at) or "never",
            token.id,
        )
    return table


def _time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


@click.group("token", cls=click.RichGroup)
def command() -> None:
    """Make, list and revoke tokens. All of these take --json.

    A server asks for them when PLANNER_AUTH is `writes` or `all`. Clients send one in PLANNER_TOKEN, those of Hugging Face
    in HF_TOKEN. The first token is made on the server's machine, with its settings and without --server.
    """


@command.command("create")
@click.argument("label")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([scope.value for scope in TokenScope]),
    help="What it allows; may be repeated. Each but `read` includes read; admin includes all.",
)
@click.option(
    "--expires",
    default="90d",
    show_default=True,
    metavar="DURATION",
    help='Such as "12h" or "90d", or "never".',
)
@click.option(
    "--repository",
    "resources",
    multiple=True,
    metavar="MODEL/VARIANT",
    help="Confine its writes to this repository; may be repeated. `*` stands for any name.",
)
@session_options
def create(
    *, session: Session, label: str, scopes: tuple[str, ...], expires: str, resources: tuple[str, ...]
) -> None:
    """Make a token called LABEL and print its secret, this once: only a hash of it is kept."""
    request = TokenRequest(
        label=label,
        scopes=parse_scopes(scopes),
        expires_in_seconds=parse_lifetime(expires),
        resources=resources,
    )
    with session.service() as service:
        made = service.create_token(request)
    if session.json:
        session.print_json(made)
        return
    sys.stdout.write(made.secret + "\n")
    sys.stdout.flush()
    until = _time(made.token.expires_at)
    console(stderr=True).print(
        f"{made.token.label}: {', '.join(made.token.scopes)}; expires {until + ' UTC' if until else 'never'}. "
        "Keep the secret: it is not shown again.",
        style="dim",
    )


@command.command("list")
@page_options
@session_options
def list_(*, session: Session, limit: int, cursor: str | None) -> None:
    """List tokens, newest first, without their secrets."""
    with session.service() as service:
        page = service.tokens(limit=limit, cursor=cursor)
    if session.json:
        session.print_json(page)
    else:
        table = tokens_table(page.items, datetime.now(UTC))
        print_page(console(), table, next_cursor=page.next_cursor, empty="there are no tokens")


@command.command("revoke")
@click.argument("token")
@session_options
def revoke(*, session: Session, token: str) -> None:
    """End TOKEN, given by its id, label or first characters, for good.

    The server that revokes it refuses it at once, others within ten seconds.
    """
    with session.service() as service:
        ended = service.revoke_token(token)
    if session.json:
        session.print_json(ended)
    else:
        console().print(Text("revoked: ", style="bold") + Text(f"{ended.label} ({ended.shown}…)"))
