"""`planner register`: a folder of files becomes a variant, with its lineage, its results and an alias."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import msgspec
import rich_click as click

from planner.artifacts.hash_cache import HashCache, cache_folder
from planner.artifacts.manifest import scan
from planner.cli.render.progress import byte_progress
from planner.cli.render.registration import print_registration, report_of, write_for_pipeline
from planner.cli.session import Session, session_options
from planner.cli.signatures import keep_carried_signature
from planner.cli.verbs.imports import naming_option, print_report
from planner.cli.verbs.register_evidence import Loaded, Runs, attach, load
from planner.cli.verbs.register_lineage import load_provenance, with_base, with_recipe
from planner.domain.alias import Alias
from planner.domain.reference import ReferenceKind, is_reference, parse
from planner.domain.variant import Artifact, Provenance
from planner.errors import EvidenceMissing, InvalidInput, NotFound
from planner.wire.imports import ImportReport
from planner.wire.replies import Registration
from planner.wire.requests import RegisterReference
from planner.wire.service import Service

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_RUN: Final = click.Path(exists=True, path_type=Path)
_NOWHERE: Final = "none"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be registered, as it was asked for."""

    source: str
    model: str | None
    name: str | None
    scheme: str | None
    runtimes: tuple[str, ...]
    dry_run: bool
    rehash: bool

    @property
    def folder(self) -> Path | None:
        """The folder on this machine that is meant; None for a reference that the server reads."""
        return None if is_reference(self.source) else Path(self.source)


@click.command("register")
@click.argument("source", metavar="DIRECTORY|URI")
@click.option("--model", help="Base model; found by the files' own facts when left out.")
@click.option("--name", help="Name of the variant; the scheme when left out.")
@click.option("--scheme", help="The scheme you believe it has; refused when the tensors say otherwise.")
@click.option("--runtime", "runtimes", multiple=True, help="A runtime known to load it; may be repeated.")
@click.option("--base", help="What it was built from: a registered variant, or ORG/MODEL@COMMIT of a hub.")
@click.option("--recipe", type=_FILE, help="YAML or JSON file with the recipe it was built by.")
@click.option("--provenance", type=_FILE, help="JSON file that says how it was built, as a worker writes it.")
@click.option("--alias", help="Point this alias at it afterwards, if nobody moves it meanwhile.")
@click.option(
    "--expected",
    metavar="NAME",
    help="With --alias: move it only if it points at this variant; `none`: only if there is no such alias.",
)
@click.option(
    "--eval",
    "evaluations",
    multiple=True,
    type=_RUN,
    help="Accuracy results of one run, a file or a folder of them; may be repeated.",
)
@click.option(
    "--baseline-eval",
    "baseline_evaluations",
    multiple=True,
    type=_RUN,
    help="With --eval: the same run of the baseline.",
)
@click.option("--baseline", help="With --eval: the variant the baseline's run was of; --base when left out.")
@click.option(
    "--bench",
    "benchmarks",
    multiple=True,
    type=_RUN,
    help="Speed results of one run, a file or a folder of them; may be repeated.",
)
@click.option("--device", help="Device type of the results, where they name none that is registered.")
@click.option(
    "--engine", help='Engine and version of the results, such as "vllm 0.33.0", where they do not say.'
)
@click.option(
    "--dry-run", is_flag=True, help="Say what would happen, and how many bytes would travel; change nothing."
)
@click.option(
    "--rehash", is_flag=True, help="Read every file, also those untouched since they were hashed last."
)
@session_options
def command(
    *,
    session: Session,
    source: str,
    model: str | None,
    name: str | None,
    scheme: str | None,
    runtimes: tuple[str, ...],
    base: str | None,
    recipe: Path | None,
    provenance: Path | None,
    alias: str | None,
    expected: str | None,
    evaluations: tuple[Path, ...],
    baseline_evaluations: tuple[Path, ...],
    baseline: str | None,
    benchmarks: tuple[Path, ...],
    device: str | None,
    engine: str | None,
    dry_run: bool,
    rehash: bool,
) -> None:
    """Register the files in DIRECTORY, or at a URI that the server can read, as a variant.

    Facts such as scheme, size and architecture are read from the files. Registering the same bytes again changes
    nothing and gives the same variant; only bytes that the server lacks travel, and an upload that was cut goes on where
    it was. URIs: file:///folder and s3://bucket/prefix where the server's operator allows it, hf:OWNER/NAME@REVISION for
    what was pushed to this registry. In a GitHub workflow, outputs and the step summary are written too.

    Exit codes: 0 registered, 2 usage or refused files, 4 registered, but the lints refused everything a result says.
    """
    asked = Asked(
        source=source, model=model, name=name, scheme=scheme, runtimes=runtimes, dry_run=dry_run, rehash=rehash
    )  # fmt: skip
    if expected is not None and alias is None:
        raise InvalidInput("--expected", "has no alias to be of", allowed="with --alias")
    runs = load(
        Runs(
            evaluations=evaluations,
            baseline_evaluations=baseline_evaluations,
            benchmarks=benchmarks,
            baseline=baseline,
            device=device,
            engine=engine,
        )
    )
    stated = load_provenance(provenance) if provenance else Provenance()
    if recipe is not None:
        stated = with_recipe(stated, recipe)
    _check_source(asked, session)
    with session.service() as service:
        before = _points_at(service, alias, expected) if alias else None
        if base is not None:
            stated, base_model = with_base(service, stated, base)
            asked = msgspec.structs.replace(asked, model=asked.model or base_model)
        done = _register(service, session, asked, stated)
        imports = _attach(service, runs, done, baseline=stated.base_variant_id)
        moved = None if alias is None or dry_run else service.move_alias(alias, done.digest, expected=before)
    _tell(session, asked, done, imports, moved)
    if any(not report.stored for report in imports):
        raise EvidenceMissing("the lints refused everything that a result says; the variant is registered")


