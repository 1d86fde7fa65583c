"""`planner retention`: which variants keep their files, by a policy and by what needs them."""

from __future__ import annotations

from pathlib import Path

import rich_click as click
from rich.text import Text

from planner.cli.render.tables import listing
from planner.cli.retention_policy import load_policy
from planner.cli.session import Session, console, session_options
from planner.domain.units import format_bytes
from planner.wire.retention import RetentionReport, RetentionRequest

_policy = click.argument("policy", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
_only_deleted = click.option("--only-deleted", is_flag=True, help="Show only what is not kept.")


@click.group("retention", cls=click.RichGroup)
def command() -> None:
    """Give up the files of variants that nothing needs, by a policy file; records and evidence stay. Both take --json."""


@command.command("plan")
@_policy
@_only_deleted
@session_options
def plan(*, session: Session, policy: Path, only_deleted: bool) -> None:
    """Show what POLICY keeps and why, and what it would delete. Changes nothing."""
    _run(session, policy, dry_run=True, only_deleted=only_deleted, actor=None)


@command.command("apply")
@_policy
@click.option("--dry-run", is_flag=True, help="Change nothing: the same as `planner retention plan`.")
@click.option("--actor", metavar="NAME", help="Who says so.")
@_only_deleted
@session_options
def apply(*, session: Session, policy: Path, dry_run: bool, only_deleted: bool, actor: str | None) -> None:
    """Mark what POLICY does not keep, and nothing needs, as deleted. `planner gc` then frees the space.

    Until it does, registering the same files again brings a variant back.
    """
    _run(session, policy, dry_run=dry_run, only_deleted=only_deleted, actor=actor)


def _run(session: Session, policy: Path, *, dry_run: bool, only_deleted: bool, actor: str | None) -> None:
    request = RetentionRequest(policy=load_policy(policy), dry_run=dry_run, actor=actor)
    with session.service() as service:
        report = service.retention(request)
    if session.json:
        session.print_json(report)
    else:
        _render(report, only_deleted=only_deleted)


def _render(report: RetentionReport, *, only_deleted: bool) -> None:
    out = console()
    table = listing(("model", "variant", "state", "files", "", "why"))
    for each in report.decisions:
        if not (only_deleted and each.kept):
            table.add_row(
                each.model_id,
                each.name,
                each.state.value,
                format_bytes(each.bytes, binary=False),
                Text("kept", style="green") if each.kept else Text("deleted", style="red"),
                Text("; ".join(reason.detail for reason in each.reasons) or "nothing needs it"),
            )
    if table.row_count:
        out.print(table)
        out.print()
    freed = format_bytes(report.bytes_unused, binary=False) if report.bytes_unused else "0 B"
    would = "would be deleted" if report.dry_run else "deleted"
    out.print(f"{report.kept} kept, {report.deleted} {would}; {freed} in files that no other variant has")
    out.print(Text(f"policy {report.policy_digest[:12]}", style="dim"))
    if report.deleted and not report.dry_run:
        out.print("`planner gc` frees the space")
