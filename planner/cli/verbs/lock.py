"""`planner lock`: a plan's answer pinned to a file that is kept in git and judged in CI."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import rich_click as click
from rich.text import Text

from planner.cli.locks import plan_for
from planner.cli.render.answer import render_plan
from planner.cli.session import Session, console, session_options
from planner.deploy.lock_text import LockForm, write_lock
from planner.deploy.runtimes import RUNTIMES
from planner.domain.outcome import Recommended
from planner.errors import InvalidInput

INFEASIBLE = 3


def _form(path: Path | None, *, as_json: bool) -> LockForm:
    if path is None or str(path) == "-":
        return LockForm.JSON if as_json else LockForm.TOML
    try:
        return LockForm(path.suffix.removeprefix(".").casefold())
    except ValueError:
        raise InvalidInput(
            "--out", f"`{path}` has no form", allowed="a name ending in .toml or .json"
        ) from None


def _write(path: Path, text: str) -> None:
    """Write the lock so that a reader never sees half of it."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        staged.write_text(text, encoding="utf-8")
        staged.replace(path)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise InvalidInput("--out", f"`{path}` cannot be written: {error.strerror}") from error


@click.command("lock")
@click.argument("question", nargs=-1)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write: NAME.toml or NAME.json; else stdout.",
)
@click.option(
    "--runtime", type=click.Choice(list(RUNTIMES)), help="Runtime to write flags for; part of the question."
)
@session_options
def command(*, session: Session, question: tuple[str, ...], out: Path | None, runtime: str | None) -> int:
    """Pin the answer to QUESTION, or to a stored plan given by its id, to a lock file.

    The lock holds the scenario, the variant's digest and every file with size and sha256, the runtime's flags, the figures
    with their evidence, and the catalogue's revision. A variant known from a publication only is locked too, and marked as
    not fetchable.

    For example: planner lock "8B on 24GB, ≤1% loss, on vllm" --out planner.lock.toml

    Exit codes: 0 locked, 2 not understood, 3 infeasible.
    """
    form = _form(out, as_json=session.json)
    with session.service() as service:
        plan = plan_for(service, question, runtime=runtime)
        if not isinstance(plan.result, Recommended):
            render_plan(console(stderr=True), plan, show_all=False)
            return INFEASIBLE
        lock = service.lock(plan.id, runtime=runtime)
    text = write_lock(lock, form)
    if out is None or str(out) == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        return 0
    _write(out, text)
    if session.json:
        session.print_json({"path": str(out), "lock": lock})
        return 0
    said = console()
    said.print(Text("locked: ", style="bold") + Text(f"{lock.variant.name}, {lock.variant.id}"))
    files = (
        f"{len(lock.files)} files" if lock.variant.fetchable else "no files: known from a publication only"
    )
    runs = f"{lock.runtime.name} {lock.runtime.version}" if lock.runtime else "no runtime that is known here"
    said.print(f"  {files}; {runs}; revision {lock.plan.revision}; in {out}", soft_wrap=True)
    return 0
