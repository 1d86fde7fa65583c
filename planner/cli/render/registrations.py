"""Who handed in a variant, as a table."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from planner.cli.render.tables import listing
from planner.domain.identity import RegistrationRecord


def registrations_table(records: Iterable[RegistrationRecord]) -> Table:
    """Return who handed in the bytes, when, and from which run of which pipeline, as its issuer states it."""
    table = listing(("registered (UTC)", "by", "repository", "workflow", "ref", "commit", "run"))
    for record in records:
        origin = record.origin
        facts = (
            ("", "", "", "", "")
            if origin is None
            else (origin.repository, origin.workflow, origin.ref, (origin.sha or "")[:12], origin.run_url)
        )
        table.add_row(
            f"{record.registered_at:%Y-%m-%d %H:%M}",
            Text(record.actor),
            *(Text(fact or "") for fact in facts),
        )
    return table
