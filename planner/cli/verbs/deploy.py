"""`planner deploy`: commands or manifests that serve an answer, on standard output or in a folder."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import rich_click as click
from rich.text import Text

from planner.cli.locks import load_lock, plan_for
from planner.cli.render.answer import render_plan
from planner.cli.session import Session, console, session_options
from planner.deploy.deploying import deploy
from planner.deploy.deployment import Deployment, DeployOptions, Document, Step, Target
from planner.deploy.lock import Lock
from planner.deploy.runtimes import RUNTIMES
from planner.domain.outcome import Recommended
from planner.errors import InvalidInput
from planner.wire.requests import DeployRequest

INFEASIBLE = 3


def shell_line(step: Step) -> str:
    """Return a command for a POSIX shell, each option on a line of its own."""
    lines = [shlex.quote(step.words[0])]
    for word in step.words[1:]:
        quoted = shlex.quote(word)
        if word.startswith("--"):
            lines.append(f"  {quoted}")
        else:
            lines[-1] += f" {quoted}"
    return " \\\n".join(lines)


def document_of(made: Deployment) -> Document:
    """Return the one file of a deployment: its manifest, or its commands as a script."""
    if made.documents:
        return made.documents[0]
    lines = [shell_line(step) for step in made.commands]
    lines[-1] = f"exec {lines[-1]}"  # signals reach the server, not a shell around it
    parts = zip(made.commands, lines, strict=True)
    body = "\n\n".join(f"# {step.purpose}\n{line}" for step, line in parts)
    return Document(name=f"serve-{made.runtime}.sh", content=f"#!/bin/sh\nset -eu\n\n{body}\n")


def _save(folder: Path, document: Document) -> Path:
    path = folder / document.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(document.content, encoding="utf-8")
        if document.name.endswith(".sh"):
            path.chmod(0o755)
    except OSError as error:
        raise InvalidInput("--out", f"`{path}` cannot be written: {error.strerror}") from error
    return path


@click.command("deploy")
@click.argument("question", nargs=-1)
@click.option(
    "--to",
    "target",
    type=click.Choice([each.value for each in Target]),
    required=True,
    help="What to write for.",
)
@click.option(
    "--lock",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Deploy this lock instead; no registry is asked.",
)
@click.option(
    "--runtime",
    type=click.Choice(list(RUNTIMES)),
    help="Runtime inside the containers; part of the question.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write the file into; else stdout.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8000,
    show_default=True,
    help="Port the model answers at.",
)
@click.option("--name", help="Name that requests use for the model; the variant's unless given.")
@click.option("--model", help="Folder, GGUF file or repository to serve, instead of fetching the files.")
@click.option("--image", help="Image of the runtime, instead of the one its project publishes.")
@click.option("--planner-image", help="Image that fetches the files.  [default: variant-planner:VERSION]")
@click.option(
    "--fetch-from", metavar="URL", help="The registry as the containers reach it.  [default: --server]"
)
@click.option("--namespace", help="Kubernetes namespace.")
@click.option(
    "--replicas", type=click.IntRange(1, 10_000), help="Copies to run.  [default: as the plan needs]"
)
@session_options
def command(
    *,
    session: Session,
    question: tuple[str, ...],
    target: str,
    lock: Path | None,
    runtime: str | None,
    out: Path | None,
    fetch_from: str | None,
    port: int,
    name: str | None,
    model: str | None,
    image: str | None,
    planner_image: str | None,
    namespace: str | None,
    replicas: int | None,
) -> int:
    """Write what serves the answer to QUESTION, to a stored plan given by its id, or a lock.

    Nothing is started. Length, concurrency, memory share, cache type and parallelism come from the plan; notes and the
    reason for every flag go to standard error.

    For example: planner deploy "8B on 24GB, concurrency 8" --to vllm

    Exit codes: 0 written, 2 not understood or not loadable by the runtime, 3 infeasible.
    """
    if bool(question) == (lock is not None):
        raise InvalidInput("QUESTION", "give either a question, a plan's id or --lock", allowed="one of them")
    options = DeployOptions(
        target=Target(target),
        port=port,
        name=name,
        image=image,
        planner_image=planner_image,
        fetch_from=fetch_from or session.server,
        model=model,
        namespace=namespace,
        replicas=replicas,
    )
    wanted = options.target.runtime or runtime
    if runtime is not None and wanted != runtime:
        raise InvalidInput("--runtime", f"is `{runtime}`, the target is {target}", allowed="leave it out")
    if lock is not None:
        made = _from_lock(load_lock(lock), options, runtime)
    else:
        with session.service() as service:
            plan = plan_for(service, question, runtime=wanted)
            if not isinstance(plan.result, Recommended):
                render_plan(console(stderr=True), plan, show_all=False)
                return INFEASIBLE
            made = service.deploy(DeployRequest(options=options, plan_id=plan.id, runtime=wanted))
    _print(session, made, out)
    return 0


def _from_lock(locked: Lock, options: DeployOptions, runtime: str | None) -> Deployment:
    if runtime is not None and (locked.runtime is None or locked.runtime.name != runtime):
        raise InvalidInput("--runtime", "is fixed by the lock", allowed="leave it out")
    return deploy(locked, options)


def _print(session: Session, made: Deployment, out: Path | None) -> None:
    document = document_of(made)
    path = _save(out, document) if out is not None else None
    if session.json:
        session.print_json(made)
        return
    if path is None:
        sys.stdout.write(document.content)
        sys.stdout.flush()
    said = console(stderr=True)
    if path is not None:
        said.print(f"written: {path}", soft_wrap=True)
    for argument in made.arguments:
        said.print(Text("  ".join((" ".join(argument.words), argument.reason)), style="dim"), soft_wrap=True)
    for note in made.notes:
        said.print(Text(f"note: {note}", style="yellow"), soft_wrap=True)
