"""`planner register`: a folder of files becomes a variant."""

from __future__ import annotations

from pathlib import Path

import msgspec
import rich_click as click
from rich.text import Text

from planner.cli.render.progress import byte_progress
from planner.cli.session import Session, console, session_options
from planner.domain.units import format_bytes
from planner.domain.variant import Provenance
from planner.errors import InvalidInput


def load_provenance(path: Path) -> Provenance:
    """Return the provenance in a JSON file, as a worker writes it. Raises InvalidInput naming the field."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Provenance)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(
            str(path), str(error), allowed="a JSON object with the fields of a provenance"
        ) from error


@click.command("register")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", help="Base model; found by the files' own facts when left out.")
@click.option("--name", help="Name of the variant; the scheme when left out.")
@click.option("--scheme", help="The scheme you believe it has; refused when the tensors say otherwise.")
@click.option("--runtime", "runtimes", multiple=True, help="A runtime known to load it; may be repeated.")
@click.option(
    "--provenance",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file that says how it was built.",
)
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@session_options
def command(
    *,
    session: Session,
    directory: Path,
    model: str | None,
    name: str | None,
    scheme: str | None,
    runtimes: tuple[str, ...],
    provenance: Path | None,
    dry_run: bool,
) -> None:
    """Register the files in DIRECTORY as a variant.

    Facts such as scheme, size and architecture are read from the files. Registering the same bytes again changes
    nothing and gives the same variant.
    """
    with session.service() as service, byte_progress("hashing and storing", quiet=session.json) as progress:
        done = service.register(
            directory,
            model=model,
            name=name,
            scheme=scheme,
            provenance=load_provenance(provenance) if provenance else None,
            runtimes=runtimes,
            dry_run=dry_run,
            progress=progress,
        )
    if session.json:
        session.print_json(done)
        return
    out = console()
    verb = (
        "would register"
        if dry_run and done.created
        else "registered"
        if done.created
        else "already registered"
    )
    out.print(Text(f"{verb}: ", style="bold") + Text(done.digest))
    if done.variant is not None:
        variant = done.variant
        bits = f", {variant.effective_bits:.3g} bits/weight" if variant.effective_bits else ""
        out.print(
            f"  {variant.name}: {variant.scheme.name} of {variant.model_id}, weights {variant.weight_bytes}{bits}"
        )
    out.print(
        f"  {format_bytes(done.bytes_new)} new of {format_bytes(done.bytes_total)}, {done.files_new} new files"
    )
    if done.model_created:
        out.print("  its architecture was not known: a new model was added")
    for warning in done.warnings:
        out.print(Text("note: ", style="yellow") + Text(warning))
