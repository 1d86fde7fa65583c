"""`planner webhook`: who is told of events, and how that goes."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import rich_click as click
from rich.table import Table
from rich.text import Text

from planner.cli.render.tables import listing, print_page
from planner.cli.session import Session, console, page_options, session_options
from planner.domain.webhook import Delivery, DeliveryState, EventKind, Webhook
from planner.errors import InvalidInput
from planner.wire.webhooks import NewWebhook, ReplayRequest

_KINDS = [kind.value for kind in EventKind if kind is not EventKind.WEBHOOK_TEST]


@click.group("webhook", cls=click.RichGroup)
def command() -> None:
    """Tell addresses of what happens: registrations, alias moves, gates, evidence, changes of state.

    The server that runs delivers the messages, each signed, each at least once. How to verify one: docs/pipelines.md.
    All of these take --json.
    """


@command.command("add")
@click.argument("url")
@click.option(
    "--event",
    "events",
    multiple=True,
    type=click.Choice(_KINDS),
    help="An event to tell of; may be repeated. All of them when left out.",
)
@click.option(
    "--secret-file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="File with the secret, `-` for stdin; one is made when left out.",
)
@session_options
def add(*, session: Session, url: str, events: tuple[str, ...], secret_file: Path | None) -> None:
    """Have URL told of events; prints the secret that messages are signed with, this once."""
    secret = None
    if secret_file is not None:
        secret = (sys.stdin.read() if str(secret_file) == "-" else secret_file.read_text()).strip()
    request = NewWebhook(url=url, events=tuple(EventKind(event) for event in events), secret=secret)
    with session.service() as service:
        made = service.add_webhook(request)
    if session.json:
        session.print_json(made)
        return
    out = console()
    out.print(Text("webhook ", style="bold") + Text(made.webhook.id))
    out.print(Text(f"secret: {made.secret}"), soft_wrap=True)
    out.print(Text("keep the secret: it is not shown again", style="dim"))


@command.command("list")
@page_options
@session_options
def list_(*, session: Session, limit: int, cursor: str | None) -> None:
    """List webhooks, the oldest first."""
    with session.service() as service:
        page = service.webhooks(limit=limit, cursor=cursor)
    if session.json:
        session.print_json(page)
    else:
        print_page(
            console(), _table(page.items), next_cursor=page.next_cursor, empty="nobody is told of events"
        )


@command.command("remove")
@click.argument("webhook_id")
@session_options
def remove(*, session: Session, webhook_id: str) -> None:
    """Remove a webhook with its deliveries."""
    with session.service() as service:
        _show(session, service.remove_webhook(webhook_id), "removed")


@command.command("pause")
@click.argument("webhook_id")
@session_options
def pause(*, session: Session, webhook_id: str) -> None:
    """Stop telling a webhook; what is pending waits, what happens meanwhile can be replayed."""
    with session.service() as service:
        _show(session, service.set_webhook_active(webhook_id, active=False), "paused")


@command.command("resume")
@click.argument("webhook_id")
@session_options
def resume(*, session: Session, webhook_id: str) -> None:
    """Tell a paused webhook of events again."""
    with session.service() as service:
        _show(session, service.set_webhook_active(webhook_id, active=True), "active")


@command.command("test")
@click.argument("webhook_id")
@session_options
def test(*, session: Session, webhook_id: str) -> int:
    """Send a test message now. Exit codes: 0 delivered, 1 not delivered."""
    with session.service() as service:
        done = service.test_webhook(webhook_id)
    if session.json:
        session.print_json(done)
    elif done.state is DeliveryState.DELIVERED:
        console().print(f"delivered: answered {done.status}")
    else:
        console().print(f"not delivered: {done.problem}")
    return 0 if done.state is DeliveryState.DELIVERED else 1


@command.command("deliveries")
@click.argument("webhook_id")
@click.option(
    "--state", type=click.Choice([state.value for state in DeliveryState]), help="Only those in this state."
)
@page_options
@session_options
def deliveries(
    *, session: Session, webhook_id: str, state: str | None, limit: int, cursor: str | None
) -> None:
    """List a webhook's deliveries, those of the newest events first."""
    with session.service() as service:
        wanted = DeliveryState(state) if state else None
        page = service.webhook_deliveries(webhook_id, state=wanted, limit=limit, cursor=cursor)
    if session.json:
        session.print_json(page)
    else:
        print_page(
            console(),
            _deliveries_table(page.items),
            next_cursor=page.next_cursor,
            empty="nothing was to be delivered yet",
        )


@command.command("replay")
@click.argument("webhook_id")
@click.option("--event", "event_id", help="Id of the event to deliver again.")
@click.option("--since", help="Deliver events from this moment on, such as 2026-01-31T08:00:00Z.")
@session_options
def replay(*, session: Session, webhook_id: str, event_id: str | None, since: str | None) -> None:
    """Deliver past events again: one, or those since a moment. They keep their ids."""
    request = ReplayRequest(event_id=event_id, since=None if since is None else _moment(since))
    with session.service() as service:
        done = service.replay_webhook(webhook_id, request)
    if session.json:
        session.print_json(done)
    else:
        console().print(f"{done.count} events are on their way again")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput("--since", f"`{text[:60]}` is no time", allowed="2026-01-31T08:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _show(session: Session, webhook: Webhook, state: str) -> None:
    if session.json:
        session.print_json(webhook)
    else:
        console().print(f"webhook {webhook.id}: {state}")


def _table(webhooks: Iterable[Webhook]) -> Table:
    table = listing(("id", "address", "events", "state", "since (UTC)"))
    for each in webhooks:
        table.add_row(
            each.id,
            Text(each.url),
            ", ".join(each.events) or "all",
            "active" if each.active else each.inactive_because or "inactive",
            f"{each.created_at:%Y-%m-%d %H:%M}",
        )
    return table


def _deliveries_table(rows: Iterable[Delivery]) -> Table:
    table = listing(("event", "kind", "state", "attempts", "next (UTC)", "last answer"))
    for each in rows:
        table.add_row(
            each.event_id,
            each.kind.value,
            each.state.value,
            str(each.attempts),
            f"{each.next_at:%Y-%m-%d %H:%M:%S}" if each.next_at else "",
            Text(each.problem or (str(each.status) if each.status else "")),
        )
    return table