def _check_source(asked: Asked, session: Session) -> None:
    folder = asked.folder
    if folder is None:
        parse(asked.source)
    elif not folder.is_dir():
        hint = "; a folder of the server's is file:///…" if session.server else ""
        raise InvalidInput(
            "DIRECTORY",
            f"`{asked.source}` is not a folder here",
            allowed=f"a folder with a variant's files{hint}",
        )


def _points_at(service: Service, alias: str, expected: str | None) -> str | None:
    """Return where the alias must point for it to be moved: what was asked for, else where it points now."""
    if expected is not None:
        return None if expected == _NOWHERE else service.variant(expected).id
    try:
        return service.alias(alias).alias.variant_id
    except NotFound:
        return None


def _register(service: Service, session: Session, asked: Asked, stated: Provenance) -> Registration:
    folder = asked.folder
    with byte_progress("hashing and storing", quiet=session.json) as progress:
        if folder is not None:
            done = service.register(
                folder,
                model=asked.model,
                name=asked.name,
                scheme=asked.scheme,
                provenance=stated,
                runtimes=asked.runtimes,
                dry_run=asked.dry_run,
                progress=progress,
                hash_cache=None if asked.rehash else cache_folder(os.environ),
            )
            return keep_carried_signature(service, folder, done)
        if session.server is None and parse(asked.source).kind is ReferenceKind.FILE:
            return service.register(
                Path(parse(asked.source).place),
                model=asked.model,
                name=asked.name,
                scheme=asked.scheme,
                provenance=stated,
                runtimes=asked.runtimes,
                dry_run=asked.dry_run,
                progress=progress,
            )
        request = RegisterReference(
            uri=asked.source,
            model=asked.model,
            name=asked.name,
            scheme=asked.scheme,
            provenance=stated,
            runtimes=asked.runtimes,
            dry_run=asked.dry_run,
        )
        return service.register_reference(request, progress=progress)


def _attach(
    service: Service, runs: tuple[Loaded, ...], done: Registration, *, baseline: str | None
) -> tuple[ImportReport, ...]:
    if not runs or (done.dry_run and done.created):
        return ()
    try:
        return attach(service, runs, variant=done.digest, baseline=baseline, dry_run=done.dry_run)
    except InvalidInput as error:
        raise naming_option(error) from None


def _tell(
    session: Session,
    asked: Asked,
    done: Registration,
    imports: tuple[ImportReport, ...],
    moved: Alias | None,
) -> None:
    report = report_of(done, imports, alias=moved, server=session.server)
    if session.json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        sys.stdout.flush()
    else:
        print_registration(report, _plan(asked))
        for each in imports:
            print_report(each)
    if not done.dry_run:
        write_for_pipeline(report)


def _plan(asked: Asked) -> tuple[Artifact, ...]:
    if not asked.dry_run or asked.folder is None:
        return ()
    return scan(asked.folder, cache=HashCache(cache_folder(os.environ), asked.folder))
