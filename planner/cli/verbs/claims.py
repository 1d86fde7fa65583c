"""`planner claims`: popular claims about quantization, judged by what the registry holds."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from planner.cli.render.tables import listing
from planner.cli.session import Session, console, local_session_options


@click.command("claims")
@click.option(
    "--write",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the page with all evidence, as Markdown, to this file.",
)
@local_session_options
def command(*, session: Session, page: Path | None) -> None:
    """Judge twenty popular claims about quantization by the evidence of this registry.

    Every claim is a few questions to the evidence; the verdict is supported, contradicted, partly (some parts are, others
    are not) or untested.
    """
    from planner.claims.judgement import judge_all
    from planner.claims.page import render
    from planner.claims.statements import CLAIMS
    from planner.registry.snapshot import contents
    from planner.workspace import Workspace

    workspace = Workspace(session.settings())
    try:
        with workspace.registry.read() as tx:
            judged = judge_all(CLAIMS, contents(tx))
    finally:
        workspace.close()
    if page is not None:
        page.write_text(render(judged), encoding="utf-8")
    if session.json:
        session.print_json(judged)
        return
    table = listing(("#", "claim", "verdict", "figures"))
    for claim in judged:
        figures = sum(len(part.rows) for part in claim.parts)
        table.add_row(str(claim.number), claim.says, claim.verdict.value, str(figures))
    console().print(table)
    if page is not None:
        console().print(f"written to {page}")
