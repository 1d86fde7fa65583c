"""`planner gc`: remove stored files that nothing needs."""

from __future__ import annotations

import re
from typing import Final

import rich_click as click

from planner.cli.render.progress import share_progress
from planner.cli.session import Session, console, session_options
from planner.domain.units import format_bytes
from planner.errors import InvalidInput
from planner.wire.retention import CollectRequest, collect_all

_GRACE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)\s*")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def parse_grace(text: str) -> float:
    """Return the seconds meant by "24h", "30m" or "7d". Raises InvalidInput."""
    match = _GRACE.fullmatch(text.lower())
    if match is None:
        raise InvalidInput(
            "--grace", f"`{text}` is no length of time", allowed="a number with s, m, h, d or w: 24h"
        )
    return float(match[1]) * _SECONDS[match[2]]


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Remove nothing, and say what would be.")
@click.option(
    "--grace",
    metavar="TIME",
    default="24h",
    show_default=True,
    help="Leave files alone that were stored, or asked for by an upload, less than TIME ago: 30m, 24h, 7d.",
)
@session_options
def command(*, session: Session, dry_run: bool, grace: str) -> None:
    """Remove stored files that no variant, evidence, job or upload names, and uploads that nobody goes on with.

    Safe at any time: others may register, upload and fetch meanwhile. Stopped or killed in the middle it loses nothing, and
    the next run does the rest.
    """
    request = CollectRequest(dry_run=dry_run, grace_seconds=parse_grace(grace))
    with session.service() as service, share_progress("", quiet=session.json) as show:
        done = collect_all(
            service,
            request,
            progress=lambda so_far: show(
                so_far.share, f"{so_far.files_seen:,} files seen, {so_far.files_removed:,} unused"
            ),
        )
    if session.json:
        session.print_json(done)
        return
    out = console()
    would = "would be removed" if dry_run else "removed"
    size = format_bytes(done.bytes_removed, binary=False) if done.bytes_removed else "0 B"
    out.print(f"{done.files_removed:,} of {done.files_seen:,} files {would}, {size}")
    if done.files_young:
        out.print(f"  {done.files_young:,} that nothing names are younger than {grace} and stay")
    if done.uploads_removed:
        out.print(f"  {done.uploads_removed:,} abandoned uploads {would}")
    if done.records_removed:
        out.print(f"  {done.records_removed:,} entries of files that are gone {would} from the list")
