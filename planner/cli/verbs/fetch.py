"""`planner fetch`: a variant's files, in parallel, resumable, every hash checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import rich_click as click
from rich.text import Text

from planner.artifacts.fetch import fetch
from planner.cli.fetched_states import check_handed_out
from planner.cli.locks import load_lock
from planner.cli.render.progress import byte_progress
from planner.cli.session import Session, console, session_options
from planner.cli.signatures import place_signature, verified_signature
from planner.deploy.lock import Lock
from planner.domain.outcome import Recommended
from planner.domain.units import format_bytes
from planner.domain.variant import Artifact, Variant
from planner.errors import InvalidInput, NotFound
from planner.wire.service import Service


class ServiceSource:
    """Bytes of artifacts as a service gives them: the store in process, or ranges over HTTP."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def read(self, artifact: Artifact, start: int) -> Iterator[bytes]:
        """Yield the artifact's bytes from `start`."""
        return self._service.open_artifact(artifact.sha256, start=start)


def resolve(service: Service, name: str) -> Variant:
    """Return the variant called `name`, or the one a stored plan chose. Raises NotFound, InvalidInput."""
    try:
        variant = service.variant(name)
    except NotFound as missing:
        try:
            plan = service.plan(name)
        except NotFound:
            raise missing from None
        if not isinstance(plan.result, Recommended):
            raise InvalidInput("VARIANT", f"plan `{name}` is infeasible and chose nothing") from None
        variant = service.variant(plan.result.chosen.variant_id)
    if not variant.is_fetchable:
        raise InvalidInput(
            "VARIANT",
            f"`{variant.id}` is known from a publication only; its files are not in the registry",
            allowed="a registered variant: `planner variants --fetchable` lists them",
        )
    return variant


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The files to fetch, and what they are."""

    id: str
    name: str
    artifacts: tuple[Artifact, ...]


def _of_variant(variant: Variant) -> Wanted:
    return Wanted(id=variant.id, name=variant.name, artifacts=variant.artifacts)


def _of_lock(lock: Lock) -> Wanted:
    if not lock.files:
        raise InvalidInput(
            "--lock",
            f"`{lock.variant.id}` is known from a publication only; the lock has no files",
            allowed="a lock of a registered variant",
        )
    return Wanted(id=lock.variant.id, name=lock.variant.name, artifacts=lock.files)


@click.command("fetch")
@click.argument("names", nargs=-1, metavar="[VARIANT] DIRECTORY")
@click.option(
    "--lock",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Fetch exactly the files of this lock, in place of VARIANT.",
)
@click.option(
    "--workers", type=click.IntRange(1, 32), default=4, show_default=True, help="Files fetched at a time."
)
@click.option(
    "--verify-key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Public key (PEM) that must have signed the manifest; nothing is fetched otherwise.",
)
@session_options
def command(
    *, session: Session, names: tuple[str, ...], lock: Path | None, workers: int, verify_key: Path | None
) -> None:
    """Download VARIANT (or what a plan chose) into DIRECTORY.

    VARIANT is an id, the start of one, a name, an alias or a plan's id. A killed fetch goes on where it stopped; a file
    appears under its name only when all its bytes have the right sha256. With --lock nothing is looked up: names, sizes
    and hashes are the lock's, wherever the bytes come from. With --verify-key the signature of the manifest is checked first,
    and placed as model.sig beside the files. A variant that is deprecated or yanked is fetched with a warning; one that is
    quarantined is refused with the reason, by its lock too.
    """
    if len(names) != (2 if lock is None else 1):
        raise click.UsageError("give VARIANT and DIRECTORY, or --lock and DIRECTORY")
    directory = Path(names[-1])
    with session.service() as service:
        found = _of_variant(resolve(service, names[0])) if lock is None else _of_lock(load_lock(lock))
        warning = check_handed_out(service, found.id, found.name)
        if warning is not None:
            console(stderr=True).print(Text(f"warning: {warning}", style="yellow"), soft_wrap=True)
        signature = None if verify_key is None else verified_signature(service, found, verify_key)
        total = sum(artifact.size for artifact in found.artifacts)
        here: dict[str, int] = {}
        with byte_progress(f"fetching {found.name}", quiet=session.json) as bar:

            def advance(artifact: Artifact, bytes_here: int) -> None:
                here[artifact.path] = bytes_here
                if bar is not None:
                    bar(sum(here.values()), total)

            report = fetch(
                ServiceSource(service), found.artifacts, directory, workers=workers, progress=advance
            )
        if signature is not None:
            place_signature(signature, directory)
    if session.json:
        signed = {} if verify_key is None else {"verified_with": str(verify_key)}
        said = {} if warning is None else {"warning": warning}
        session.print_json(
            {"variant_id": found.id, "directory": str(directory), "report": report, **signed, **said}
        )
        return
    out = console()
    out.print(Text("fetched: ", style="bold") + Text(f"{found.id}"))
    out.print(
        f"  {report.files} files, {format_bytes(report.bytes_total)}, every sha256 checked, in {directory}"
        f" ({format_bytes(report.bytes_fetched)} transferred, {format_bytes(report.bytes_resumed)} were there)"
    )
    if verify_key is not None:
        out.print(
            f"  manifest signed by the key in {verify_key}; the signature is in model.sig", soft_wrap=True
        )
