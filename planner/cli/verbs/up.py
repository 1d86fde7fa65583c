"""`planner up`: registry, API and dashboard in one process on loopback."""

from __future__ import annotations

from pathlib import Path

import rich_click as click
from rich.text import Text

from planner.cli.session import Session, console, local_session_options, prices_option


@click.command("up")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 picks a free one.  [default: 8765]"
)
@prices_option
@local_session_options
def command(*, session: Session, port: int | None, prices: Path | None) -> None:
    """Start registry, API and dashboard on loopback.

    The database is brought up to date and the built-in catalogue loaded before the URL is printed. Ctrl-C stops it.
    """
    from planner.api.serve import serve

    settings = session.settings(port=port, prices=prices)
    out = console()

    def ready(url: str) -> None:
        if session.json:
            session.print_json({"url": url, "data_dir": str(settings.data_dir)})
            return
        out.print(Text("Variant Planner is up: ", style="bold green") + Text(url))
        out.print(f"  API {url}/api/v1 · OpenAPI {url}/schema · data in {settings.data_dir}")
        out.print(Text("  Ctrl-C stops it", style="dim"))

    serve(settings, ready=ready)
